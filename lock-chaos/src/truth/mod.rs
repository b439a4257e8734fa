//! What really happened, from the store's own log.

mod book;
mod deposed;
pub(crate) mod etcd;
mod pulse;
mod txnlog;
mod wal;
pub(crate) mod zookeeper;

use std::{collections::HashMap, path::PathBuf};

use lock_check::history::{Log, Stamp};
use yourturn::{ClaimId, LineId};

/// As lines of a file.
pub(crate) fn lines(truth: &Truth) -> String {
    let line = |change| serde_json::to_string(change).unwrap_or_default() + "\n";
    truth.raw.iter().map(line).collect()
}

/// What a server has written down.
pub(crate) struct Kept {
    /// The folder of its transactions.
    pub(crate) transactions: PathBuf,
    /// What it said.
    pub(crate) log: String,
}

/// A change as it was written down: its revision, where, and what is there now, if anything.
type Raw = (u64, String, Option<String>);

/// The store's log, and what it says beyond what a checker asks.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) log: Log,
    /// Claims that came into line once more, while they were there or after they had gone.
    pub(crate) repeated: Vec<(ClaimId, LineId, Stamp)>,
    /// Who made each claim.
    pub(crate) owners: HashMap<ClaimId, String>,
    /// All changes as they were written down, for people.
    pub(crate) raw: Vec<Raw>,
    /// What a member's watch has left out, although others have told it: the store's own fault.
    pub(crate) untold: Vec<String>,
    /// The last revision of each epoch, counted by the upper half of a revision, that another leader has ended:
    /// the store has none that is larger, whatever it has acknowledged.
    pub(crate) ends: HashMap<u64, u64>,
    /// Sessions that a deposed leader has had ended, or a client by way of one.
    pub(crate) ended_by_deposed: Vec<EndedByDeposed>,
    /// What servers say of their own data: that they differ from the leader's.
    pub(crate) diverged: Vec<String>,
    /// Which ids were written under a guard.
    pub(crate) written: HashMap<u64, u64>,
}

/// A session that a deposed leader has had ended, or a client by way of one.
#[derive(Clone, Debug)]
pub(crate) struct EndedByDeposed {
    /// As claims begin.
    pub(crate) session: String,
    pub(crate) at: Stamp,
    pub(crate) how: String,
}
