//! The model: the state of the world, what can happen next, and the budget of faults.

use stateright::{Model, Property};

use crate::{
    claim::{ClaimState, Eviction, Mode, Phase, Reply, Request, SessionState},
    mutant::Mutant,
    properties::{Broken, properties},
    store::{Claim, Place, Session, Store},
};

/// How often each of these may happen in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// A session loses its connection, with what was on its way, and finds another server.
    pub reconnects: u8,
    /// A session ends: all of its nodes vanish at once.
    pub crashes: u8,
    /// An operator evicts a claim.
    pub evictions: u8,
    /// A claim is cancelled before it is granted. Releases are free.
    pub withdrawals: u8,
    /// The servers delete an empty container.
    pub reaps: u8,
    /// An exclusive holder becomes a shared one.
    pub weakenings: u8,
    /// A claim enters by `try`.
    pub tries: u8,
}

/// One configuration.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub name: &'static str,
    /// The session and the mode of each claim.
    pub claims: Vec<(Session, Mode)>,
    /// The number of permits.
    pub limit: u8,
    /// The claims of a session come one after the other.
    pub in_sequence: bool,
    /// After more missing nodes than these a claim lists.
    pub misses: u8,
    /// Joins do not read the queue.
    pub blind: bool,
    pub budget: Budget,
    pub mutant: Option<Mutant>,
}

