//! What each action does to the world.

use crate::{
    claim::{ClaimState, Mode, Phase, Reply, Request},
    mutant::Mutant,
    properties::Broken,
    store::{Claim, Event, Key, Node, Range, Revision, Session, Watch},
    world::{Action, Setup, State},
};

impl State {
    /// The next thing that happens without a user and without a fault, in one fixed order.
    pub(crate) fn next_unprovoked(&self, setup: &Setup) -> Option<Action> {
        let asking = setup.all().find(|me| self.claim(*me).request.is_some());
        let opening = setup.sessions().find_map(|session| self.next_opening(session));
        let heard = self.sessions.iter().position(|session| !session.events.is_empty());
        let ghost = (!self.ghosts.is_empty()).then_some(Action::Vanish(0));
        let request = asking.map(|me| match self.claim(me).reply {
            Some(_) => Action::Answer(me),
            None => Action::Arrive(me),
        });
        let event = heard.map(|session| Action::Hear(session as Session, 0));
        let sweep = setup.sessions().find_map(|session| self.next_sweep(session));
        let rest = setup.sessions().find_map(|session| self.next_rest(session));
        ghost.or(opening).or(event).or(request).or(self.operator.map(|_| Action::Operate)).or(sweep).or(rest)
    }

    pub(crate) fn step(&mut self, setup: &Setup, action: Action) {
        match action {
            Action::Join(me) => self.start(setup, me, false),
            Action::Try(me) => self.start(setup, me, true),
            Action::Leave(me) => {
                let claim = self.claim_mut(me);
                let withdrawal = claim.token.take().is_none();
                claim.leaving = true;
                self.budget.withdrawals -= u8::from(withdrawal);
                self.advance(setup, me);
            }
            Action::Arrive(me) => self.arrive(setup, me),
            Action::Answer(me) => self.answer(setup, me),
            Action::GiveUp(me) => {
                self.budget.unanswered -= 1;
                self.strand(me);
                self.unanswered(setup, me);
            }
            Action::Land(index) => {
                let (me, request) = self.ghosts.remove(index);
                self.send(setup, me, request);
            }
            Action::Vanish(index) => drop(self.ghosts.remove(index)),
            Action::Hear(session, index) => {
                let event = self.sessions[session as usize].events.remove(index);
                self.hear(setup, session, event);
            }
            Action::Crash(session) => self.crash(setup, session),
            Action::Haunt(session) => {
                self.budget.hauntings -= 1;
                self.store.grant_again(session);
            }
            Action::Rest(session) => {
                let events = self.store.expire(session);
                self.tell(setup, &events);
            }
            Action::Sweep(session) => {
                let gone = self.sessions[session as usize].left_behind.take();
                let sweep = gone.map(|(claim, _)| setup.sweep(claim));
                if sweep.is_some_and(|sweep| self.store.apply(&sweep).is_err()) {
                    self.broken = Some(Broken::Refused);
                }
            }
            Action::Break(session) => self.break_watches(setup, session),
            Action::Open(session, watch) => self.open(setup, session, watch),
            Action::Evict(target) => {
                self.budget.evictions -= 1;
                self.operator = setup.read_line(&self.store, target).map(|read| (target, read));
            }
            Action::Operate => self.operate(setup),
        }
        if !setup.mutated(Mutant::GoneHereForgotten) {
            self.those_behind_the_gone_link(setup);
        }
        self.note_witnesses(setup);
    }

    fn start(&mut self, setup: &Setup, me: Claim, trying: bool) {
        let claim = self.claim_mut(me);
        (claim.phase, claim.trying) = (Phase::Entering, trying);
        self.budget.tries -= u8::from(trying);
        self.advance(setup, me);
    }

    /// A request that is not answered yet stays on its way, and nobody waits for it.
    fn strand(&mut self, me: Claim) {
        let claim = self.claim(me);
        if let (Some(request), None) = (claim.request, claim.reply)
            && request.writes()
        {
            self.ghosts.push((me, request));
            self.ghosts.sort_unstable();
        }
    }

