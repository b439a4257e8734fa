//! What a client knows of one claim, what it asks the store, and what the store answers.

use crate::store::{Claim, News, Revision, Session, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Exclusive,
    Shared,
    Permits(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    #[default]
    Idle,
    /// Asked to enter; whether it has is not known.
    Entering,
    /// In `q/`: waiting, or holding as an exclusive head.
    InLine,
    /// In `h/`.
    BehindGate,
    Finished,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Pred {
    #[default]
    Unknown,
    Claim(Claim),
    /// There is none, and never will be: nodes only get higher revisions.
    None,
}

/// A client's view of its claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClaimState {
    pub phase: Phase,
    /// Somebody has come since its session left a tail behind.
    pub not_again: bool,
    /// It has asked to follow another claim once.
    pub not_follow: bool,
    /// The last news of those ahead that came while it asked to follow.
    pub told_early: Option<News>,
    /// The session of the claim that it asked to follow ended meanwhile.
    pub ended_early: bool,
    /// `try` is running, and has not answered.
    pub trying: bool,
    /// The user wants it gone.
    pub leaving: bool,
    /// The one outstanding request, and its answer if that is on its way.
    pub request: Option<Request>,
    pub reply: Option<Reply>,
    /// Create revision of `q/me`.
    pub place: Revision,
    /// Mod revision of `q/me/next`, and the claim written there; 0 when there is none.
    pub modified: Revision,
    pub next: Option<Claim>,
    pub pred: Pred,
    /// The tail said that the predecessor came straight in: nobody is before it.
    pub pred_is_head: bool,
    pub linked: bool,
    /// The claim of its own session that waits behind it: it said so here, not in the store.
    pub follower: Option<Claim>,
    /// It came straight in.
    pub straight: bool,
    /// It has left the queue by a request that was answered, so whoever it knew behind it is told.
    pub parted: bool,
    /// It was deleted, and no answer came: somebody may have been behind it.
    pub dropped: bool,
    /// It is gone, and the next one must be told.
    pub tells: Option<News>,
    /// A find is due.
    pub search: bool,
    /// As the head: what it read, or was told, admits it. An exclusive claim then holds.
    pub admitted: bool,
    /// As the head that is not admitted: the acknowledged watch on `h/` is there.
    pub watching: bool,
    /// An attempt to enter may still land.
    pub doubt: bool,
    /// Create revision of `h/me`.
    pub held: Revision,
    /// The mod revision of a stale `tail` that `try` has seen.
    pub stale_tail: Revision,
    /// The revision of a read that admits permits, the fast path's bound; 0: what was read does not.
    pub bound: Option<Revision>,
    /// It believes to hold, with this token.
    pub token: Option<Revision>,
    /// For the properties: an operator has removed its node.
    pub evicted: bool,
    /// For the properties: another claim was in line while `try` ran.
    pub witness: bool,
}

impl ClaimState {
    /// The end of the claim. What is on its way stays on its way.
    pub(crate) fn finish(&mut self) {
        let (request, reply) = (self.request, self.reply);
        *self = ClaimState { phase: Phase::Finished, request, reply, ..ClaimState::default() };
    }

    /// Takes over what is known of `q/me/next`, unless something newer is known.
    pub(crate) fn see(&mut self, modified: Revision, next: Option<Claim>) {
        if modified > self.modified {
            (self.modified, self.next) = (modified, next);
        }
    }

    /// Its predecessor is another one now.
    pub(crate) fn stand_behind(&mut self, pred: Claim) {
        (self.pred, self.pred_is_head, self.linked) = (Pred::Claim(pred), false, false);
    }

    pub(crate) fn each_revision(&mut self, visit: &mut dyn FnMut(&mut Revision)) {
        visit(&mut self.place);
        visit(&mut self.modified);
        visit(&mut self.held);
        visit(&mut self.stale_tail);
        self.bound.iter_mut().for_each(&mut *visit);
        self.token.iter_mut().for_each(&mut *visit);
        if let Some(request) = &mut self.request {
            request.each_revision(visit);
        }
        if let Some(reply) = &mut self.reply {
            reply.each_revision(visit);
        }
    }
}

/// What leaving the queue needs to know: for a release, a withdrawal, an admission and an eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Exit {
    pub modified: Revision,
    /// None: it is the head.
    pub pred: Option<Claim>,
    pub next: Option<Claim>,
    /// The next one is of the same session: it hears of this from the answer, and its bell is not rung.
    pub tells_here: bool,
    /// It holds as an exclusive head, so nobody holds behind the gate.
    pub holds: bool,
    /// A void is to be left.
    pub void: bool,
    /// The claim that may link meanwhile, as far as can be guessed.
    pub expected: Option<Claim>,
}

