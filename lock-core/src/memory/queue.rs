//! One line in memory: holders and waiters, with the kernel deciding in constant time at each step.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    backend::{Line, LinePlace},
    claim::{Claim, ClaimId, Fate},
    line::{Mode, Occupancy},
    name::LineId,
    token::FencingToken,
};

/// A claim in line.
#[derive(Debug)]
pub(super) struct Entry {
    claim: Claim,
    /// Its place too.
    token: FencingToken,
    fate: Arc<Fate>,
}

impl Entry {
    fn place(&self) -> u64 {
        self.token.get()
    }
}

/// Fates to grant, once the store is unlocked.
pub(super) type Granted = Vec<(Arc<Fate>, FencingToken)>;

/// The holders (boxed: a map's node holds eleven, and most lines have one), which are what a prefix of the
/// line (and everybody present) was granted, and the waiters behind them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    holders: BTreeMap<u64, Box<Entry>>,
    waiters: BTreeMap<u64, Box<Entry>>,
    /// Of the holders.
    occupancy: Occupancy,
    revision: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty() && self.waiters.is_empty()
    }

    #[cfg(feature = "testkit")]
    pub(super) fn len(&self) -> usize {
        self.holders.len() + self.waiters.len()
    }

    /// Whether a claim in this mode would be granted at once.
    pub(super) fn admits(&self, mode: Mode) -> bool {
        mode == Mode::Present || (self.waiters.is_empty() && self.occupancy.admits(mode))
    }

    /// Takes the place of this token, behind all others. It may be granted at once.
    pub(super) fn join(&mut self, claim: Claim, token: FencingToken) -> Arc<Fate> {
        self.revision = token.get();
        let granted = self.admits(claim.mode);
        let fate = Arc::new(if granted { Fate::granted_at_once(token) } else { Fate::default() });
        let entry = Box::new(Entry { claim, token, fate: fate.clone() });
        if granted {
            self.hold(entry);
        } else {
            self.waiters.insert(entry.place(), entry);
        }
        fate
    }

    /// Gives up the place, granted or not, and grants those whom that lets in.
    pub(super) fn leave(&mut self, place: u64, revision: u64) -> Option<Granted> {
        match self.holders.remove(&place) {
            Some(holder) => self.occupancy.remove(holder.claim.mode),
            None => drop(self.waiters.remove(&place)?),
        }
        self.revision = revision;
        Some(self.admit_waiters())
    }

    /// The holder at `place`, if it is this claim's.
    pub(super) fn holder(&self, place: u64, claim: ClaimId) -> Option<&Entry> {
        self.holders.get(&place).map(Box::as_ref).filter(|entry| entry.claim.id == claim)
    }

    /// Changes a holder, and grants those whom that lets in.
    pub(super) fn change(
        &mut self,
        place: u64,
        claim: ClaimId,
        revision: u64,
        change: impl FnOnce(&mut Claim),
    ) -> Option<Granted> {
        let holder = self.holders.get_mut(&place).filter(|entry| entry.claim.id == claim)?;
        self.occupancy.remove(holder.claim.mode);
        change(&mut holder.claim);
        self.occupancy.add(holder.claim.mode);
        self.revision = revision;
        Some(self.admit_waiters())
    }

    /// In ticket order, up to the first that does not fit: that one stops those behind it.
    fn admit_waiters(&mut self) -> Granted {
        let mut granted = Granted::new();
        while let Some(next) = self.waiters.first_entry() {
            if !self.occupancy.admits(next.get().claim.mode) {
                break;
            }
            let next = next.remove();
            granted.push((next.fate.clone(), next.token));
            self.hold(next);
        }
        granted
    }

    fn hold(&mut self, entry: Box<Entry>) {
        self.occupancy.add(entry.claim.mode);
        self.holders.insert(entry.place(), entry);
    }

    pub(super) fn view(&self, id: &LineId) -> Line {
        let holders = self.holders.values().map(|entry| view(entry, Some(entry.token)));
        let mut places: Vec<LinePlace> =
            holders.chain(self.waiters.values().map(|entry| view(entry, None))).collect();
        places.sort_by_key(|place| place.place);
        Line { id: id.clone(), revision: self.revision, places, foreign: 0 }
    }
}

fn view(entry: &Entry, token: Option<FencingToken>) -> LinePlace {
    let Claim { id, mode, owner, payload, since } = entry.claim.clone();
    LinePlace { claim: id, place: entry.place(), mode, owner, payload, since, token }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        line::{Entrant, Verdict, decide},
        session::SessionId,
    };

    fn claim(number: u64, mode: Mode) -> Claim {
        let id = ClaimId { session: SessionId::new(1), number };
        let (owner, payload) = ("test".into(), Default::default());
        Claim { id, mode, owner, payload, since: SystemTime::UNIX_EPOCH }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join(Mode),
        Leave(prop::sample::Index),
        Weaken(prop::sample::Index, Mode),
    }

    fn modes() -> impl Strategy<Value = Mode> {
        prop_oneof![
            Just(Mode::Exclusive),
            Just(Mode::Shared),
            Just(Mode::Present),
            (1..=3_u32, 3..=4_u32).prop_map(|(count, limit)| Mode::Permits { count, limit }),
        ]
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => modes().prop_map(Step::Join),
            2 => any::<prop::sample::Index>().prop_map(Step::Leave),
            1 => (any::<prop::sample::Index>(), modes()).prop_map(|(index, mode)| Step::Weaken(index, mode)),
        ];
        prop::collection::vec(step, 1..40)
    }

    proptest! {
        /// What the queue grants step by step is what the kernel says of the whole line, at every step; and each step
        /// reports the new grants, all of them and no other (C4).
        #[test]
        fn c1_c2_c4_the_queue_does_what_the_kernel_says(steps in steps()) {
            let mut queue = Queue::default();
            let mut told = std::collections::BTreeSet::new();
            for (step, place) in steps.into_iter().zip(1..) {
                let line: Vec<LinePlace> = queue.view(&"x".parse().map(|n| LineId::new(crate::Kind::Mutex, n)).unwrap()).places;
                let granted = match step {
                    Step::Join(mode) => {
                        let token = FencingToken::new(place).unwrap();
                        let fate = queue.join(claim(place, mode), token);
                        if fate.token() == Some(token) { vec![(fate, token)] } else { Granted::new() }
                    }
                    Step::Leave(index) if !line.is_empty() => {
                        let gone = index.get(&line).place;
                        told.remove(&gone);
                        queue.leave(gone, place).unwrap()
                    }
                    Step::Weaken(index, mode) if !line.is_empty() => {
                        let LinePlace { place: at, claim, mode: now, .. } = *index.get(&line);
                        if !now.may_weaken_to(mode) { continue }
                        queue.change(at, claim, place, |claim| claim.mode = mode).unwrap_or_default()
                    }
                    Step::Leave(_) | Step::Weaken(..) => continue,
                };
                for (_, token) in granted {
                    prop_assert!(told.insert(token.get()), "{token} was granted twice");
                }
                let line = queue.view(&"x".parse().map(|n| LineId::new(crate::Kind::Mutex, n)).unwrap()).places;
                let entrants: Vec<Entrant> = line.iter().map(|p| Entrant { place: p.place, mode: p.mode }).collect();
                for place in &line {
                    let verdict = decide(&entrants, place.place).unwrap();
                    prop_assert_eq!(place.token.is_some(), verdict == Verdict::Granted, "{:?} in {:?}", place, entrants);
                    prop_assert_eq!(place.token.is_some(), told.contains(&place.place));
                }
            }
        }
    }
}
