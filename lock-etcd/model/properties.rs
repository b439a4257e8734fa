//! What must hold in every state.

use stateright::Property;

use crate::{
    claim::{ClaimState, Mode, Phase},
    store::{Claim, Key, Node, Range, Revision},
    world::{Setup, State},
};

/// What was seen to go wrong in a step, where the state alone does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// A claim passed the gate before an earlier one.
    Order,
    /// A grant whose token is not above that of an earlier, conflicting one.
    Token,
    /// `try` answered None, and nobody else was in line during the call.
    Try,
    /// The store refused a transaction of a living session: it would be repeated for ever.
    Refused,
}

/// More than any of these configurations needs.
const STEPS_TO_REST: usize = 60;

pub(crate) fn properties() -> Vec<Property<Setup>> {
    vec![
        Property::always("C1 exclusion", |setup: &Setup, state: &State| state.exclusion(setup)),
        Property::always("C2 order", |_, state: &State| {
            state.broken != Some(Broken::Order) && state.exclusive_holders_are_first()
        }),
        Property::always("C3 tokens", |_, state: &State| state.broken != Some(Broken::Token)),
        Property::always("C4 wake", |setup, state: &State| {
            !state.quiescent() || state.head_is_granted(setup)
        }),
        Property::always("C5 orphan", |setup, state: &State| state.finished_are_gone(setup)),
        Property::always("C6 try", |_, state: &State| state.broken != Some(Broken::Try)),
        Property::always("told", |setup, state: &State| !state.quiescent() || state.believers_exist(setup)),
        Property::always("C16 tidy", |_, state: &State| !state.quiescent() || state.tail_is_gone()),
        Property::always("settles", |setup, state: &State| !setup.settles || state.settles(setup)),
        Property::always("no refusal", |_, state: &State| state.broken != Some(Broken::Refused)),
    ]
}

impl Setup {
    pub(crate) fn conflict(&self, a: Claim, b: Claim) -> bool {
        match (self.mode(a), self.mode(b)) {
            (Mode::Shared, Mode::Shared) => false,
            (Mode::Permits(a), Mode::Permits(b)) => a + b > self.limit,
            _ => true,
        }
    }
}

impl State {
    /// Those that believe to hold; not those that an operator has evicted and that have not been told yet.
    fn believers(&self) -> impl Iterator<Item = (Claim, &ClaimState)> {
        (0..).zip(&self.claims).filter(|(_, claim)| claim.token.is_some() && !claim.evicted)
    }

    fn exclusion(&self, setup: &Setup) -> bool {
        let believers: Vec<Claim> = self.believers().map(|(claim, _)| claim).collect();
        let pairs_agree = believers
            .iter()
            .enumerate()
            .all(|(index, a)| believers[..index].iter().all(|b| !setup.conflict(*a, *b)));
        let believed: u8 = believers.iter().map(|claim| setup.weight(*claim)).sum();
        let stored: u8 = self.store.range(Range::Permits).map(|node| setup.weight(owner(node))).sum();
        let shared = self.store.range(Range::Holders).any(|node| matches!(node.key, Key::Shared(_)));
        pairs_agree && believed.max(stored) <= setup.limit && !(shared && stored > 0)
    }

    /// An exclusive holder is the head of the queue, and nobody holds behind the gate.
    fn exclusive_holders_are_first(&self) -> bool {
        self.believers().filter(|(_, claim)| claim.phase == Phase::InLine).all(|(claim, _)| {
            self.first_in_queue().is_some_and(|node| node.key == Key::Queue(claim))
                && self.store.range(Range::Holders).next().is_none()
        })
    }

    fn first_in_queue(&self) -> Option<&Node> {
        self.store.range(Range::Queue).min_by_key(|node| node.created)
    }

