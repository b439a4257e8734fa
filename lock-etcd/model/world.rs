//! The model: the state of the world, what can happen next, and the budget of faults.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use crate::{
    claim::{ClaimState, Eviction, Mode, Phase, Request},
    mutant::Mutant,
    properties::{Broken, properties},
    store::{Claim, Event, Key, Revision, Session, Store, Watch},
};

/// How often each of these may happen in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// An attempt is given up: its answer is lost, or the request itself, or it lands at any later time.
    pub unanswered: u8,
    /// A session ends: all of its keys vanish at once.
    pub crashes: u8,
    /// The lease of a session that has ended is granted once more, and ends once more.
    pub hauntings: u8,
    /// The stream of a session's watches breaks. They open again one after another, and what each has not delivered by
    /// then is lost.
    pub breaks: u8,
    /// An operator evicts a claim.
    pub evictions: u8,
    /// A claim is cancelled before it is granted. Releases are free.
    pub withdrawals: u8,
    /// An exclusive or shared claim enters by `try`.
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
    /// Who enters guesses whose claim is the last.
    pub follows: bool,
    pub budget: Budget,
    /// Check in each state that it comes to rest; this takes several times as long.
    pub settles: bool,
    pub mutant: Option<Mutant>,
}

impl Setup {
    pub(crate) fn mutated(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
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

    pub(crate) fn claims_of(&self, session: Session) -> impl Iterator<Item = Claim> {
        self.all().filter(move |claim| self.session(*claim) == session)
    }

    pub(crate) fn sessions(&self) -> std::ops::Range<Session> {
        0..self.all().map(|claim| self.session(claim) + 1).max().unwrap_or(0)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SessionState {
    /// What its watches have not delivered yet.
    pub events: Vec<Event>,
    /// Acknowledged watches on `live/<S>`.
    pub watched: Vec<bool>,
    /// The watches that have not opened again since the stream broke.
    pub closed: BTreeSet<Watch>,
    /// The claim that has gone and left the tail behind, and the revision at which it wrote it; 0 when another
    /// has written it since.
    pub left_behind: Option<(Claim, Revision)>,
}

impl SessionState {
    /// It has nothing left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.events.is_empty() && self.closed.is_empty() && self.left_behind.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub store: Store,
    pub sessions: Vec<SessionState>,
    pub claims: Vec<ClaimState>,
    /// Requests that nobody waits for any more, and that may still land.
    pub ghosts: Vec<(Claim, Request)>,
    /// Whom an operator is about to evict, and what it has read.
    pub operator: Option<(Claim, Eviction)>,
    /// For the properties: the last token of each claim.
    pub tokens: Vec<Revision>,
    pub broken: Option<Broken>,
    pub budget: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Join(Claim),
    Try(Claim),
    /// Release, or withdraw.
    Leave(Claim),
    /// A request reaches the store.
    Arrive(Claim),
    /// Its answer reaches the client.
    Answer(Claim),
    /// The client gives up an attempt; the request stays on its way, unless it has been answered already.
    GiveUp(Claim),
    /// A request that was given up lands after all.
    Land(usize),
    /// It never does.
    Vanish(usize),
    /// A session hears its event of this index.
    Hear(Session, usize),
    Crash(Session),
    /// Its lease is granted once more, by a request that comes late.
    Haunt(Session),
    /// That one ends, too.
    Rest(Session),
    /// It takes the tail away that its last claim has left behind.
    Sweep(Session),
    /// The stream of its watches breaks.
    Break(Session),
    /// One of them opens again.
    Open(Session, Watch),
    Evict(Claim),
    /// The operator's transaction reaches the store.
    Operate,
}

impl State {
    pub(crate) fn claim(&self, claim: Claim) -> &ClaimState {
        &self.claims[claim as usize]
    }

    pub(crate) fn claim_mut(&mut self, claim: Claim) -> &mut ClaimState {
        &mut self.claims[claim as usize]
    }

    fn in_line(&self, setup: &Setup, me: Claim) -> bool {
        [Key::Queue(me), setup.holder_key(me)].into_iter().any(|key| self.store.get(key).is_some())
    }

    fn may_start(&self, setup: &Setup, me: Claim) -> bool {
        let own = setup.session(me);
        let idle = |claim: Claim| self.claim(claim).phase == Phase::Idle;
        let in_turn = !setup.in_sequence
            || setup
                .claims_of(own)
                .take_while(|claim| *claim < me)
                .all(|claim| self.claim(claim).phase == Phase::Finished);
        // Sessions with equal claims can be told apart only by who starts first: let that be the lower one.
        let twins = |other: Claim| {
            let modes = |session| setup.claims_of(session).map(|claim| setup.mode(claim)).collect::<Vec<_>>();
            other < me && setup.session(other) != own && modes(setup.session(other)) == modes(own)
        };
        let first = |claim: Claim| setup.claims_of(setup.session(claim)).next() == Some(claim);
        let in_order = !first(me) || setup.all().all(|other| !(twins(other) && first(other) && idle(other)));
        idle(me) && self.store.lives(own) && in_turn && in_order
    }

    /// The user's actions on one claim, and the network's.
    fn claim_actions(&self, setup: &Setup, me: Claim, actions: &mut Vec<Action>) {
        let (claim, budget) = (self.claim(me), self.budget);
        if self.may_start(setup, me) {
            actions.push(Action::Join(me));
            if budget.tries > 0 && !matches!(setup.mode(me), Mode::Permits(_)) {
                actions.push(Action::Try(me));
            }
        }
        let active = !matches!(claim.phase, Phase::Idle | Phase::Finished);
        if active && !claim.leaving && (claim.token.is_some() || budget.withdrawals > 0) {
            actions.push(Action::Leave(me));
        }
        if let Some(request) = claim.request {
            actions.push(if claim.reply.is_some() { Action::Answer(me) } else { Action::Arrive(me) });
            if budget.unanswered > 0 && request.writes() {
                actions.push(Action::GiveUp(me));
            }
        }
        if budget.evictions > 0 && self.operator.is_none() && self.in_line(setup, me) {
            actions.push(Action::Evict(me));
        }
    }

    pub(crate) fn next_sweep(&self, session: Session) -> Option<Action> {
        self.sessions[session as usize].left_behind.map(|_| Action::Sweep(session))
    }

    pub(crate) fn next_opening(&self, session: Session) -> Option<Action> {
        self.sessions[session as usize].closed.first().map(|watch| Action::Open(session, *watch))
    }

    pub(crate) fn next_rest(&self, session: Session) -> Option<Action> {
        self.store.haunts(session).then_some(Action::Rest(session))
    }

    fn session_actions(&self, setup: &Setup, session: Session, actions: &mut Vec<Action>) {
        let SessionState { events, closed, .. } = &self.sessions[session as usize];
        // Each watch delivers in order; one watch may be ahead of another.
        for (index, event) in events.iter().enumerate() {
            let earlier = events[..index].iter().any(|earlier| earlier.watch() == event.watch());
            if !earlier && !closed.contains(&event.watch()) {
                actions.push(Action::Hear(session, index));
            }
        }
        let active = |claim: Claim| !matches!(self.claim(claim).phase, Phase::Idle | Phase::Finished);
        if self.budget.crashes > 0 && self.store.lives(session) && setup.claims_of(session).any(active) {
            actions.push(Action::Crash(session));
        }
        let may_haunt = self.ghosts.iter().any(|(ghost, _)| setup.session(*ghost) == session);
        if self.budget.hauntings > 0 && !self.store.lives(session) && may_haunt {
            actions.push(Action::Haunt(session));
        }
        actions.extend(self.next_rest(session));
        actions.extend(self.next_sweep(session));
        actions.extend(closed.iter().map(|watch| Action::Open(session, *watch)));
        if self.budget.breaks > 0 && self.store.lives(session) && setup.claims_of(session).any(active) {
            actions.push(Action::Break(session));
        }
    }
}

impl Model for Setup {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let sessions = self.sessions().len();
        let session = SessionState { watched: vec![false; sessions], ..SessionState::default() };
        vec![State {
            store: Store::new(sessions),
            sessions: vec![session; sessions],
            claims: vec![ClaimState::default(); self.claims.len()],
            ghosts: Vec::new(),
            operator: None,
            tokens: vec![0; self.claims.len()],
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
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.step(self, action);
        next.renumber();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Setup>> {
        properties()
    }
}
