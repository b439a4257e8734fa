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

use super::Protocol;
use crate::{connection::Connection, error::has_left};

/// One claim.
pub(crate) struct Standing<P: Protocol> {
    pub(crate) id: ClaimId,
    pub(crate) line: LineId,
    pub(crate) paths: P::Paths,
    pub(crate) fate: Arc<Fate>,
    /// The transaction that brought it into line; 0 before.
    place: AtomicU64,
    driven: AtomicBool,
    /// What keeps it from being driven on.
    trouble: Signal<Option<Error>>,
    /// Held by whoever takes the claim a step further: one at a time.
    pub(crate) work: Mutex<Work<P>>,
}

/// What the next step depends on.
pub(crate) struct Work<P: Protocol> {
    /// As it is in the store, or is to be.
    pub(crate) record: Record,
    pub(crate) seat: Seat,
    /// A request that takes it elsewhere and that was not answered, or not yet.
    pub(crate) doubt: Option<Doubt>,
    /// How far it has come.
    pub(crate) way: P::Way,
}

/// Where a claim's node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// There is none.
    Nowhere,
    /// In the queue.
    Queue(At),
    /// Out of the queue, at this path: behind the gate, or among those present.
    Beyond(String),
}

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// The queue's path.
    pub(crate) queue: Arc<str>,
    /// The node's own name.
    pub(crate) name: Arc<str>,
    pub(crate) sequence: i64,
}

impl At {
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.queue, self.name)
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

impl Doubt {
    /// Of a create that has just been asked for, and not been awaited yet: the client queues a request when it is
    /// called. So whoever looks later than this moment asks behind it. Were the moment taken before, another
    /// claim's look could come in between, miss the node and be believed, and the node would be made twice.
    pub(crate) fn of_what_is_queued(connection: &Connection) -> Self {
        Self { sent: connection.runtime.now(), to: None }
    }
}

impl Seat {
    /// The path of the claim's node.
    pub(crate) fn path(&self) -> Option<String> {
        match self {
            Self::Nowhere => None,
            Self::Queue(at) => Some(at.path()),
            Self::Beyond(path) => Some(path.clone()),
        }
    }
}

impl<P: Protocol> Standing<P> {
    pub(super) fn new(paths: P::Paths, line: &LineId, claim: &Claim) -> Self {
        let (seat, record) = (Seat::Nowhere, Record::from(claim));
        let work = Work { record, way: P::way(&seat), seat, doubt: None };
        Self {
            id: claim.id,
            line: line.clone(),
            paths,
            fate: Arc::default(),
            place: AtomicU64::new(0),
            driven: AtomicBool::new(false),
            trouble: Signal::new(None),
            work: Mutex::new(work),
        }
    }

    /// The claim is here, in line since this transaction unless it was in line before.
    pub(crate) fn sits(&self, work: &mut Work<P>, seat: Seat, place: i64) {
        work.way = P::way(&seat);
        work.seat = seat;
        if self.place() == 0 {
            self.place.store(place.cast_unsigned(), Ordering::Release);
        }
    }

    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Acquire)
    }

    pub(crate) fn ticket(&self) -> Option<Ticket> {
        let place = Some(self.place()).filter(|place| *place > 0)?;
        Some(Ticket { line: self.line.clone(), claim: self.id, place })
    }

    /// It is this claim's turn.
    pub(crate) fn grant(&self) -> Result<()> {
        self.fate.grant(FencingToken::new(self.place())?);
        Ok(())
    }

    pub(crate) fn end(&self, reason: LostReason) {
        self.fate.end(reason);
    }

    /// Whether it has been given to the task that drives claims on.
    pub(crate) fn is_driven(&self) -> bool {
        self.driven.load(Ordering::Acquire)
    }

    /// It is given to that task now; tells whether it was before.
    pub(crate) fn drives(&self) -> bool {
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
    pub(crate) fn fail(&self, error: Error) {
        self.trouble.update(|trouble| *trouble = Some(error));
    }
}