/// What an operator has read of a claim that it is about to evict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Eviction {
    FromQueue(Exit),
    /// It holds behind the gate, by a node of this create revision.
    FromHolders(Revision),
}

impl Eviction {
    pub(crate) fn each_revision(&mut self, visit: &mut dyn FnMut(&mut Revision)) {
        match self {
            Eviction::FromQueue(exit) => visit(&mut exit.modified),
            Eviction::FromHolders(created) => visit(created),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Request {
    /// The read before the fast path of permits.
    ReadHolders,
    /// Straight in over the tail that a claim of the same session left behind, of this mod revision.
    Again(Revision),
    Join,
    /// A place in the queue, without a look whether the line is free; with a look at the holders.
    Queue,
    /// A place behind this claim, linked to it, if it is the last; otherwise a place in the queue.
    Follow(Claim),
    /// Join, or with `fast` the fast path: for permits with the revision of the read that admits them.
    Enter(Option<Revision>),
    /// With the mod revision of the stale tail that it replaces.
    Try(Option<Revision>),
    Void,
    WatchSession(Session),
    WatchHolders,
    Link(Claim),
    /// Who is the last before this place?
    Find(Revision),
    Leave(Exit),
    /// Delete `q/me` and `q/me/next`, whatever they are.
    Drop,
    /// After a delete without an answer: who comes after this place?
    After(Revision),
    /// The next one, that it is the head now.
    Tell(News),
    Admit(Exit),
    /// Delete `h/me` of this create revision; with a void.
    Release(Revision, bool),
}

impl Request {
    /// Whether it changes the store: only then does it matter that it is lost, late, or lands unheard.
    pub(crate) fn writes(self) -> bool {
        !matches!(
            self,
            Request::ReadHolders
                | Request::WatchSession(_)
                | Request::WatchHolders
                | Request::Find(_)
                | Request::After(_)
        )
    }

    pub(crate) fn each_revision(&mut self, visit: &mut dyn FnMut(&mut Revision)) {
        match self {
            Request::Enter(at) | Request::Try(at) => at.iter_mut().for_each(visit),
            Request::Find(at) | Request::Again(at) | Request::After(at) | Request::Release(at, _) => {
                visit(at)
            }
            Request::Leave(exit) | Request::Admit(exit) => visit(&mut exit.modified),
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// In line, at this revision, behind the one that `tail` named; or straight in. Whether the holders admit it
    /// was asked in the same transaction.
    Joined { at: Revision, tail: Value, straight: bool, admits: bool },
    /// In line, at this revision, behind the claim that it follows.
    Followed(Revision),
    /// The Then branch, at this revision.
    Done(Revision),
    /// It has left, and the claim that was expected has linked before and is told.
    HandedOn,
    /// Deleted: whether it was there, and who was linked behind it.
    Dropped(bool, Option<Claim>),
    /// What a read, or an Else branch, has read.
    Seen(Seen),
}

impl Reply {
    fn each_revision(&mut self, visit: &mut dyn FnMut(&mut Revision)) {
        match self {
            Reply::Joined { at, .. } | Reply::Followed(at) | Reply::Done(at) => visit(at),
            Reply::HandedOn | Reply::Dropped(..) => {}
            Reply::Seen(seen) => {
                visit(&mut seen.revision);
                visit(&mut seen.tail);
                seen.held.iter_mut().for_each(&mut *visit);
                if let Some((created, modified, _)) = &mut seen.node {
                    visit(created);
                    visit(modified);
                }
            }
        }
    }
}

/// What was read. A request fills in only what it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// The store's revision, where it matters.
    pub revision: Revision,
    /// `q/me`: its create revision; `q/me/next`: its mod revision, and the claim.
    pub node: Option<(Revision, Revision, Option<Claim>)>,
    /// Create revision of `h/me`.
    pub held: Option<Revision>,
    /// Mod revision of `tail`.
    pub tail: Revision,
    /// `v/me` is there, for `try`.
    pub voided: bool,
    /// Neither `q/` nor `h/` has a key.
    pub empty: bool,
    /// The last claim before mine, for a find.
    pub below: Option<Claim>,
    /// What the mark says, for a link.
    pub mark: Value,
    /// The first claim after a place.
    pub after: Option<Claim>,
    /// The holders admit my mode.
    pub admits: bool,
    pub pred_lives: bool,
    pub next_lives: bool,
}