    /// Nothing is on its way, and nobody has anything left to do unless a user or a fault acts.
    pub(crate) fn quiescent(&self) -> bool {
        self.ghosts.is_empty()
            && self.operator.is_none()
            && self.claims.iter().all(|claim| claim.request.is_none())
            && (0..)
                .zip(&self.sessions)
                .all(|(session, state)| state.is_idle() && !self.store.haunts(session))
    }

    /// Without any periodic re-read: the head holds, or the holders keep it out.
    fn head_is_granted(&self, setup: &Setup) -> bool {
        let granted = |node: &Node| self.claim(owner(node)).token.is_some();
        self.first_in_queue().is_none_or(|node| granted(node) || !setup.admits(&self.store, owner(node)))
            && self.store.range(Range::Holders).all(granted)
    }

    /// A claim that is finished has no node, whatever may still land.
    fn finished_are_gone(&self, setup: &Setup) -> bool {
        (0..).zip(&self.claims).filter(|(_, claim)| claim.phase == Phase::Finished).all(|(claim, _)| {
            let keys = [Key::Queue(claim), Key::Next(claim), setup.holder_key(claim)];
            keys.into_iter().all(|key| self.store.get(key).is_none())
        })
    }

    /// Whoever waits or holds has the node that it thinks it has.
    fn believers_exist(&self, setup: &Setup) -> bool {
        (0..).zip(&self.claims).all(|(claim, state)| match state.phase {
            Phase::InLine => self.store.get(Key::Queue(claim)).is_some(),
            Phase::BehindGate => self.store.get(setup.holder_key(claim)).is_some(),
            Phase::Idle | Phase::Entering | Phase::Finished => true,
        })
    }

    /// Left alone from here on, without another fault, everything comes to rest: nobody asks for ever.
    fn settles(&self, setup: &Setup) -> bool {
        let mut state = self.clone();
        (0..STEPS_TO_REST).any(|_| {
            let next = state.next_unprovoked(setup);
            next.into_iter().for_each(|action| state.step(setup, action));
            next.is_none()
        })
    }

    /// Unless a session has ended, an empty line leaves no `tail` and no mark behind, and who is named as
    /// the next one is in line.
    fn tail_is_gone(&self) -> bool {
        let all_live = (0..).zip(&self.sessions).all(|(session, _)| self.store.lives(session));
        let empty = [Key::Tail, Key::Mark].into_iter().all(|key| self.store.get(key).is_none());
        // Who is followed by another of its session knows that, whoever is named in the store.
        let linked = |claim: Claim| {
            let next = self.store.get(Key::Next(claim)).filter(|_| self.claim(claim).follower.is_none());
            next.and_then(|next| next.value.claim())
        };
        let in_line = |claim: Claim| self.store.get(Key::Queue(claim)).is_some();
        let all = 0..self.claims.len() as Claim;
        !all_live || all.filter_map(linked).all(in_line) && (self.first_in_queue().is_some() || empty)
    }

    /// Tokens of conflicting grants rise in the order of the grants. The highest one of each mode is kept. A
    /// claim that was evicted before it heard of its grant is not counted: in the store it came first.
    pub(crate) fn check_token(&mut self, setup: &Setup, me: Claim, token: Revision) {
        let conflicts = |other: &Claim| setup.conflict(me, *other);
        if self.claim(me).evicted {
            return;
        }
        if setup.all().filter(conflicts).any(|other| self.tokens[other as usize] >= token) {
            self.broken = Some(Broken::Token);
        }
        let slot = setup.all().find(|other| setup.mode(*other) == setup.mode(me)).unwrap_or(me);
        let highest = &mut self.tokens[slot as usize];
        *highest = token.max(*highest);
    }
}

pub(crate) fn owner(node: &Node) -> Claim {
    match node.key {
        Key::Queue(claim)
        | Key::Next(claim)
        | Key::Void(claim)
        | Key::Shared(claim)
        | Key::Permits(claim) => claim,
        Key::Tail | Key::Mark => unreachable!("it belongs to nobody"),
    }
}