    fn arrive(&mut self, setup: &Setup, me: Claim) {
        let Some(request) = self.claim(me).request else { return };
        match request {
            Request::WatchSession(session) => {
                self.sessions[setup.session(me) as usize].watched[session as usize] = true;
                self.claim_mut(me).request = None;
                self.advance(setup, me);
            }
            Request::WatchHolders => {
                let claim = self.claim_mut(me);
                (claim.request, claim.watching) = (None, true);
                claim.search |= !setup.mutated(Mutant::GateReadBeforeWatch);
                self.advance(setup, me);
            }
            _ => {
                let reply = self.send(setup, me, request);
                self.claim_mut(me).reply = reply;
                // Nothing that arrives meanwhile matters to a claim that is gone, and a lost answer looks the
                // same as a request that is given up and lands at once: fewer states.
                let last = match request {
                    // Unless another claim may hear from the answer.
                    Request::Leave(_) => setup.claims_of(setup.session(me)).count() == 1,
                    request => matches!(request, Request::Release(..) | Request::Void),
                };
                if last && matches!(reply, Some(Reply::Done(_) | Reply::HandedOn)) {
                    self.answer(setup, me);
                }
            }
        }
    }

    /// A request takes effect.
    fn send(&mut self, setup: &Setup, me: Claim, request: Request) -> Option<Reply> {
        let place = self.store.get(Key::Queue(me)).map_or(Revision::MAX, |node| node.created);
        let Ok((reply, events)) = setup.execute(&mut self.store, me, request) else {
            if self.store.lives(setup.session(me)) {
                self.broken = Some(Broken::Refused);
            }
            return None;
        };
        let passes = matches!(request, Request::Enter(_) | Request::Try(_) | Request::Admit(_))
            && matches!(reply, Reply::Done(_));
        if passes && self.store.range(Range::Queue).any(|node| node.created < place) {
            self.broken = Some(Broken::Order);
        }
        self.tell(setup, &events);
        Some(reply)
    }

    /// Events go to those who watch.
    fn tell(&mut self, setup: &Setup, events: &[Event]) {
        for session in setup.sessions().filter(|session| self.store.lives(*session)) {
            let gate = setup.claims_of(session).any(|claim| self.claim(claim).watching);
            let inbox = &mut self.sessions[session as usize];
            inbox.events.extend(events.iter().filter(|event| match event {
                Event::Bell(to, ..) => *to == session,
                Event::Gone(gone) => inbox.watched[*gone as usize],
                Event::Freed => gate,
            }));
        }
    }

    fn crash(&mut self, setup: &Setup, session: Session) {
        self.budget.crashes -= 1;
        let events = self.store.expire(session);
        let state = &mut self.sessions[session as usize];
        state.events.clear();
        state.closed.clear();
        state.left_behind = None;
        for me in setup.claims_of(session) {
            self.strand(me);
            *self.claim_mut(me) = ClaimState { phase: Phase::Finished, ..ClaimState::default() };
        }
        self.tell(setup, &events);
    }

    /// Only those watches that there are.
    fn break_watches(&mut self, setup: &Setup, session: Session) {
        self.budget.breaks -= 1;
        let watches_gate = setup.claims_of(session).any(|claim| self.claim(claim).watching);
        let state = &mut self.sessions[session as usize];
        state.closed.insert(Watch::Bell);
        state.closed.extend(state.watched.contains(&true).then_some(Watch::Ends));
        state.closed.extend(watches_gate.then_some(Watch::Gate));
    }

