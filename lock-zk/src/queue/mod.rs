//! The queue at a constant cost (`docs/zookeeper-protocol.md`).
//!
//! | file | |
//! |---|---|
//! | `place`, `floor` | what nodes say |
//! | `current` | which queue a line has at present |
//! | `known` | what a session knows of a queue without asking |
//! | `enter` | coming into the queue |
//! | `ahead` | who is ahead of a claim |
//! | `wait` | from joined to the head of the queue |
//! | `gate` | from the head to holding |
//! | `search` | finding anybody's claim |
//! | `view` | a line as others see it |

mod ahead;
mod current;
mod enter;
mod floor;
mod gate;
mod known;
mod place;
mod search;
mod view;
mod wait;

use std::sync::Arc;

use lock_core::{ClaimId, Line, LineId, Mode, Modes, Moment, Names, Result, backend::Record};

use self::{ahead::Ahead, current::Current, known::Known, view::Seen};
pub(crate) use self::{floor::Floor, place::Place};
use crate::{
    claims::{self, Claims, Counted, Protocol, Seat, Watch},
    error::Said,
    mirror::Mirror,
    paths::{LinePaths, Namespace},
};

/// The claims of a session, in this layout.
type Queue = Claims<Native>;
type Standing = claims::Standing<Native>;
type Work = claims::Work<Native>;

/// The layout that is this library's own.
pub(crate) struct Native {
    namespace: Namespace,
    current: Current,
}

/// How far a claim has come.
pub(crate) struct Way {
    /// Who is still ahead in the queue.
    ahead: Ahead,
    /// What the queue's data said last.
    floor: Floor,
    /// What the session knows of the queue. `None`: whoever had a place that it did not hear of asks.
    known: Option<Arc<Known>>,
    /// Whether the claim had nothing of reading the queue as it came in, or would have had nothing.
    in_vain: bool,
}

impl Way {
    /// What the queue's own node says: this claim has been in it.
    fn learn(&mut self, data: &[u8]) {
        self.floor = Floor::read(data);
        if let Some(known) = &self.known {
            known.learn(self.floor);
        }
    }

    /// Nobody is ahead.
    fn is_first(&mut self) {
        if let Some(known) = self.known.as_ref().filter(|_| self.ahead != Ahead::Nobody) {
            known.reading_tells(!self.in_vain);
        }
        self.ahead = Ahead::Nobody;
    }
}

impl Native {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self { namespace, current: Current::default() }
    }
}

impl Protocol for Native {
    const NAMES: Names = Names::Independent;

    type Paths = LinePaths;
    type Way = Way;

    fn modes(&self) -> Modes {
        Modes::All
    }

    fn paths(&self, line: &LineId) -> Result<LinePaths> {
        Ok(self.namespace.line(line))
    }

    fn way(seat: &Seat) -> Way {
        let ahead = match seat {
            Seat::Queue(at) => Ahead::Below(at.sequence),
            Seat::Nowhere | Seat::Beyond(_) => Ahead::Nobody,
        };
        Way { ahead, floor: Floor::FRESH, known: None, in_vain: false }
    }

    fn holds(work: &Work) -> bool {
        let is_head = work.way.ahead == Ahead::Nobody && !work.way.floor.held;
        matches!(work.seat, Seat::Beyond(_)) || (work.record.mode == Mode::Exclusive && is_head)
    }

    fn data(standing: &Standing, seat: &Seat, record: &Record) -> Vec<u8> {
        match seat {
            Seat::Beyond(_) => Record { place: Some(standing.place()), ..record.clone() }.write(),
            Seat::Nowhere | Seat::Queue(_) => Place { claim: standing.id, record: record.clone() }.write(),
        }
    }

    async fn come_in(queue: &Queue, standing: &Standing, work: &mut Work) -> Result<Said<()>> {
        match work.record.mode {
            Mode::Present => queue.be_present(standing, work).await,
            _ => queue.queue_up(standing, work).await,
        }
    }

    async fn looks_free(queue: &Queue, standing: &Standing, mode: Mode) -> Result<bool> {
        queue.looks_free_to(standing, mode).await
    }

    async fn passes_soon(queue: &Queue, standing: &Standing) -> Result<bool> {
        queue.passes_behind_others(standing).await
    }

    async fn take_turn(queue: &Queue, standing: &Standing, work: &mut Work) -> Result<Option<Watch>> {
        queue.reach_its_seat(standing, work).await
    }

    async fn find(
        queue: &Queue,
        standing: &Standing,
        mode: Mode,
        sent: Moment,
    ) -> Result<Option<(Seat, i64)>> {
        if mode != Mode::Present {
            return queue.counted(standing, sent).await;
        }
        let Some(path) = standing.paths.seat(mode, standing.id) else { return Ok(None) };
        let there = queue.is_ours(&path).await?;
        Ok(there.map(|stat| (Seat::Beyond(path), stat.czxid)))
    }

    async fn count(queue: &Queue, paths: &LinePaths) -> Result<Counted> {
        queue.count_places(paths).await
    }

    async fn go(queue: &Queue, work: &Work, path: &str) -> Result<Said<()>> {
        match &work.seat {
            Seat::Queue(at) if work.way.ahead == Ahead::Nobody => {
                queue.leave_as_head(&work.way, at, path).await
            }
            _ => Ok(queue.connection.client()?.delete(path, None).await),
        }
    }

    async fn weaken(queue: &Queue, standing: &Standing, work: &mut Work, record: Record) -> Result<()> {
        let Some(to) = standing.paths.seat(record.mode, standing.id) else { return Ok(()) };
        queue.move_to(standing, work, to, record).await
    }

    async fn see(queue: &Queue, line: &LineId, mirror: &mut Mirror) -> Result<Line> {
        Seen::read(queue, &queue.namespace.line(line), mirror).await?.line(line)
    }

    async fn nodes_of(queue: &Queue, line: &LineId, claim: ClaimId) -> Result<Vec<String>> {
        queue.nodes_of_claim(line, claim).await
    }
}
