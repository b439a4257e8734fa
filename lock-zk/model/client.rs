//! What a client does: its next request, and what it makes of answers and events.

use crate::{
    claim::{Mode, Next, Phase, Reply, Request, Step},
    mutant::Mutant,
    properties::Broken,
    store::{Claim, Floor, Held, Path, Place, Seq, Store},
    world::{Setup, State},
};

impl State {
    /// Sends the next request, if none is outstanding and one is due.
    pub(crate) fn advance(&mut self, setup: &Setup, me: Claim) {
        if self.claim(me).request.is_some() {
            return;
        }
        self.recall(setup, me);
        let claim = self.claim(me);
        let request = match claim.phase {
            Phase::Idle | Phase::Finished => None,
            _ if claim.doubt && !self.forgets_doubt(setup, me) => Some(Request::Recover),
            Phase::Joining if claim.leaving => {
                self.claim_mut(me).finish();
                None
            }
            Phase::Joining if claim.trying.is_some_and(|attempt| !attempt.looked) => Some(Request::Look),
            Phase::Joining => {
                let session = &self.sessions[setup.session(me) as usize];
                Some(session.known.map_or(Request::Make, |queue| Request::Join(queue, session.floor)))
            }
            Phase::InLine => self.next_in_line(setup, me),
            Phase::BehindGate if claim.leaving => Some(Request::Release),
            Phase::BehindGate => self.watch_own(setup, me),
        };
        if let Some(Request::Leave(place, Some(floor))) = request
            && setup.mutated(Mutant::ReleaseIsBelieved)
        {
            self.remember(setup, me, place, floor);
        }
        self.claim_mut(me).request = request;
    }

    fn forgets_doubt(&self, setup: &Setup, me: Claim) -> bool {
        let claim = self.claim(me);
        setup.mutated(Mutant::CancelForgetsCreate) && claim.phase == Phase::Joining && claim.leaving
    }

    /// Where nobody evicts, a watch on the own node never fires, and is left out: fewer states.
    fn watch_own(&self, setup: &Setup, me: Claim) -> Option<Request> {
        let claim = self.claim(me);
        let due = setup.budget.evictions > 0 && !claim.own;
        let spared = claim.granted && setup.mutated(Mutant::HolderUnwatched);
        (due && !spared).then_some(Request::Watch(None, true))
    }

    fn next_in_line(&self, setup: &Setup, me: Claim) -> Option<Request> {
        let claim = self.claim(me);
        let place = claim.place?;
        if claim.leaving {
            return Some(Request::Leave(place, self.floor_behind(setup, me)));
        }
        let own = self.watch_own(setup, me);
        let watch = |path| Some(Request::Watch(Some(path), own.is_some()));
        match claim.step {
            Step::Arm => watch(Path::Queue(Place { seq: claim.ahead, ..place })),
            Step::Floor | Step::Told if self.hears_of_floor(setup, me) => None,
            Step::Floor | Step::Told => Some(Request::ReadFloor),
            Step::List => Some(Request::List),
            Step::Confirm(_) => own,
            Step::Recheck(_) => Some(Request::LookAhead),
            Step::Gate if own.is_some() => own,
            Step::Gate => match self.mode(setup, me) {
                Mode::Permits(_) if !setup.mutated(Mutant::PermitsWatchOne) => watch(Path::Holders),
                _ => Some(Request::ReadHolders),
            },
            Step::Guard => claim.kept_by.first().and_then(|holder| watch(Path::Holder(*holder))),
            Step::Waits | Step::Kept => None,
            Step::Admit => {
                let free = setup.mutated(Mutant::AdmissionWithoutHeld);
                let held = if free { Held::No } else { Held::Yes };
                Some(Request::Admit(place, Floor { upto: place.seq, held }))
            }
            Step::MakeGate => Some(Request::MakeGate),
            Step::AdmitRest => Some(Request::Hold),
            Step::Holds => own,
        }
    }

    /// An answer is heard.
    pub(crate) fn answer(&mut self, setup: &Setup, me: Claim, version: usize) {
        let session = self.session_mut(setup.session(me));
        (session.at, session.seen) = (version, version);
        let claim = self.claim_mut(me);
        let (Some(request), reply) = (claim.request.take(), claim.reply.take()) else { return };
        let store = self.versions[version].clone();
        match reply {
            Some((reply, _)) => self.answered(setup, me, request, reply, &store),
            None => self.read(setup, me, request, &store),
        }
        setup.claims_of(setup.session(me)).for_each(|claim| self.advance(setup, claim));
    }

