//! The layouts of Curator and kazoo, to take turns with Java and Python (`docs/zookeeper-layouts.md`).
//!
//! Each claim is an ephemeral sequential node under the lock's own path, and waits for the nearest before it
//! that it finds in a listing. When that one is gone it lists again, as Curator and kazoo do: a writer of
//! Curator's that becomes a reader makes a node in its own place, before those who wait.
//!
//! | file | |
//! |---|---|
//! | `names` | what nodes are called |
//! | `enter` | joining, trying |
//! | `wait` | from joined to granted |
//! | `view` | a line as others see it |

mod enter;
mod names;
mod view;
mod wait;

use lock_core::{
    ClaimId, Error, ErrorKind, Kind, Line, LineId, Mode, Modes, Moment, Name, Names, Result, backend::Record,
};
use zookeeper_client::CreateMode;

#[cfg(any(test, fuzzing))]
pub(crate) use self::names::Contender;
pub(crate) use self::names::Fleet;
use self::names::Names as NodeNames;
use crate::{
    claims::{self, At, Claims, Counted, Protocol, Seat, Watch},
    error::Said,
    mirror::Mirror,
};

/// The claims of a session, in such a layout.
type Queue = Claims<Classic>;
type Standing = claims::Standing<Classic>;
type Work = claims::Work<Classic>;

/// Whose layout, and under which node: empty, or a path that begins with a slash.
#[derive(Clone, Debug)]
pub(crate) struct Classic {
    fleet: Fleet,
    root: String,
}

/// Who stands before a claim, and is in its way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// The line has not been listed since the last one was seen to be gone.
    Unknown,
    /// The nearest of them, by its name.
    Nearest(String),
    Nobody,
}

impl Ahead {
    /// What a listing says of the claim at this place; nothing, when that is not in it.
    fn of(at: &At, mode: Mode, names: NodeNames, listed: Vec<String>) -> Option<Self> {
        if !listed.iter().any(|name| **name == *at.name) {
            return None;
        }
        let before = |name: String| {
            let other = names.contender(&name)?;
            (other.sequence < at.sequence && other.is_in_the_way_of(mode)).then_some((other.sequence, name))
        };
        let nearest = listed.into_iter().filter_map(before).max();
        Some(nearest.map_or(Self::Nobody, |(_, name)| Self::Nearest(name)))
    }
}

impl Classic {
    pub(crate) fn new(fleet: Fleet, namespace: Option<&Name>) -> Self {
        Self { fleet, root: namespace.map_or_else(String::new, |namespace| format!("/{namespace}")) }
    }

    /// Where the sessions' own nodes and the cells are: no lock may be called like this.
    pub(crate) fn own(&self) -> String {
        format!("{}/{}", self.root, self.fleet.own())
    }

    /// As what a lock's node and those above it are made.
    fn room(&self) -> CreateMode {
        match self.fleet {
            Fleet::Curator => CreateMode::Container,
            // It makes sure that a lock's node is there once, and relies on that.
            Fleet::Kazoo => CreateMode::Persistent,
        }
    }
}

/// One line: the lock's node, and what those in it are called.
pub(crate) struct Lock {
    path: String,
    names: NodeNames,
}

impl Protocol for Classic {
    const NAMES: Names = Names::Raw;

    type Paths = Lock;
    type Way = Ahead;

    /// A reader of kazoo waits for writers that wait for it.
    fn modes(&self) -> Modes {
        match self.fleet {
            Fleet::Curator => Modes::ReadWrite,
            Fleet::Kazoo => Modes::Exclusive,
        }
    }

    fn paths(&self, line: &LineId) -> Result<Lock> {
        let path = format!("{}/{}", self.root, line.name());
        let mut segments = path.split('/').skip(1);
        if segments.clone().any(|segment| segment == self.fleet.own()) || segments.next() == Some("zookeeper")
        {
            let message = format!(
                "in this layout, {:?} is no part of a lock's name, nor does one lie in the node /zookeeper",
                self.fleet.own()
            );
            return Err(Error::new(ErrorKind::InvalidName, message));
        }
        Ok(Lock { path, names: self.fleet.names(line.kind()) })
    }

    fn way(_: &Seat) -> Ahead {
        Ahead::Unknown
    }

    fn holds(work: &Work) -> bool {
        work.way == Ahead::Nobody
    }

    /// A candidate's is its proposal, as Curator's `LeaderSelector` and kazoo's `Election` have it.
    fn data(standing: &Standing, _: &Seat, record: &Record) -> Vec<u8> {
        match standing.line.kind() {
            Kind::Election => record.payload.as_bytes().to_vec(),
            _ => record.write(),
        }
    }

    async fn come_in(queue: &Queue, standing: &Standing, work: &mut Work) -> Result<Said<()>> {
        queue.queue_up(standing, work).await
    }

    async fn looks_free(queue: &Queue, standing: &Standing, mode: Mode) -> Result<bool> {
        queue.nobody_is_in_the_way(standing, mode).await
    }

    async fn passes_soon(queue: &Queue, standing: &Standing) -> Result<bool> {
        queue.nobody_was_before(standing).await
    }

    async fn take_turn(queue: &Queue, standing: &Standing, work: &mut Work) -> Result<Option<Watch>> {
        queue.wait_for_those_ahead(standing, work).await
    }

    async fn find(queue: &Queue, standing: &Standing, _: Mode, sent: Moment) -> Result<Option<(Seat, i64)>> {
        queue.counted(standing, sent).await
    }

    async fn count(queue: &Queue, lock: &Lock) -> Result<Counted> {
        queue.count_nodes(lock).await
    }

    async fn go(queue: &Queue, _: &Work, path: &str) -> Result<Said<()>> {
        Ok(queue.connection.client()?.delete(path, None).await)
    }

    /// A reader's node would stand behind those writers who wait.
    async fn weaken(_: &Queue, _: &Standing, _: &mut Work, record: Record) -> Result<()> {
        let message =
            format!("in this layout of ZooKeeper's nodes, no claim that holds becomes {}", record.mode);
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    async fn see(queue: &Queue, line: &LineId, mirror: &mut Mirror) -> Result<Line> {
        queue.see(line, mirror).await
    }

    async fn nodes_of(queue: &Queue, line: &LineId, claim: ClaimId) -> Result<Vec<String>> {
        queue.nodes_of_claim(line, claim).await
    }
}