    /// What the watch has not delivered is lost. Every claim that heard by it looks again.
    fn open(&mut self, setup: &Setup, session: Session, watch: Watch) {
        let state = &mut self.sessions[session as usize];
        state.closed.remove(&watch);
        state.events.retain(|event| event.watch() != watch);
        for me in setup.claims_of(session) {
            match watch {
                Watch::Bell => self.bell_opens(setup, me),
                Watch::Ends => self.ends_open(setup, me),
                Watch::Gate => {
                    let claim = self.claim_mut(me);
                    claim.search |= claim.watching && !setup.mutated(Mutant::GapAtTheGate);
                }
            }
            self.advance(setup, me);
        }
    }

    /// Who waits may have missed its turn, who holds its eviction, and whoever has a join under way either, once
    /// it is answered.
    fn bell_opens(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        let spared = setup.mutated(Mutant::GapWithoutFind)
            || setup.mutated(Mutant::GapSparesJoins) && claim.phase == Phase::Entering
            || setup.mutated(Mutant::GapSparesHolders) && claim.token.is_some();
        let active = !matches!(claim.phase, Phase::Idle | Phase::Finished);
        claim.search |= active && !spared;
    }

    /// The end of any other session may have been missed.
    fn ends_open(&mut self, setup: &Setup, me: Claim) {
        if setup.mutated(Mutant::GapInEnds) {
            return;
        }
        let ended_early = self.claim(me).ended_early;
        for other in setup.sessions().filter(|other| *other != setup.session(me)) {
            self.session_gone(setup, me, other);
        }
        if setup.mutated(Mutant::FollowForgetsGap) {
            self.claim_mut(me).ended_early = ended_early;
        }
    }

    fn operate(&mut self, setup: &Setup) {
        let Some((target, eviction)) = self.operator.take() else { return };
        match self.store.apply(&setup.evict(target, eviction)) {
            Err(_) => self.broken = Some(Broken::Refused),
            Ok(outcome) if outcome.succeeded => {
                let claim = self.claim_mut(target);
                claim.evicted = claim.phase != Phase::Finished;
                self.tell(setup, &outcome.events);
            }
            // The line has changed since it was read: again, as the Else branch has read it.
            Ok(_) => self.operator = setup.read_line(&self.store, target).map(|read| (target, read)),
        }
    }

    fn note_witnesses(&mut self, setup: &Setup) {
        for me in setup.all() {
            let others = [Range::Queue, Range::Holders].into_iter().flat_map(|range| self.store.range(range));
            let mine = [Key::Queue(me), setup.holder_key(me)];
            let beside = |node: &Node| {
                matches!((setup.mode(me), node.key), (Mode::Shared, Key::Shared(_)))
                    || mine.contains(&node.key)
            };
            let seen = others.into_iter().any(|node| !beside(node));
            let claim = self.claim_mut(me);
            claim.witness = claim.trying && (claim.witness || seen);
        }
    }

    /// Only the order of revisions matters: number those that somebody still knows from one.
    pub(crate) fn renumber(&mut self) {
        let mut known = 0_u64;
        self.each_revision(&mut |at| known |= 1 << *at);
        self.each_revision(&mut |at| {
            *at = (known & ((1 << *at) - 1) & !1).count_ones() as Revision + u8::from(*at > 0)
        });
    }

    fn each_revision(&mut self, visit: &mut dyn FnMut(&mut Revision)) {
        self.store.each_revision(visit);
        self.claims.iter_mut().for_each(|claim| claim.each_revision(visit));
        self.ghosts.iter_mut().for_each(|(_, request)| request.each_revision(visit));
        self.tokens.iter_mut().for_each(&mut *visit);
        if let Some((_, eviction)) = &mut self.operator {
            eviction.each_revision(visit);
        }
        for (_, tail) in self.sessions.iter_mut().filter_map(|session| session.left_behind.as_mut()) {
            visit(tail);
        }
        for event in self.sessions.iter_mut().flat_map(|session| &mut session.events) {
            if let Event::Bell(_, _, at) = event {
                visit(at);
            }
        }
    }
}