    fn answered(&mut self, setup: &Setup, me: Claim, request: Request, reply: Reply, store: &Store) {
        match (request, reply) {
            (_, Reply::Made(queue)) => self.comes_to_know(setup, me, Some(queue)),
            (Request::Join(_, before), Reply::Joined(place)) => self.joined(setup, me, place, before, store),
            (Request::Join(..), Reply::NoNode) => self.comes_to_know(setup, me, None),
            (Request::Leave(place, Some(floor)), Reply::Done) => {
                self.claim_mut(me).finish();
                self.remember(setup, me, place, floor);
            }
            (_, Reply::Synced) => self.read(setup, me, request, store),
            (Request::MakeGate, _) => self.claim_mut(me).step = Step::Admit,
            (Request::Admit(..), Reply::NoGate) if !setup.mutated(Mutant::MissingGateIsEviction) => {
                self.claim_mut(me).step = Step::MakeGate;
            }
            (Request::Admit(..), Reply::Done) if setup.mutated(Mutant::AdmissionInTwo) => {
                self.claim_mut(me).step = Step::AdmitRest;
            }
            (Request::Admit(..) | Request::Hold, Reply::Done) => self.behind_gate(setup, me),
            _ => self.claim_mut(me).finish(),
        }
    }

    fn joined(&mut self, setup: &Setup, me: Claim, place: Place, before: Option<Floor>, store: &Store) {
        let Some(queue) = store.queue(place.queue) else { return self.claim_mut(me).finish() };
        self.remember(setup, me, place, queue.floor);
        let early = match setup.mutant {
            Some(Mutant::HeldReadBeforeHead) => queue.floor.held == Held::No,
            Some(Mutant::GateReadBeforeHead) => self.admits(setup, store, me),
            _ => false,
        };
        let unchanged = queue.last_created == Some(place.seq) || setup.mutated(Mutant::JoinTrustsCount);
        let claim = self.claim_mut(me);
        (claim.phase, claim.place, claim.early) = (Phase::InLine, Some(place), early);
        claim.ahead = place.seq - 1;
        let heard_nothing_since = setup.blind || setup.mutated(Mutant::FloorOfBeforeIsEnough);
        let before = before.filter(|before| heard_nothing_since && before.upto == place.seq - 1);
        if let Some(before) = before {
            self.head(setup, me, before.held);
        } else if setup.blind {
            claim.step = Step::Arm;
        } else if queue.nodes.len() == 1 && unchanged {
            self.head(setup, me, queue.floor.held);
        } else if queue.floor.upto >= place.seq - 1 {
            claim.step = Step::Confirm(queue.floor.held);
            if setup.budget.evictions == 0 || setup.mutated(Mutant::JoinTrustsFloor) {
                self.head(setup, me, queue.floor.held);
            }
        }
        self.recheck(me);
    }

    fn read(&mut self, setup: &Setup, me: Claim, request: Request, store: &Store) {
        match request {
            Request::Recover => self.recovered(setup, me, store),
            Request::Look | Request::LookAhead => self.looked(setup, me, store),
            Request::Watch(path, own) => self.watched(setup, me, path, own, store),
            Request::ReadFloor => self.floor_read(setup, me, store),
            Request::List => {
                let claim = self.claim_mut(me);
                let (Some(place), Some(queue)) = (claim.place, &store.queue) else { return };
                let below = queue.nodes.iter().map(|(seq, _)| *seq).filter(|seq| *seq < place.seq);
                claim.list = Some(below.collect());
                claim.ahead = place.seq;
                self.next_listed(setup, me);
            }
            Request::ReadHolders => {
                self.claim_mut(me).kept_by = self.in_the_way(setup, store, me);
                self.next_holder(setup, me);
            }
            _ => {}
        }
    }

    /// `try` does not wait: unless it is let in at once it looks again.
    fn recheck(&mut self, me: Claim) {
        let claim = self.claim_mut(me);
        let next = match claim.step {
            Step::Arm => Next::Arm,
            Step::Confirm(held) => Next::Confirm(held),
            Step::Gate => Next::Gate,
            _ => return claim.trying = None,
        };
        if claim.trying.is_some() {
            claim.step = Step::Recheck(next);
        }
    }

    fn looked(&mut self, setup: &Setup, me: Claim, store: &Store) {
        let grantable = self.grantable(setup, store, me);
        let claim = self.claim_mut(me);
        let Some(attempt) = &mut claim.trying else { return };
        if !grantable {
            let unjustified = !attempt.witness;
            claim.leaving = true;
            if setup.mutated(Mutant::TryStays) {
                claim.finish();
            }
            if unjustified {
                self.broken = Some(Broken::Try);
            }
        } else if let Step::Recheck(next) = claim.step {
            claim.trying = None;
            claim.step = match next {
                Next::Arm => Step::Arm,
                Next::Confirm(held) => Step::Confirm(held),
                Next::Gate => Step::Gate,
            };
        } else {
            attempt.looked = true;
        }
    }

