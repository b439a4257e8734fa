//! The clauses of the contract.

use std::fmt;

/// A clause of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "docs/contract.md says what each means")]
pub enum Clause {
    C1Exclusion,
    C2Fifo,
    C3Fencing,
    C4OneWake,
    C5Cancellation,
    C6Try,
    C7Lost,
    C8Recovery,
    C9LostReply,
    C10Posthumous,
    C11Names,
    C12Release,
    C13Errors,
    C14Drop,
    C15Capability,
    C16Close,
    C17Cells,
    C18RwLock,
    C19Semaphore,
    C20Reentry,
    C21MultiLock,
    C22Group,
    C23Barrier,
    C24Latch,
    C25LockDelay,
    C26QueueCap,
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}");
        let digits = name.trim_start_matches('C').trim_end_matches(|c: char| !c.is_ascii_digit()).len();
        let (number, words) = name.split_at(1 + digits);
        write!(f, "{number} {}", words.to_lowercase())
    }
}
