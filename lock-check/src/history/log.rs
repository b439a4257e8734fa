//! The store's own log: which claim was in line from when to when, whether that keeps the contract, and
//! whether it agrees with what clients saw.
//!
//! Where clients cannot know, [`check`](super::check()) is lenient. The log knows: it has each change in the one
//! order of the store. What it does not know is when on the clients' clock a change was made, so each has two
//! bounds: some answered request was sent after, or came back before.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use lock_core::{ClaimId, LineId, Mode, line::Occupancy};

use super::{Invariant, Violation};

/// A change in the store's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its place in that order.
    pub revision: u64,
    /// It was made no sooner.
    pub earliest: Duration,
    /// It was made no later.
    pub latest: Duration,
}

/// A claim in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Whose.
    pub claim: ClaimId,
    /// Where.
    pub line: LineId,
    /// For what.
    pub mode: Mode,
    /// Its place: smaller came earlier.
    pub place: u64,
    /// When it came.
    pub entered: Stamp,
    /// When the store itself recorded that it holds; none for a claim that holds where it queued, which is
    /// when all before it are gone.
    pub admitted: Option<Stamp>,
    /// When it was gone; none: it is still there.
    pub gone: Option<Stamp>,
}

/// A write that the store took because a claim held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedWrite {
    /// Which claim.
    pub claim: ClaimId,
    /// When, in the store's order.
    pub revision: u64,
}

/// What a store has written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// All claims.
    pub stays: Vec<Stay>,
    /// All writes under a guard.
    pub writes: Vec<GuardedWrite>,
}

/// A guard was found valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whose.
    pub claim: ClaimId,
    /// Right before.
    pub before: Duration,
    /// Right after.
    pub after: Duration,
}

impl Log {
    /// What is wrong with the store's own order, and with guards that were found valid.
    #[must_use]
    pub fn check(&self, looks: &[Look]) -> Vec<Violation> {
        let mut lines: BTreeMap<&str, Vec<&Stay>> = BTreeMap::new();
        for stay in &self.stays {
            lines.entry(stay.line.key()).or_default().push(stay);
        }
        let mut violations = Vec::new();
        for stays in lines.values_mut() {
            stays.sort_by_key(|stay| stay.place);
            self.check_order(stays, &mut violations);
        }
        self.check_looks(looks, &lines, &mut violations);
        violations.sort_by_key(|violation| violation.at);
        violations
    }

    /// Walks through the changes of a line: nobody is admitted whom those ahead, or those who hold, keep out;
    /// and whoever writes holds.
    fn check_order(&self, stays: &[&Stay], violations: &mut Vec<Violation>) {
        let known: HashMap<ClaimId, &Stay> = stays.iter().map(|stay| (stay.claim, *stay)).collect();
        let mut steps = Vec::new();
        for stay in stays {
            steps.push((stay.entered.revision, Step::Enters(stay)));
            steps.extend(stay.admitted.map(|stamp| (stamp.revision, Step::IsAdmitted(stay, stamp))));
            steps.extend(stay.gone.map(|stamp| (stamp.revision, Step::IsGone(stay))));
        }
        let writes = self.writes.iter().filter_map(|it| Some((it, *known.get(&it.claim)?)));
        steps.extend(writes.map(|(write, stay)| (write.revision, Step::Writes(stay))));
        // In one change somebody may go and come; who goes makes room.
        steps.sort_by_key(|(revision, step)| (*revision, step.rank()));
        let mut line = Standing::default();
        for (_, step) in steps {
            line.take(step, violations);
        }
    }

    /// A guard is valid only while its claim is in line, and nobody who is in its way is ahead of it.
    fn check_looks(
        &self,
        looks: &[Look],
        lines: &BTreeMap<&str, Vec<&Stay>>,
        violations: &mut Vec<Violation>,
    ) {
        let known: HashMap<ClaimId, &Stay> = self.stays.iter().map(|stay| (stay.claim, stay)).collect();
        let ahead: BTreeMap<&str, Ahead> =
            lines.iter().map(|(line, stays)| (*line, Ahead::new(stays))).collect();
        for look in looks {
            let Some(stay) = known.get(&look.claim) else {
                let how = format!("{} was found valid, and never was in the store", look.claim);
                violations.push(Violation { invariant: Invariant::Posthumous, at: look.before, how });
                continue;
            };
            let mut wrong = |invariant, how: String| {
                violations.push(Violation { invariant, at: look.before, how });
            };
            if stay.entered.earliest > look.after {
                wrong(Invariant::Posthumous, format!("{} was valid before it was in line", look.claim));
            }
            if let Some(gone) = stay.gone.filter(|gone| gone.latest < look.before) {
                let how = format!(
                    "{}: {} was found valid, and the store had removed it by {:?} (revision {})",
                    stay.line, look.claim, gone.latest, gone.revision
                );
                wrong(Invariant::Posthumous, how);
            }
            let last = ahead.get(stay.line.key()).and_then(|ahead| ahead.last_gone(stay));
            if let Some((other, gone)) = last.filter(|(_, gone)| *gone > look.after) {
                let how = format!(
                    "{}: {} ({}) was found valid, and {other} was ahead of it until {gone:?} at least",
                    stay.line, look.claim, stay.mode
                );
                wrong(Invariant::BeliefExclusion, how);
            }
        }
    }
}

