//! What each action does to the world.

use crate::{
    claim::{Eviction, Phase, Reply, Request, Step, Try},
    mutant::Mutant,
    properties::Broken,
    store::{Claim, Floor, Held, Op, Path, Session, Store},
    world::{Action, Setup, State},
};

impl State {
    pub(crate) fn step(&mut self, setup: &Setup, action: Action) {
        match action {
            Action::Join(me) => {
                self.claim_mut(me).phase = Phase::Joining;
                self.advance(setup, me);
            }
            Action::Try(me) => {
                self.budget.tries -= 1;
                let claim = self.claim_mut(me);
                claim.phase = Phase::Joining;
                claim.trying = Some(Try { looked: false, witness: false });
                self.advance(setup, me);
            }
            Action::Leave(me) => self.leave(setup, me),
            Action::Weaken(me) => self.weaken(setup, me),
            Action::Arrive(me) => self.arrive(setup, me),
            Action::Answer(me, version) => self.answer(setup, me, version),
            Action::Hear(session) => self.hear(setup, session),
            Action::Reconnect(session, version) => self.reconnect(setup, session, version),
            Action::Land(index) => {
                let (me, request) = self.ghosts.remove(index);
                self.execute(setup, me, request);
            }
            Action::Vanish(index) => drop(self.ghosts.remove(index)),
            Action::Expire(session) => self.expire(setup, session),
            Action::ReapQueue => {
                self.budget.reaps -= 1;
                self.commit(|store| store.queue = None);
            }
            Action::ReapGate => {
                self.budget.reaps -= 1;
                self.commit(|store| store.gate = false);
            }
            Action::Evict(target) => {
                self.budget.evictions -= 1;
                self.operator = self.eviction(target);
            }
            Action::Operate => self.operate(),
        }
        self.note_witnesses(setup);
    }

    fn commit<T>(&mut self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut next = self.latest().clone();
        let result = change(&mut next);
        if next != *self.latest() {
            self.versions.push(next);
        }
        result
    }

    fn note_witnesses(&mut self, setup: &Setup) {
        for me in setup.all() {
            let seen = !self.grantable(setup, self.latest(), me);
            if let Some(attempt) = &mut self.claim_mut(me).trying {
                attempt.witness |= seen;
            }
        }
    }

    fn leave(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        let withdrawal = !std::mem::take(&mut claim.granted);
        claim.leaving = true;
        if claim.request.is_some_and(|request| !request.writes() && claim.reply.is_none()) {
            claim.request = None;
        }
        self.budget.withdrawals -= u8::from(withdrawal);
        self.advance(setup, me);
    }

    fn arrive(&mut self, setup: &Setup, me: Claim) {
        let Some(request) = self.claim(me).request else { return };
        let reply = self.execute(setup, me, request);
        self.claim_mut(me).reply = Some((reply, self.newest()));
        // Nothing that arrives meanwhile matters to a claim that is gone, and a lost answer looks the same as
        // a request that is lost and lands at once: fewer states. Others of its session hear from the answer
        // how far the queue has come.
        let tells = matches!(request, Request::Leave(_, Some(_))) && setup.is_shared(setup.session(me));
        if matches!(request, Request::Leave(..) | Request::Release) && !tells {
            self.claim_mut(me).finish();
        }
    }

    /// A write takes effect, or does not.
    fn execute(&mut self, setup: &Setup, me: Claim, request: Request) -> Reply {
        if self.sessions[setup.session(me) as usize].ended {
            return Reply::NoNode;
        }
        let operations = match request {
            Request::Make => return Reply::Made(self.commit(Store::make)),
            Request::Join(queue, _) => {
                return self.commit(|store| store.join(queue, me)).map_or(Reply::NoNode, Reply::Joined);
            }
            Request::Leave(place, None) => vec![Op::Delete(Path::Queue(place))],
            Request::Leave(place, Some(floor)) => {
                vec![Op::Delete(Path::Queue(place)), Op::SetFloor(place.queue, floor)]
            }
            Request::Admit(place, floor) => {
                let first = self.latest().first();
                if self.latest().place_of(me).is_some() && first.is_some_and(|(seq, _)| seq < place.seq) {
                    self.broken = Some(Broken::Order);
                }
                let exit = [Op::Delete(Path::Queue(place)), Op::SetFloor(place.queue, floor)];
                let rest = (!setup.mutated(Mutant::AdmissionInTwo)).then_some(Op::Hold(me));
                exit.into_iter().chain(rest).collect()
            }
            Request::MakeGate => {
                self.commit(|store| store.gate = true);
                return Reply::Done;
            }
            Request::Hold => vec![Op::Hold(me)],
            Request::Release => vec![Op::Delete(Path::Holder(me))],
            _ => return Reply::Synced,
        };
        let Some(owners) = self.commit(|store| store.multi(&operations)) else {
            let there = self.latest().place_of(me).is_some();
            return if there && !self.latest().gate { Reply::NoGate } else { Reply::NoNode };
        };
        if owners.iter().any(|owner| *owner != me) {
            self.broken = Some(Broken::Stranger);
        }
        Reply::Done
    }

