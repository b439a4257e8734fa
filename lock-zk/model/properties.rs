//! What must hold in every state.

use stateright::Property;

use crate::{
    claim::{ClaimState, Mode, Phase},
    store::{Claim, Held},
    world::{Setup, State},
};

/// What was seen to go wrong in a step, where the state alone does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// A claim was granted, or passed the gate, before an earlier one.
    Order,
    /// A grant whose token is not above that of an earlier, conflicting one.
    Token,
    /// A claim was granted that was not in line any more, as its own connection had shown.
    Posthumous,
    /// `try` answered None, and nobody else was in line during the call.
    Try,
    /// A delete took away another claim's node.
    Stranger,
}

pub(crate) fn properties() -> Vec<Property<Setup>> {
    vec![
        Property::always("C1 exclusion", |setup: &Setup, state: &State| state.exclusion(setup)),
        Property::always("C2 order", |_, state: &State| state.broken != Some(Broken::Order)),
        Property::always("C3 tokens", |_, state: &State| state.broken != Some(Broken::Token)),
        Property::always("C4 wake", |setup, state: &State| {
            !state.quiescent(setup) || state.head_is_granted(setup)
        }),
        Property::always("C5 orphan", |setup, state: &State| state.nodes_are_known(setup)),
        Property::always("C6 try", |_, state: &State| state.broken != Some(Broken::Try)),
        Property::always("C10 posthumous", |_, state: &State| state.broken != Some(Broken::Posthumous)),
        Property::always("C12 stranger", |_, state: &State| state.broken != Some(Broken::Stranger)),
        Property::always("told", |setup, state: &State| {
            !state.quiescent(setup) || state.believers_exist(setup)
        }),
        Property::always("floor", |_, state: &State| state.floor_is_below()),
        Property::always("held", |_, state: &State| state.held_is_said()),
    ]
}

impl Setup {
    fn conflict(&self, a: Mode, b: Mode) -> bool {
        match (a, b) {
            (Mode::Shared, Mode::Shared) => false,
            (Mode::Permits(a), Mode::Permits(b)) => a + b > self.limit,
            _ => true,
        }
    }
}

impl State {
    /// Its node, as it knows it, is in the store.
    fn is_there(&self, me: Claim) -> bool {
        self.claim(me).own_path(me).and_then(|path| self.latest().owner(path)) == Some(me)
    }

    /// Those that believe to hold; not those that an operator has evicted and that have not been told yet.
    /// Who believes after its session ended has nothing to be told by.
    fn believes(&self, setup: &Setup, me: Claim) -> bool {
        let ended = self.sessions[setup.session(me) as usize].ended;
        self.claim(me).granted && (self.is_there(me) || ended)
    }

    fn exclusion(&self, setup: &Setup) -> bool {
        let holds = |me: Claim| self.believes(setup, me) || self.latest().holders.contains(&me);
        let holders: Vec<Claim> = setup.all().filter(|me| holds(*me)).collect();
        let mode = |me| self.mode(setup, me);
        let pairs_agree = holders
            .iter()
            .enumerate()
            .all(|(index, a)| holders[..index].iter().all(|b| !setup.conflict(mode(*a), mode(*b))));
        pairs_agree && holders.iter().map(|me| mode(*me).weight()).sum::<u8>() <= setup.limit
    }

    /// Nothing is on its way, and nobody has anything left to do unless a user or a fault acts.
    fn quiescent(&self, setup: &Setup) -> bool {
        self.ghosts.is_empty()
            && self.operator.is_none()
            && self.claims.iter().all(|claim| claim.request.is_none())
            && setup.sessions().all(|session| self.next_event(setup, session).is_none())
    }

    /// The head holds, or the holders keep it out; and who is a holder knows it.
    fn head_is_granted(&self, setup: &Setup) -> bool {
        let latest = self.latest();
        let waits = |head: Claim| !self.claim(head).granted && self.admits(setup, latest, head);
        !latest.first().is_some_and(|(_, head)| waits(head))
            && latest.holders.iter().all(|holder| self.claim(*holder).granted)
    }

    /// A claim has one node at most, which it knows or still asks for; when it is finished it has none.
    fn nodes_are_known(&self, setup: &Setup) -> bool {
        let nodes = || self.latest().queue.iter().flat_map(|queue| &queue.nodes);
        setup.all().all(|me| {
            let count = nodes().filter(|(_, owner)| *owner == me).count();
            let finished = self.claim(me).phase == Phase::Finished;
            count <= usize::from(!finished) && !(finished && self.latest().holders.contains(&me))
        })
    }

    /// Whoever waits or holds has the node that it thinks it has.
    fn believers_exist(&self, setup: &Setup) -> bool {
        let in_line = |claim: &ClaimState| matches!(claim.phase, Phase::InLine | Phase::BehindGate);
        setup.all().all(|me| !in_line(self.claim(me)) || self.is_there(me))
    }

    fn floor_is_below(&self) -> bool {
        let Some(queue) = &self.latest().queue else { return true };
        queue.nodes.iter().all(|(seq, _)| *seq > queue.floor.upto)
    }

    fn held_is_said(&self) -> bool {
        let free = |queue: &crate::store::Queue| queue.floor.held == Held::No;
        !self.latest().queue.as_ref().is_some_and(free) || self.latest().holders.is_empty()
    }

    /// Tokens of conflicting grants rise in the order of the grants. The highest one of each mode is kept. A
    /// claim that was evicted before it heard of its grant is not counted: in the store it came first.
    pub(crate) fn check_token(&mut self, setup: &Setup, me: Claim) {
        let token = self.claim(me).place;
        if !self.is_there(me) {
            return;
        }
        let conflicts = |other: &Claim| setup.conflict(setup.mode(me), setup.mode(*other));
        if setup.all().filter(conflicts).any(|other| self.tokens[other as usize] >= token) {
            self.broken = Some(Broken::Token);
        }
        let slot = setup.all().find(|other| setup.mode(*other) == setup.mode(me)).unwrap_or(me);
        let highest = &mut self.tokens[slot as usize];
        *highest = token.max(*highest);
    }
}