    /// What it asked for may have been done, or not; nothing of it can be done any more.
    fn recovered(&mut self, setup: &Setup, me: Claim, store: &Store) {
        let place = store.place_of(me);
        let holds = store.holders.contains(&me);
        let claim = self.claim_mut(me);
        claim.doubt = false;
        match claim.phase {
            Phase::Joining => {
                let Some(place) = place else { return };
                (claim.phase, claim.place, claim.ahead) = (Phase::InLine, Some(place), place.seq - 1);
                if setup.mutated(Mutant::AdoptedIsHead) {
                    self.head(setup, me, Held::No);
                }
                self.recheck(me);
            }
            Phase::InLine if holds && !setup.mutated(Mutant::AdmissionForgotten) => {
                self.behind_gate(setup, me);
            }
            Phase::InLine if place.is_none() => claim.finish(),
            Phase::BehindGate if !holds => claim.finish(),
            _ => {}
        }
    }

    fn watched(&mut self, setup: &Setup, me: Claim, path: Option<Path>, own: bool, store: &Store) {
        let admits = self.admits(setup, store, me);
        let claim = self.claim_mut(me);
        if own && claim.own_path(me).and_then(|path| store.owner(path)) != Some(me) {
            return claim.finish();
        }
        claim.own |= own;
        let looks = setup.mutated(Mutant::ReadThenWatch) && !claim.looked;
        match (path, claim.step) {
            (None, Step::Confirm(held)) => self.head(setup, me, held),
            (None, _) => {}
            (Some(Path::Holders), _) if admits => self.admitted(setup, me),
            (Some(path), step) => {
                let there = path == Path::Holders || store.owner(path).is_some();
                match step {
                    Step::Arm if there && looks => claim.looked = true,
                    Step::Arm if there || claim.looked => {
                        (claim.watch, claim.step, claim.looked) = (Some(path), Step::Waits, false);
                    }
                    Step::Arm => self.missing(setup, me),
                    _ if there => (claim.watch, claim.step) = (Some(path), Step::Kept),
                    _ => self.holder_gone(setup, me),
                }
            }
        }
    }

    /// The node ahead is not there.
    fn missing(&mut self, setup: &Setup, me: Claim) {
        match self.claim(me).list {
            Some(_) if setup.mutated(Mutant::ListStopsEarly) => self.head(setup, me, Held::Unknown),
            Some(_) => self.next_listed(setup, me),
            None => self.claim_mut(me).step = Step::Floor,
        }
    }

    fn next_listed(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        let below = |seq: &Seq| *seq < claim.ahead;
        match claim.list.iter().flatten().copied().filter(below).max() {
            Some(seq) => (claim.ahead, claim.step) = (seq, Step::Arm),
            None => self.head(setup, me, Held::Unknown),
        }
    }

    fn floor_read(&mut self, setup: &Setup, me: Claim, store: &Store) {
        let claim = self.claim_mut(me);
        let Some(place) = claim.place else { return };
        let Some(queue) = store.queue(place.queue) else { return claim.finish() };
        self.remember(setup, me, place, queue.floor);
        let claim = self.claim_mut(me);
        if claim.step == Step::Told && queue.floor.upto < claim.ahead {
            return claim.step = Step::Arm;
        }
        if queue.floor.upto >= claim.ahead - 1 {
            return self.head(setup, me, queue.floor.held);
        }
        claim.ahead -= 1;
        claim.misses += 1;
        claim.step = if claim.misses > setup.misses { Step::List } else { Step::Arm };
    }

    /// What it waited for has changed.
    pub(crate) fn ahead_changed(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        claim.watch = None;
        match claim.step {
            _ if claim.leaving => {}
            Step::Waits if setup.mutated(Mutant::DeletedGrants) => self.head(setup, me, Held::No),
            Step::Waits if setup.mutated(Mutant::EventIsALook) => self.missing(setup, me),
            Step::Waits => claim.step = if claim.list.is_some() { Step::Arm } else { Step::Told },
            Step::Kept if claim.kept_by.len() > 1 => self.holder_gone(setup, me),
            // No event grants: the one that says that its own node is gone may come right behind.
            Step::Kept if setup.mutated(Mutant::EventGrants) => self.admitted(setup, me),
            Step::Kept => claim.step = Step::Gate,
            _ => {}
        }
    }

    /// Its own node is gone: by what it is asking for, or by an operator.
    pub(crate) fn own_gone(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        claim.own = false;
        let mine = claim.doubt || claim.request.is_some_and(Request::deletes);
        let ignored = setup.mutated(Mutant::OwnWatchIgnored) && !claim.granted;
        if !ignored && (!mine || setup.mutated(Mutant::OwnAdmissionIsEviction)) {
            claim.finish();
        }
    }
}