enum Step<'a> {
    Enters(&'a Stay),
    IsAdmitted(&'a Stay, Stamp),
    IsGone(&'a Stay),
    Writes(&'a Stay),
}

impl Step<'_> {
    const fn rank(&self) -> u8 {
        match self {
            Self::IsGone(_) => 0,
            Self::Enters(_) => 1,
            Self::IsAdmitted(..) => 2,
            Self::Writes(_) => 3,
        }
    }
}

/// A line at one point of the store's order.
#[derive(Default)]
struct Standing {
    /// By their places: those who queue.
    queue: BTreeMap<u64, (ClaimId, Mode)>,
    /// Those who were admitted.
    holders: HashMap<ClaimId, Mode>,
}

impl Standing {
    fn take(&mut self, step: Step<'_>, violations: &mut Vec<Violation>) {
        match step {
            Step::Enters(stay) => {
                self.queue.insert(stay.place, (stay.claim, stay.mode));
            }
            Step::IsGone(stay) => {
                self.queue.remove(&stay.place);
                self.holders.remove(&stay.claim);
            }
            Step::IsAdmitted(stay, stamp) => {
                self.queue.remove(&stay.place);
                let mut together = self.occupancy();
                if !together.admits(stay.mode) {
                    let how = format!(
                        "{}: {} ({}) was admitted beside {:?}",
                        stay.line, stay.claim, stay.mode, self.holders
                    );
                    violations.push(Violation {
                        invariant: Invariant::StoreExclusion,
                        at: stamp.latest,
                        how,
                    });
                }
                // Those who queue ahead may be as good as granted: then nobody is overtaken.
                let mut free = true;
                for (_, (other, mode)) in self.queue.range(..stay.place) {
                    free &= together.admits(*mode);
                    together.add(*mode);
                    if !free || !together.admits(stay.mode) {
                        let how = format!(
                            "{}: {} ({}) was admitted, and {other} ({mode}) was ahead",
                            stay.line, stay.claim, stay.mode
                        );
                        violations.push(Violation { invariant: Invariant::Fifo, at: stamp.latest, how });
                        break;
                    }
                }
                self.holders.insert(stay.claim, stay.mode);
            }
            Step::Writes(stay) => {
                let holds = match stay.mode {
                    Mode::Exclusive => self.is_head(stay) && self.holders.is_empty(),
                    _ => self.holders.contains_key(&stay.claim),
                };
                if !holds {
                    let how = format!(
                        "{}: the store took a write of {}, which did not hold",
                        stay.line, stay.claim
                    );
                    violations.push(Violation {
                        invariant: Invariant::FencedWrites,
                        at: stay.entered.earliest,
                        how,
                    });
                }
            }
        }
    }

    fn is_head(&self, stay: &Stay) -> bool {
        self.queue.first_key_value().is_some_and(|(place, _)| *place == stay.place)
    }

    fn occupancy(&self) -> Occupancy {
        let mut occupancy = Occupancy::default();
        self.holders.values().for_each(|mode| occupancy.add(*mode));
        occupancy
    }
}

/// Whether two claims cannot hold together, whatever else is in line.
fn conflict(a: Mode, b: Mode) -> bool {
    let mut alone = Occupancy::default();
    alone.add(a);
    !alone.admits(b)
}

/// For each place in a line, who of those ahead that are in its way was there the longest.
struct Ahead {
    /// By place: the latest until now, of each mode.
    latest: BTreeMap<u64, [Option<(ClaimId, Duration)>; 3]>,
}

/// One of each sort.
const MODES: [Mode; 3] = [Mode::Exclusive, Mode::Shared, Mode::Permits { count: 1, limit: u32::MAX }];

impl Ahead {
    /// Of stays in the order of their places.
    fn new(stays: &[&Stay]) -> Self {
        let mut known = [None; 3];
        let mut latest = BTreeMap::new();
        for stay in stays {
            latest.insert(stay.place, known);
            let gone = stay.gone.map_or(Duration::MAX, |gone| gone.earliest);
            for (mode, known) in MODES.into_iter().zip(&mut known) {
                if std::mem::discriminant(&mode) == std::mem::discriminant(&stay.mode)
                    && known.is_none_or(|(_, until)| until < gone)
                {
                    *known = Some((stay.claim, gone));
                }
            }
        }
        Self { latest }
    }

    fn last_gone(&self, stay: &Stay) -> Option<(ClaimId, Duration)> {
        let known = MODES.into_iter().zip(*self.latest.get(&stay.place)?);
        let rivals = known.filter(|(mode, _)| conflict(*mode, stay.mode));
        rivals.filter_map(|(_, known)| known).max_by_key(|(_, gone)| *gone)
    }
}
