//! What a session knows of the queue's floor without asking.

use crate::{
    claim::{Phase, Request, Step},
    mutant::Mutant,
    store::{Claim, Floor, Place},
    world::{Setup, State},
};

impl State {
    /// The line's queue, as this claim has heard. Of another one nothing is known.
    pub(crate) fn comes_to_know(&mut self, setup: &Setup, me: Claim, queue: Option<u8>) {
        let session = self.session_mut(setup.session(me));
        if session.known != queue && !setup.mutated(Mutant::FloorOfAnotherQueue) {
            session.floor = None;
        }
        session.known = queue;
    }

    /// An answer has told of this floor of the claim's queue.
    pub(crate) fn remember(&mut self, setup: &Setup, me: Claim, place: Place, floor: Floor) {
        let session = setup.session(me);
        let state = self.session_mut(session);
        let is_news = state.floor.is_none_or(|known| floor.upto > known.upto);
        // That nobody has left yet is known of any queue.
        if is_news && floor.upto >= 0 && setup.is_shared(session) && state.known == Some(place.queue) {
            state.floor = Some(floor);
        }
    }

    /// Who has lost the one ahead and knows from its session that nobody is left is the head.
    pub(crate) fn recall(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim(me);
        let session = &self.sessions[setup.session(me) as usize];
        let (Some(place), Some(floor)) = (claim.place, session.floor) else { return };
        let asks = matches!(claim.step, Step::Floor | Step::Told);
        let of_another = session.known != Some(place.queue) && !setup.mutated(Mutant::FloorOfAnotherQueue);
        if claim.phase != Phase::InLine || claim.leaving || !asks || of_another {
            return;
        }
        let old = setup.mutated(Mutant::OldFloorSaysHeld) && floor.upto >= claim.ahead - 1;
        if old || floor.upto == place.seq - 1 {
            self.head(setup, me, floor.held);
        }
    }

    /// A claim of this session leaves as the head: the answer will tell.
    pub(crate) fn hears_of_floor(&self, setup: &Setup, me: Claim) -> bool {
        setup
            .claims_of(setup.session(me))
            .any(|other| matches!(self.claim(other).request, Some(Request::Leave(_, Some(_)))))
    }
}