impl Setup {
    pub(crate) fn mutated(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether an empty write goes before this read, or a `sync`.
    fn syncs(&self, request: Request) -> bool {
        match request {
            Request::Recover => !self.mutated(Mutant::LookUpWithoutWrite),
            Request::Look => !self.mutated(Mutant::TryWithoutSync),
            _ => false,
        }
    }

    /// Whether anybody may come to hold behind the gate.
    fn has_gate(&self) -> bool {
        self.budget.weakenings > 0 || self.claims.iter().any(|(_, mode)| *mode != Mode::Exclusive)
    }

    pub(crate) fn session(&self, claim: Claim) -> Session {
        self.claims[claim as usize].0
    }

    pub(crate) fn mode(&self, claim: Claim) -> Mode {
        self.claims[claim as usize].1
    }

    pub(crate) fn all(&self) -> std::ops::Range<Claim> {
        0..self.claims.len() as Claim
    }

    /// Whether what one claim hears may be of use to another.
    pub(crate) fn is_shared(&self, session: Session) -> bool {
        self.claims_of(session).count() > 1
    }

    pub(crate) fn claims_of(&self, session: Session) -> impl Iterator<Item = Claim> {
        self.all().filter(move |claim| self.session(*claim) == session)
    }

    pub(crate) fn sessions(&self) -> std::ops::Range<Session> {
        0..self.all().map(|claim| self.session(claim) + 1).max().unwrap_or(0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The store after each commit, from the oldest that some server still shows to the newest.
    pub versions: Vec<Store>,
    pub sessions: Vec<SessionState>,
    pub claims: Vec<ClaimState>,
    /// Writes of broken connections, which may still land: until the session's next empty write.
    pub ghosts: Vec<(Claim, Request)>,
    pub operator: Option<Eviction>,
    /// For the properties: the highest token of each mode.
    pub tokens: Vec<Option<Place>>,
    pub broken: Option<Broken>,
    pub budget: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Join(Claim),
    Try(Claim),
    /// Release, or withdraw.
    Leave(Claim),
    /// Become shared.
    Weaken(Claim),
    /// A write is committed, or refused.
    Arrive(Claim),
    /// An answer is heard; a read is answered by a server that has come to this version.
    Answer(Claim, usize),
    /// A session's server comes to the next change that is watched, and the session hears of it.
    Hear(Session),
    /// The connection breaks, and there is a new one, to a server that has come to this version.
    Reconnect(Session, usize),
    /// A write of a broken connection lands after all.
    Land(usize),
    /// It never does.
    Vanish(usize),
    Expire(Session),
    ReapQueue,
    ReapGate,
    Evict(Claim),
    /// The operator's delete is committed, or refused.
    Operate,
}

impl State {
    pub(crate) fn claim(&self, claim: Claim) -> &ClaimState {
        &self.claims[claim as usize]
    }

    pub(crate) fn claim_mut(&mut self, claim: Claim) -> &mut ClaimState {
        &mut self.claims[claim as usize]
    }

    pub(crate) fn session_mut(&mut self, session: Session) -> &mut SessionState {
        &mut self.sessions[session as usize]
    }

    pub(crate) fn newest(&self) -> usize {
        self.versions.len() - 1
    }

    pub(crate) fn latest(&self) -> &Store {
        &self.versions[self.newest()]
    }

    pub(crate) fn mode(&self, setup: &Setup, claim: Claim) -> Mode {
        if self.claim(claim).weakened { Mode::Shared } else { setup.mode(claim) }
    }

    /// Where in the client's stream its next event is.
    pub(crate) fn next_event(&self, setup: &Setup, session: Session) -> Option<usize> {
        let at = self.sessions[session as usize].at;
        let watched: Vec<_> = setup.claims_of(session).flat_map(|me| self.claim(me).watched(me)).collect();
        (at + 1..self.versions.len()).find(|index| {
            watched.iter().any(|path| self.versions[index - 1].fires(*path, &self.versions[*index]))
        })
    }

    /// A stream is in order: nothing is heard that comes after an answer that is still to be heard.
    fn next_reply(&self, setup: &Setup, session: Session) -> Option<usize> {
        setup.claims_of(session).filter_map(|me| self.claim(me).reply.map(|(_, at)| at)).min()
    }

    fn may_start(&self, setup: &Setup, me: Claim) -> bool {
        let own = setup.session(me);
        let idle = |claim: Claim| self.claim(claim).phase == Phase::Idle;
        let in_turn = setup.claims_of(own).take_while(|claim| *claim < me).all(|claim| {
            if setup.in_sequence { self.claim(claim).phase == Phase::Finished } else { !idle(claim) }
        });
        // Sessions with equal claims can be told apart only by who starts first: let that be the lower one.
        let modes = |session| setup.claims_of(session).map(|claim| setup.mode(claim));
        let twins = |other: Claim| {
            other < me && setup.session(other) != own && modes(setup.session(other)).eq(modes(own))
        };
        let first = |claim: Claim| setup.claims_of(setup.session(claim)).next() == Some(claim);
        let in_order = !first(me) || setup.all().all(|other| !(twins(other) && first(other) && idle(other)));
        idle(me) && !self.sessions[own as usize].ended && in_turn && in_order
    }

    /// The user's actions on one claim, and the network's.
    fn claim_actions(&self, setup: &Setup, me: Claim, actions: &mut Vec<Action>) {
        let (claim, budget) = (self.claim(me), self.budget);
        if self.may_start(setup, me) {
            actions.push(Action::Join(me));
            if budget.tries > 0 {
                actions.push(Action::Try(me));
            }
        }
        if claim.is_active() && !claim.leaving && (claim.granted || budget.withdrawals > 0) {
            actions.push(Action::Leave(me));
        }
        if claim.granted && claim.phase == Phase::InLine && budget.weakenings > 0 {
            actions.push(Action::Weaken(me));
        }
        if let Some(request) = claim.request {
            let syncs = setup.syncs(request);
            if claim.reply.is_none() && (request.writes() || syncs) {
                let old = self.ghosts.iter().any(|(other, _)| setup.session(*other) == setup.session(me));
                if request.writes() || !old {
                    actions.push(Action::Arrive(me));
                }
            } else {
                self.answers(setup, me, actions);
            }
        }
        if budget.evictions > 0 && self.operator.is_none() && self.latest().has(me) {
            actions.push(Action::Evict(me));
        }
    }

    fn answers(&self, setup: &Setup, me: Claim, actions: &mut Vec<Action>) {
        let session = setup.session(me);
        let at = self.sessions[session as usize].at;
        let reply = self.claim(me).reply;
        let quiet = self.next_event(setup, session).map_or(self.newest(), |event| event - 1);
        let others = self.next_reply(setup, session).unwrap_or(self.newest());
        let from = reply.map_or(at, |(_, committed)| committed.max(at));
        let to = match reply {
            Some((Reply::Made(_) | Reply::Done | Reply::NoNode | Reply::NoGate, _)) => from,
            // Answered by a read that came right behind.
            Some((Reply::Joined(_), _)) if setup.blind => from,
            Some((Reply::Joined(_) | Reply::Synced, _)) if from <= others => self.newest(),
            _ => others,
        };
        if reply.is_none_or(|(_, committed)| committed <= others) {
            actions.extend((from..=to.min(quiet)).map(|version| Action::Answer(me, version)));
        }
    }

    fn session_actions(&self, setup: &Setup, session: Session, actions: &mut Vec<Action>) {
        let state = &self.sessions[session as usize];
        let event = self.next_event(setup, session);
        let reply = self.next_reply(setup, session);
        if event.is_some_and(|event| reply.is_none_or(|reply| event <= reply)) {
            actions.push(Action::Hear(session));
        }
        let mut claims = setup.claims_of(session).map(|me| self.claim(me));
        if state.ended || !claims.any(ClaimState::is_active) {
            return;
        }
        if self.budget.crashes > 0 {
            actions.push(Action::Expire(session));
        }
        let loses = |me| self.claim(me).request.is_some() || self.claim(me).watched(me).next().is_some();
        if self.budget.reconnects > 0 && setup.claims_of(session).any(loses) {
            actions
                .extend((state.seen..self.versions.len()).map(|version| Action::Reconnect(session, version)));
        }
    }
}

impl Model for Setup {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let session = SessionState { at: 0, seen: 0, known: Some(0), floor: None, ended: false };
        vec![State {
            versions: vec![Store::new(self.mutated(Mutant::OneNameForAllQueues))],
            sessions: vec![session; self.sessions().len()],
            claims: vec![ClaimState::default(); self.claims.len()],
            ghosts: Vec::new(),
            operator: None,
            tokens: vec![None; self.claims.len()],
            broken: None,
            budget: self.budget,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        self.all().for_each(|claim| state.claim_actions(self, claim, actions));
        self.sessions().for_each(|session| state.session_actions(self, session, actions));
        for index in 0..state.ghosts.len() {
            actions.extend([Action::Land(index), Action::Vanish(index)]);
        }
        actions.extend(state.operator.map(|_| Action::Operate));
        let reapable = [
            (Action::ReapQueue, state.latest().queue_is_reapable()),
            (Action::ReapGate, self.has_gate() && state.latest().gate_is_reapable()),
        ];
        if state.budget.reaps > 0 {
            actions.extend(reapable.into_iter().filter(|(_, may)| *may).map(|(action, _)| action));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.step(self, action);
        next.forget(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Setup>> {
        properties()
    }
}
