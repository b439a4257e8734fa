//! What a client knows of one claim, what it asks the store, and what the store answers.

use crate::store::{Claim, Floor, Held, Path, Place, Seq};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Exclusive,
    Shared,
    Permits(u8),
}

impl Mode {
    pub(crate) fn weight(self) -> u8 {
        match self {
            Mode::Permits(weight) => weight,
            Mode::Exclusive | Mode::Shared => 0,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    #[default]
    Idle,
    /// Its node is being created; whether it is there is not known.
    Joining,
    /// In the queue: waiting, or holding as an exclusive head.
    InLine,
    /// In `h/`.
    BehindGate,
    Finished,
}

/// What a claim that has just joined is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Next {
    Arm,
    Confirm(Held),
    Gate,
}

/// What a claim in the queue is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Look at the node ahead, and watch it.
    #[default]
    Arm,
    /// The watch on the node ahead is there.
    Waits,
    /// An answer said that the node ahead is missing: read the floor.
    Floor,
    /// An event said so, and the next server may not have come as far: read the floor.
    Told,
    /// Too many were missing: list, once.
    List,
    /// It is the head, if it is still there at all: watch the own node first.
    Confirm(Held),
    /// `try`: look at those ahead; then what it would do next otherwise.
    Recheck(Next),
    /// It is the head: read the holders.
    Gate,
    /// Holders keep it out: look at the first of them, and watch it.
    Guard,
    /// The watch on the holder is there.
    Kept,
    /// The holders let it in.
    Admit,
    /// They do, and their container is missing.
    MakeGate,
    /// For a mutant: the first half of an admission is done.
    AdmitRest,
    /// It holds, as an exclusive head.
    Holds,
}

/// How far a `try` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Try {
    /// It has looked, and may join.
    pub looked: bool,
    /// For the properties: a claim that keeps it out was in line meanwhile.
    pub witness: bool,
}

/// A client's view of its claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClaimState {
    pub phase: Phase,
    pub step: Step,
    /// `try` is running, and has not answered.
    pub trying: Option<Try>,
    /// The user wants it gone.
    pub leaving: bool,
    /// The one outstanding request; and if it is a write that is done, the answer, which comes in the
    /// client's stream where the server has reached this version.
    pub request: Option<Request>,
    pub reply: Option<(Reply, usize)>,
    /// The answer of a write was lost.
    pub doubt: bool,
    /// `q/<queue>/c-<seq>`.
    pub place: Option<Place>,
    /// The node ahead that it looks at.
    pub ahead: Seq,
    /// How many were missing.
    pub misses: u8,
    /// What was below it when it listed.
    pub list: Option<Vec<Seq>>,
    /// As the head: the holders that it waits for. There will be no others.
    pub kept_by: Vec<Claim>,
    /// It is known to be the head.
    pub head: bool,
    /// The one-shot watches: on what keeps it waiting, and on its own node.
    pub watch: Option<Path>,
    pub own: bool,
    /// It believes to hold.
    pub granted: bool,
    /// It was exclusive, and is to be shared.
    pub weakened: bool,
    /// For mutants: what was read before it was head lets it in.
    pub early: bool,
    /// For a mutant: the node ahead was there when it looked; the watch comes after.
    pub looked: bool,
}

impl ClaimState {
    pub(crate) fn finish(&mut self) {
        *self = ClaimState { phase: Phase::Finished, ..ClaimState::default() };
    }

    pub(crate) fn is_active(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Finished)
    }

    /// Its own node, as far as it knows.
    pub(crate) fn own_path(&self, me: Claim) -> Option<Path> {
        match self.phase {
            Phase::BehindGate => Some(Path::Holder(me)),
            Phase::InLine => self.place.map(Path::Queue),
            _ => None,
        }
    }

    pub(crate) fn watched(&self, me: Claim) -> impl Iterator<Item = Path> {
        let own = self.own_path(me).filter(|_| self.own);
        self.watch.into_iter().chain(own)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Request {
    /// Look for the line's queue, and make one if there is none.
    Make,
    /// `create2` in this queue, whose floor the session knows already; and read the queue, unless that is left
    /// out.
    Join(u8, Option<Floor>),
    /// An empty write, then look for nodes with the claim's id.
    Recover,
    /// `sync`, then look at the whole line.
    Look,
    /// Look at those ahead.
    LookAhead,
    /// `get_and_watch` of these: what keeps it waiting, and its own node.
    Watch(Option<Path>, bool),
    ReadFloor,
    List,
    ReadHolders,
    /// Leave the queue; as a head with a floor.
    Leave(Place, Option<Floor>),
    /// Make `h`.
    MakeGate,
    /// From the queue to the holders.
    Admit(Place, Floor),
    /// For a mutant: the second half of it.
    Hold,
    /// Delete `h/me`.
    Release,
}

impl Request {
    /// Whether it changes the store: then it matters whether it is lost, late, or lands unheard.
    pub(crate) fn writes(self) -> bool {
        !matches!(
            self,
            Request::Recover
                | Request::Look
                | Request::LookAhead
                | Request::Watch(..)
                | Request::ReadFloor
                | Request::List
                | Request::ReadHolders
        )
    }

    /// Whether it makes a container: whoever does it again finds it.
    pub(crate) fn makes(self) -> bool {
        matches!(self, Request::Make | Request::MakeGate)
    }

    /// Whether it takes the claim's node away.
    pub(crate) fn deletes(self) -> bool {
        matches!(self, Request::Leave(..) | Request::Admit(..) | Request::Release)
    }
}

/// What a write answers. A read answers when it is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    Made(u8),
    Joined(Place),
    Done,
    /// A node was missing: the queue, or its own.
    NoNode,
    /// `h` was missing.
    NoGate,
    /// What was committed before can be seen, and what came before on this session's connections has landed,
    /// or never will: after an empty write, or a `sync`.
    Synced,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionState {
    /// How far its server has come, as the client has heard by answers and events.
    pub at: usize,
    /// The same by answers alone: events carry no zxid, and the next server must only have seen this.
    pub seen: usize,
    /// The line's queue, as last heard.
    pub known: Option<u8>,
    /// Its floor, as an answer has told of it: only of a session with several claims, where another may use it.
    pub floor: Option<Floor>,
    /// Its deadline has passed, and its nodes are gone.
    pub ended: bool,
}

/// Two requests of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Eviction {
    pub target: Claim,
    pub path: Path,
}
