//! One claim of this session: where it stands, as far as is known.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use lock_core::{
    Claim, ClaimId, Error, Fate, FencingToken, LineId, LostReason, Moment, Result, Ticket, backend::Record,
    sync::Signal,
};
use tokio::sync::Mutex;

use super::ahead::Ahead;
use crate::{
    error::has_left,
    floor::Floor,
    paths::{LinePaths, Namespace, place},
};

/// One claim.
pub(crate) struct Standing {
    pub(crate) id: ClaimId,
    pub(crate) line: LineId,
    pub(crate) paths: LinePaths,
    pub(crate) fate: Arc<Fate>,
    /// The transaction that brought it into line; 0 before.
    place: AtomicU64,
    driven: AtomicBool,
    /// What keeps it from being driven on.
    trouble: Signal<Option<Error>>,
    /// Held by whoever takes the claim a step further: one at a time.
    pub(crate) work: Mutex<Work>,
}

/// What the next step depends on.
pub(crate) struct Work {
    /// As it is in the store, or is to be.
    pub(crate) record: Record,
    pub(crate) seat: Seat,
    /// A request that takes it elsewhere and that was not answered, or not yet.
    pub(crate) doubt: Option<Doubt>,
    /// Whether nobody else was in the queue when it came.
    pub(crate) alone: bool,
    /// Who is still ahead in the queue.
    pub(crate) ahead: Ahead,
    /// What the queue's data said last.
    pub(crate) floor: Floor,
}

/// Where a claim's node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// There is none.
    Nowhere,
    /// In the queue.
    Queue(At),
    /// Behind the gate, or among those present, at this path.
    Beyond(String),
}

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// The queue's path.
    pub(crate) queue: Arc<str>,
    pub(crate) sequence: i64,
}

impl At {
    pub(crate) fn path(&self) -> String {
        place(&self.queue, self.sequence)
    }
}

/// A request that was not answered.
#[derive(Clone, Debug)]
pub(crate) struct Doubt {
    /// What began later than this sees what it has done.
    pub(crate) sent: Moment,
    /// Where it takes the claim, and as what; `None`: away, or into the queue.
    pub(crate) to: Option<(String, Record)>,
}

impl Standing {
    pub(super) fn new(namespace: &Namespace, line: &LineId, claim: &Claim) -> Self {
        let Claim { id, mode, owner, payload, since } = claim.clone();
        let record = Record { owner, mode, since, payload, place: None };
        let work = Work {
            record,
            seat: Seat::Nowhere,
            doubt: None,
            alone: false,
            ahead: Ahead::Nobody,
            floor: Floor::FRESH,
        };
        Self {
            id,
            line: line.clone(),
            paths: namespace.line(line),
            fate: Arc::default(),
            place: AtomicU64::new(0),
            driven: AtomicBool::new(false),
            trouble: Signal::new(None),
            work: Mutex::new(work),
        }
    }

    /// It is in line since this transaction.
    pub(super) fn took(&self, place: i64) {
        self.place.store(place.cast_unsigned(), Ordering::Release);
    }

    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Acquire)
    }

    pub(crate) fn ticket(&self) -> Option<Ticket> {
        let place = Some(self.place()).filter(|place| *place > 0)?;
        Some(Ticket { line: self.line.clone(), claim: self.id, place })
    }

    /// It is this claim's turn.
    pub(super) fn grant(&self) -> Result<()> {
        self.fate.grant(FencingToken::new(self.place())?);
        Ok(())
    }

    pub(super) fn end(&self, reason: LostReason) {
        self.fate.end(reason);
    }

    /// Whether it has been given to the task that drives claims on.
    pub(super) fn is_driven(&self) -> bool {
        self.driven.load(Ordering::Acquire)
    }

    /// It is given to that task now; tells whether it was before.
    pub(super) fn drives(&self) -> bool {
        self.driven.swap(true, Ordering::AcqRel)
    }

    /// Waits for the grant, or for what keeps it from coming.
    pub(super) async fn granted(&self) -> Result<FencingToken> {
        tokio::select! { biased;
            granted = self.fate.granted() => granted.map_err(Error::lost),
            () = self.trouble.wait(|trouble| trouble.is_some().then_some(())) => {
                Err(self.trouble.update_silently(Option::take).unwrap_or_else(has_left))
            }
        }
    }

    /// It is not driven on any more. Who waits for it is told, once; whoever holds is told by its fate.
    pub(super) fn fail(&self, error: Error) {
        self.trouble.update(|trouble| *trouble = Some(error));
    }

    /// The path of the claim's node.
    pub(crate) fn path(&self, seat: &Seat) -> Option<String> {
        match seat {
            Seat::Nowhere => None,
            Seat::Queue(at) => Some(at.path()),
            Seat::Beyond(path) => Some(path.clone()),
        }
    }
}

impl Work {
    /// The record as it is written where the claim does not stand in the queue.
    pub(super) fn record_beyond(&self, place: u64) -> Record {
        Record { place: Some(place), ..self.record.clone() }
    }
}