    /// The session's server comes to the next event; all that it fires is heard.
    fn hear(&mut self, setup: &Setup, session: Session) {
        let Some(at) = self.next_event(setup, session) else { return };
        self.session_mut(session).at = at;
        let fired = self.fired(setup, session, at - 1, at);
        self.heard(setup, &fired);
    }

    fn fired(&self, setup: &Setup, session: Session, from: usize, to: usize) -> Vec<(Claim, Path)> {
        let fires = |path: &Path| self.versions[from].fires(*path, &self.versions[to]);
        setup
            .claims_of(session)
            .flat_map(|me| self.claim(me).watched(me).filter(fires).map(move |path| (me, path)))
            .collect()
    }

    fn heard(&mut self, setup: &Setup, fired: &[(Claim, Path)]) {
        for (me, path) in fired {
            if self.claim(*me).watch == Some(*path) {
                self.ahead_changed(setup, *me);
            } else {
                self.own_gone(setup, *me);
            }
        }
        fired.iter().for_each(|(me, _)| self.advance(setup, *me));
    }

    /// What was on its way is lost, or lands some day. The watches are set again, by what was seen last: they
    /// fire at once where something has changed since.
    fn reconnect(&mut self, setup: &Setup, session: Session, version: usize) {
        self.budget.reconnects -= 1;
        for me in setup.claims_of(session) {
            self.lose(setup, me);
        }
        let seen = self.sessions[session as usize].seen;
        let fired = self.fired(setup, session, seen, version);
        self.session_mut(session).at = version;
        if setup.mutated(Mutant::NoSetWatches) {
            setup.claims_of(session).for_each(|me| self.claim_mut(me).watch = None);
        } else {
            self.heard(setup, &fired);
        }
        setup.claims_of(session).for_each(|me| self.advance(setup, me));
    }

    fn lose(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        let (request, reply) = (claim.request.take(), claim.reply.take());
        let Some(request) = request.filter(|request| request.writes() && !request.makes()) else {
            return;
        };
        claim.doubt = !(setup.mutated(Mutant::LostCreateForgotten) && matches!(request, Request::Join(..)));
        if setup.mutated(Mutant::LostLeaveIsDone) && matches!(request, Request::Leave(..) | Request::Release)
        {
            claim.finish();
        }
        if reply.is_none() {
            self.ghosts.push((me, request));
            self.ghosts.sort_unstable();
        }
    }

    /// The deadline has passed by then, so nobody believes any more; nor is there anything left to tell.
    fn expire(&mut self, setup: &Setup, session: Session) {
        self.budget.crashes -= 1;
        self.commit(|store| store.expire(|claim| setup.session(claim) == session));
        self.session_mut(session).ended = true;
        self.ghosts.retain(|(me, _)| setup.session(*me) != session);
        if !setup.mutated(Mutant::DeadlineIgnored) {
            setup.claims_of(session).for_each(|me| self.claim_mut(me).finish());
        }
    }

    fn weaken(&mut self, setup: &Setup, me: Claim) {
        self.budget.weakenings -= 1;
        let claim = self.claim_mut(me);
        (claim.weakened, claim.step) = (true, Step::Admit);
        claim.request = None;
        self.advance(setup, me);
    }

    fn eviction(&self, target: Claim) -> Option<Eviction> {
        let holds = self.latest().holders.contains(&target).then_some(Path::Holder(target));
        let path = self.latest().place_of(target).map(Path::Queue).or(holds)?;
        Some(Eviction { target, path })
    }

    fn operate(&mut self) {
        let Some(Eviction { target, path }) = self.operator.take() else { return };
        match self.commit(|store| store.multi(&[Op::Delete(path)])) {
            Some(owners) if owners != [target] => self.broken = Some(Broken::Stranger),
            Some(_) => {}
            None => self.operator = self.eviction(target),
        }
    }

    /// Drops the versions that nobody can see any more. Who has nothing in line first writes, and sees that.
    pub(crate) fn forget(&mut self, setup: &Setup) {
        let newest = self.newest();
        for session in setup.sessions() {
            let idle =
                self.budget.tries == 0 && !setup.claims_of(session).any(|me| self.claim(me).is_active());
            let again = self.budget.reconnects > 0;
            let state = self.session_mut(session);
            if idle {
                state.at = newest;
            }
            if idle || !again {
                state.seen = state.at;
            }
        }
        let oldest = self.sessions.iter().map(|session| session.seen.min(session.at)).min().unwrap_or(0);
        self.versions.drain(..oldest);
        for session in &mut self.sessions {
            (session.at, session.seen) = (session.at - oldest, session.seen - oldest);
        }
        for (_, at) in self.claims.iter_mut().filter_map(|claim| claim.reply.as_mut()) {
            *at = at.saturating_sub(oldest);
        }
    }

    pub(crate) fn floor_behind(&self, setup: &Setup, me: Claim) -> Option<Floor> {
        let claim = self.claim(me);
        let seq = claim.place?.seq;
        let holds = claim.step == Step::Holds;
        let free = holds || setup.mutated(Mutant::GateWithdrawalClears);
        let held = if free { Held::No } else { Held::Yes };
        (claim.head || setup.mutated(Mutant::WithdrawalWritesFloor)).then_some(Floor { upto: seq, held })
    }
}
