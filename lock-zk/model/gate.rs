//! What a client does as the head of the queue: who lets it in, and how it comes to hold.

use crate::{
    claim::{ClaimState, Mode, Phase, Step},
    mutant::Mutant,
    properties::Broken,
    store::{Claim, Held, Store},
    world::{Setup, State},
};

impl State {
    /// Whether the holders let a claim in that is the head.
    pub(crate) fn admits(&self, setup: &Setup, store: &Store, me: Claim) -> bool {
        self.in_the_way(setup, store, me).is_empty()
    }

    /// The holders that keep it out.
    pub(crate) fn in_the_way(&self, setup: &Setup, store: &Store, me: Claim) -> Vec<Claim> {
        let shared = |claim: &Claim| self.mode(setup, *claim) == Mode::Shared;
        let sum: u8 = store.holders.iter().map(|holder| self.mode(setup, *holder).weight()).sum();
        let in_the_way = |holder: &Claim| match self.mode(setup, me) {
            Mode::Exclusive => !setup.mutated(Mutant::ExclusiveIgnoresHolders),
            Mode::Shared => !shared(holder) && !setup.mutated(Mutant::SharedIgnoresPermits),
            Mode::Permits(mine) => shared(holder) || sum + mine > setup.limit,
        };
        store.holders.iter().copied().filter(in_the_way).collect()
    }

    /// Whether the kernel grants it, in this line.
    pub(crate) fn grantable(&self, setup: &Setup, store: &Store, me: Claim) -> bool {
        let queued = store.queue.iter().flat_map(|queue| &queue.nodes).map(|(_, claim)| *claim);
        let ahead: Vec<Claim> =
            queued.take_while(|claim| *claim != me).chain(store.holders.iter().copied()).collect();
        let modes = || ahead.iter().map(|claim| self.mode(setup, *claim));
        match self.mode(setup, me) {
            Mode::Exclusive => ahead.is_empty(),
            Mode::Shared => modes().all(|mode| mode == Mode::Shared),
            Mode::Permits(mine) => {
                modes().all(|mode| mode.weight() > 0)
                    && modes().map(Mode::weight).sum::<u8>() + mine <= setup.limit
            }
        }
    }

    /// Nobody is before me, and nobody will be.
    pub(crate) fn head(&mut self, setup: &Setup, me: Claim, held: Held) {
        let claim = self.claim_mut(me);
        claim.head = true;
        let fresh = held == Held::Unknown && setup.mutated(Mutant::FreshMeansFree);
        if held == Held::No || fresh || claim.early {
            self.admitted(setup, me);
        } else {
            claim.step = Step::Gate;
        }
    }

    pub(crate) fn admitted(&mut self, setup: &Setup, me: Claim) {
        if self.mode(setup, me) == Mode::Exclusive {
            self.claim_mut(me).step = Step::Holds;
            self.grant(setup, me);
        } else {
            self.claim_mut(me).step = Step::Admit;
        }
    }

    pub(crate) fn behind_gate(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        let ClaimState { place, leaving, granted, weakened, .. } = *claim;
        *claim =
            ClaimState { phase: Phase::BehindGate, place, leaving, granted, weakened, ..Default::default() };
        self.grant(setup, me);
    }

    /// The user is told, unless it is no longer interested.
    fn grant(&mut self, setup: &Setup, me: Claim) {
        let session = &self.sessions[setup.session(me) as usize];
        let claim = self.claim(me);
        if claim.leaving || claim.granted || session.ended && !setup.mutated(Mutant::DeadlineIgnored) {
            return;
        }
        let store = &self.versions[session.at];
        let there = claim.own_path(me).and_then(|path| store.owner(path)) == Some(me);
        let before = store.first().map(|(_, first)| first);
        if !there {
            self.broken = Some(Broken::Posthumous);
        } else if claim.phase == Phase::InLine && before != Some(me) {
            self.broken = Some(Broken::Order);
        }
        self.claim_mut(me).granted = true;
        self.check_token(setup, me);
    }

    pub(crate) fn holder_gone(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        claim.kept_by.remove(0);
        if setup.mutated(Mutant::OneHolderIsAll) {
            claim.kept_by.clear();
        }
        if setup.mutated(Mutant::PermitsWatchOne) {
            claim.step = Step::Gate;
        } else {
            self.next_holder(setup, me);
        }
    }

    pub(crate) fn next_holder(&mut self, setup: &Setup, me: Claim) {
        if self.claim(me).kept_by.is_empty() {
            self.admitted(setup, me);
        } else {
            self.claim_mut(me).step = Step::Guard;
        }
    }
}
