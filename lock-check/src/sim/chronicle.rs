//! What everybody in a simulation shares, its store included: the true clock, what is recorded, and whether
//! all is calm.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lock_core::{
    SessionId,
    runtime::{Runtime, SimulatedRuntime},
    sync::locked,
};

use crate::history::{Event, Invariant, Violation, What};

/// What everybody in a simulation shares.
#[derive(Debug)]
pub struct Chronicle {
    clock: SimulatedRuntime,
    history: Mutex<Vec<Event>>,
    tally: Mutex<Tally>,
    calm: AtomicBool,
    /// What is wrong beyond what a history shows.
    violations: Mutex<Vec<Violation>>,
}

impl Chronicle {
    /// That of a simulation which is about to begin, within a paused tokio runtime.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let clock = match SimulatedRuntime::new(seed) {
            Ok(clock) => clock,
            Err(error) => unreachable!("within a runtime: {error}"),
        };
        let (history, tally, violations) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { clock, history, tally, calm: AtomicBool::new(false), violations }
    }

    /// The true clock, and the store's.
    #[must_use]
    pub fn clock(&self) -> &SimulatedRuntime {
        &self.clock
    }

    /// Whether nothing goes wrong any more: what is under way must come to an end.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Counts that this happened.
    pub fn note(&self, what: &'static str) {
        locked(&self.tally).note(what);
    }

    /// The store has just ended a session that its owner had not closed.
    pub fn session_ended(&self, session: SessionId) {
        self.record(What::SessionEnded { session });
    }

    /// On the true clock.
    pub async fn sleep(&self, duration: Duration) {
        self.clock.sleep_until(self.clock.now() + duration).await;
    }

    /// Runs a task in the background.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.clock.spawn(Box::pin(task));
    }

    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(super) fn count(&self, what: &str) -> u64 {
        locked(&self.tally).count(what)
    }

    pub(super) fn record(&self, what: What) {
        self.record_late(what, Duration::ZERO);
    }

    /// Records what happened so long ago.
    pub(super) fn record_late(&self, what: What, ago: Duration) {
        let at = self.clock.now().since_zero() - ago;
        locked(&self.history).push(Event { at, what });
    }

    pub(super) fn violated(&self, invariant: Invariant, how: String) {
        let at = self.clock.now().since_zero();
        locked(&self.violations).push(Violation { invariant, at, how });
    }

    /// The history in the order of time, what is wrong beyond it, and how often what happened.
    pub(super) fn close(&self) -> (Vec<Event>, Vec<Violation>, Tally) {
        let mut history = std::mem::take(&mut *locked(&self.history));
        history.sort_by_key(|event| event.at);
        let mut tally = locked(&self.tally).clone();
        tally.0.insert("events in the history", history.len() as u64);
        (history, std::mem::take(&mut *locked(&self.violations)), tally)
    }
}

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// How often this happened.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Adds another one to this.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>12}  {what}"))
    }
}
