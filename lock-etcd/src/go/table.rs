//! The claims that this session has in line.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lock_core::{
    Claim, ClaimId, Error, ErrorKind, Fate, Kind, LineId, Mode, Result,
    backend::{Left, RawNames, Record},
    sync::{Signal, locked},
};

use super::{
    Go,
    keys::LineKeys,
    standing::{Standing, State},
};
use crate::watch::Watch;

#[derive(Default)]
pub(super) struct Table {
    claims: BTreeMap<u64, Arc<Standing>>,
    /// By the prefix of their keys.
    lines: BTreeMap<String, InLine>,
    names: RawNames,
    left: Left,
}

/// What this session has in one line.
pub(super) struct InLine {
    id: LineId,
    pub(super) claims: BTreeMap<u64, Arc<Standing>>,
    /// Places that were given back, and the next one that was never used. They are used again because etcd
    /// walks over every key that was ever deleted under a prefix until its history is compacted.
    free: BTreeSet<u64>,
    next: u64,
    /// Watches the session's own places, once one of them has been in line for a while.
    pub(super) watch: Option<Watch>,
}

impl InLine {
    fn new(id: LineId) -> Self {
        Self { id, claims: BTreeMap::new(), free: BTreeSet::new(), next: 0, watch: None }
    }

    /// A candidate's place is its claim's number, because its value has no room for that.
    fn take_place(&mut self, claim: ClaimId) -> u64 {
        if self.id.kind() == Kind::Election {
            return claim.number;
        }
        self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

impl Table {
    pub(super) fn claim(&self, id: ClaimId) -> Option<Arc<Standing>> {
        self.claims.get(&id.number).filter(|standing| standing.id == id).cloned()
    }

    pub(super) fn claims(&self) -> Vec<(LineId, ClaimId)> {
        self.claims.values().map(|standing| (standing.line.clone(), standing.id)).collect()
    }

    pub(super) fn line(&mut self, keys: &LineKeys) -> Option<&mut InLine> {
        self.lines.get_mut(keys.prefix())
    }

    fn forget(&mut self, standing: &Standing, for_good: bool) {
        // The number, and then the place, may be those of another by now.
        if !self.claims.get(&standing.id.number).is_some_and(|known| std::ptr::eq(&**known, standing)) {
            return;
        }
        self.claims.remove(&standing.id.number);
        if for_good {
            self.left.insert(standing.id.number);
        }
        let Some(in_line) = self.line(&standing.keys) else { return };
        in_line.claims.remove(&standing.number);
        if standing.line.kind() != Kind::Election {
            in_line.free.insert(standing.number);
        }
        if in_line.claims.is_empty() {
            self.lines.remove(standing.keys.prefix());
            self.names.leave(&standing.line);
        }
    }
}

impl Go {
    /// Makes the claim known here, before anything is said to the store; `None` when it has left.
    pub(super) fn enrol(&self, line: &LineId, claim: &Claim) -> Result<Option<Arc<Standing>>> {
        // One that is refused does not come back.
        let refused = |_: &_| {
            if claim.id.session == self.session {
                locked(&self.table).left.insert(claim.id.number);
            }
        };
        self.enter_the_table(line, claim).inspect_err(refused)
    }

    fn enter_the_table(&self, line: &LineId, claim: &Claim) -> Result<Option<Arc<Standing>>> {
        if claim.mode != Mode::Exclusive {
            let message = format!("there are no {} claims in the layout of Go", claim.mode);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if claim.id.session != self.session {
            return Err(Error::new(ErrorKind::Refused, "the claim belongs to another session"));
        }
        let keys = self.room.line(line)?;
        let mut table = locked(&self.table);
        if table.left.contains(claim.id.number) {
            return Ok(None);
        }
        if let Some(standing) = table.claim(claim.id) {
            return Ok(Some(standing));
        }
        table.names.enter(line)?;
        let in_line =
            table.lines.entry(keys.prefix().to_owned()).or_insert_with(|| InLine::new(line.clone()));
        let number = in_line.take_place(claim.id);
        let standing = Arc::new(Standing {
            id: claim.id,
            line: line.clone(),
            number,
            key: keys.place(line.kind(), self.session, number),
            void: self.room.void(claim.id),
            keys,
            fate: Arc::new(Fate::default()),
            state: Signal::new(State::new(Record::from(claim))),
        });
        in_line.claims.insert(number, standing.clone());
        table.claims.insert(claim.id.number, standing.clone());
        Ok(Some(standing))
    }

    /// The claim is no more; `for_good` unless it may be made again. A call that has it leave sees to it itself.
    pub(super) fn forget(&self, standing: &Standing, for_good: bool) {
        let mut table = locked(&self.table);
        if standing.state.read(|state| state.leaves == 0) {
            table.forget(standing, for_good);
        }
    }

    /// Begins to have a claim leave, unless the session knows of none: no join of it is sent any more.
    pub(super) fn leaving(&self, line: &LineId, claim: ClaimId) -> Option<Leaving<'_>> {
        let mut table = locked(&self.table);
        if claim.session == self.session {
            table.left.insert(claim.number);
        }
        let standing = table.claim(claim).filter(|standing| standing.line == *line)?;
        standing.state.update_silently(|state| (state.leaving, state.leaves) = (true, state.leaves + 1));
        Some(Leaving { go: self, standing })
    }
}

/// A call that has a claim leave. There may be several: nobody else is given the claim's place before the last of them
/// has ended, which might take it for the claim's own.
pub(super) struct Leaving<'a> {
    go: &'a Go,
    pub(super) standing: Arc<Standing>,
}

impl Leaving<'_> {
    /// The claim is in line no more, and no request of it can bring it back.
    pub(super) fn has_left(&self) {
        self.standing.state.update_silently(|state| state.left = true);
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut table = locked(&self.go.table);
        let is_over = self.standing.state.update_silently(|state| {
            state.leaves -= 1;
            state.left && state.leaves == 0
        });
        if is_over {
            table.forget(&self.standing, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Waker},
        time::{Duration, UNIX_EPOCH},
    };

    use lock_core::{
        Lease, LostReason, Payload, SessionId,
        runtime::{Runtime as _, TokioRuntime},
    };

    use super::*;
    use crate::{
        connection::Connection,
        go::{Room, standing::Phase},
        links::tests::links,
        watch::Watcher,
    };

    /// A session whose store is not there.
    fn go() -> Arc<Go> {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let connection = Connection::new(links(&runtime), "key".to_owned());
        let lease = Arc::new(Lease::new(runtime.clone(), runtime.now(), Duration::from_secs(10)));
        let (watcher, _task) = Watcher::new();
        let room = Room::new(None);
        Go::new(SessionId::new(1), room, Arc::new(connection), lease, runtime, watcher)
    }

    fn line() -> LineId {
        LineId::new(Kind::Mutex, "x".parse().unwrap())
    }

    fn claim(go: &Go, number: u64) -> Claim {
        let id = ClaimId { session: go.session, number };
        Claim { id, mode: Mode::Exclusive, owner: "o".into(), payload: Payload::default(), since: UNIX_EPOCH }
    }

    fn enrol(go: &Go, number: u64) -> Arc<Standing> {
        go.enrol(&line(), &claim(go, number)).unwrap().unwrap()
    }

    #[tokio::test]
    async fn c1_no_two_claims_are_given_one_place_however_often_one_is_forgotten() {
        let go = go();
        let gone = enrol(&go, 0);
        go.forget(&gone, true);
        let next = enrol(&go, 1);
        assert_eq!(next.key, gone.key, "a place is used again");
        go.forget(&gone, true);
        assert_ne!(enrol(&go, 2).key, next.key);
    }

    #[tokio::test]
    async fn c1_nobody_is_given_the_place_of_a_claim_that_a_second_call_has_leave() {
        let go = go();
        let gone = enrol(&go, 0);
        gone.state.update(|state| state.unanswered = 1);
        // It makes sure that no join lands, and is not answered.
        let mut second = Box::pin(async { go.leave(&line(), claim(&go, 0).id).await });
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        gone.state.update(|state| state.unanswered = 0);
        go.leave(&line(), gone.id).await.unwrap();
        assert_ne!(enrol(&go, 1).key, gone.key, "the second call would take it for the claim's own");
        // Nor has a join that fails.
        go.forget(&gone, true);
        assert_ne!(enrol(&go, 2).key, gone.key);
        drop(second);
        assert_eq!(enrol(&go, 3).key, gone.key);
    }

    #[tokio::test]
    async fn a_claim_that_is_refused_leaves_no_gap_among_those_that_have_left() {
        let go = go();
        let shared = Claim { mode: Mode::Shared, ..claim(&go, 0) };
        assert_eq!(go.enrol(&line(), &shared).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(locked(&go.table).left.contains(0));
    }

    #[tokio::test]
    async fn who_is_evicted_before_its_join_is_answered_is_forgotten() {
        let go = go();
        let evicted = enrol(&go, 0);
        evicted.end(LostReason::Evicted);
        assert_eq!(go.not_in_line(&evicted).kind(), ErrorKind::NotHeld);
        assert!(go.enrol(&line(), &claim(&go, 0)).unwrap().is_none(), "it may come back");
        assert_eq!(locked(&go.table).claims(), []);
        assert_eq!(evicted.state.read(|state| state.phase), Phase::Gone);
    }
}
