//! The transactions of the gate: how shared and permits claims come to hold behind it, and stop.

use crate::{
    claim::{Exit, Mode},
    mutant::Mutant,
    store::{Claim, Compare, Key, Operation, Range, Revision, Store, Txn, Value},
    world::Setup,
};

impl Setup {
    /// Where a claim records itself as a holder; an exclusive claim never does.
    pub(crate) fn holder_key(&self, me: Claim) -> Key {
        match self.mode(me) {
            Mode::Shared => Key::Shared(me),
            Mode::Exclusive | Mode::Permits(_) => Key::Permits(me),
        }
    }

    /// Whether the head of the queue may go, as far as the holders are concerned.
    pub(crate) fn admits(&self, store: &Store, me: Claim) -> bool {
        let (mut shared, mut permits) = (0, 0);
        for node in store.range(Range::Holders) {
            match node.key {
                Key::Permits(claim) => permits += self.weight(claim),
                _ => shared += 1,
            }
        }
        match self.mode(me) {
            Mode::Exclusive if self.mutated(Mutant::ExclusiveIgnoresHolders) => true,
            Mode::Exclusive => shared + permits == 0,
            Mode::Shared if self.mutated(Mutant::AdmitIgnoresPermits) => true,
            Mode::Shared => permits == 0,
            Mode::Permits(weight) => shared == 0 && permits + weight <= self.limit,
        }
    }

    pub(crate) fn weight(&self, claim: Claim) -> u8 {
        match self.mode(claim) {
            Mode::Permits(weight) => weight,
            Mode::Exclusive | Mode::Shared => 0,
        }
    }

    /// In one transaction the fast path, or else the join: as two requests a claim between them would wait
    /// for nobody, and nobody would know of it.
    pub(crate) fn enter(&self, me: Claim, bound: Option<Revision>) -> Txn {
        let mut compares = Vec::new();
        if !self.mutated(Mutant::FastPathIgnoresTail) {
            compares.push(Compare::Absent(Key::Tail));
        }
        match (self.mode(me), bound) {
            (Mode::Shared, _) if self.mutated(Mutant::FastPathIgnoresPermits) => {}
            (Mode::Permits(_), Some(_)) if self.mutated(Mutant::FastPathWithoutBound) => {}
            (Mode::Permits(_), Some(bound)) => compares.push(Compare::NoneSince(Range::Holders, bound)),
            _ => compares.push(Compare::Empty(Range::Permits)),
        }
        let (then, otherwise) = (vec![self.put_holder(me)], self.join_operations(me));
        let nested = Operation::Nested(Txn { compares, then, otherwise });
        Txn { compares: self.guards(me), then: vec![nested], otherwise: Vec::new() }
    }

    /// From the head of the queue to the holders, and the gate passes on to the next claim.
    pub(crate) fn admit(&self, me: Claim, exit: Exit) -> Txn {
        let mut txn = self.leave(me, exit);
        if self.mutated(Mutant::AdmitWithoutOwnNode) {
            txn.compares.retain(|compare| *compare != Compare::Present(Key::Queue(me)));
        }
        if self.mutated(Mutant::AdmitWithoutRing) {
            txn.then.retain(|operation| !matches!(operation, Operation::Ring(..)));
        }
        if self.mode(me) == Mode::Shared && !self.mutated(Mutant::AdmitIgnoresPermits) {
            txn.compares.push(Compare::Empty(Range::Permits));
        }
        txn.then.push(self.put_holder(me));
        txn
    }

    pub(crate) fn release(&self, me: Claim, created: Revision, void: bool) -> Txn {
        let mut then = vec![Operation::Delete(self.holder_key(me))];
        if void {
            then.push(self.put_void(me));
        }
        Txn { compares: vec![Compare::Created(self.holder_key(me), created)], then, otherwise: Vec::new() }
    }

    pub(crate) fn put_holder(&self, me: Claim) -> Operation {
        Operation::Put(self.holder_key(me), Value::Nothing, Some(self.session(me)))
    }
}
