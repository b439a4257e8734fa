//! The simulator: clients that use the real recipes, claims and store on simulated machines, with faults, all
//! from one seed.
//!
//! Entropy that had to be shut out, so that a seed gives one history: clocks, timers, tasks and random
//! numbers (the `Runtime`), unbiased `select!`, the wake order of `tokio::sync::watch`, the order of a
//! `HashMap`, the host and process in an owner label.

mod client;
mod nemesis;
mod network;

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lock_core::{
    ClaimId, Kind, LineId, Memory,
    backend::Backend,
    runtime::{Runtime, SimulatedRuntime},
};

use crate::{
    broken::{Broken, Flaw},
    history::{self, Event, Invariant, Violation, What},
};

/// What became of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is wrong with its history; empty for a store that keeps the contract.
    pub violations: Vec<Violation>,
    /// How often what happened.
    pub tally: Tally,
    /// What clients saw.
    pub history: Vec<Event>,
}

impl Outcome {
    /// A hash of the history: the same for the same seed, in every process.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for event in &self.history {
            // As text: in memory, a line's hash is another in each process.
            hasher.write(format!("{event:?}").as_bytes());
        }
        hasher.finish()
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

/// The ttl of every session: short, so that much happens.
const TTL: Duration = Duration::from_secs(1);

/// How long a claim may linger in the store after its owner has given up: the ttl, a session that had just
/// been renewed, and requests that are still under way.
const LINGERING: Duration = Duration::from_millis(1500);

/// Many times as long as any simulation takes.
const AT_MOST: Duration = Duration::from_mins(10);

const CLIENTS: u64 = 4;
const WORKERS: usize = 2;

/// Two that a careless store takes for one, and another.
const LINES: [&str; 3] = ["a", "a/b", "c"];

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The store in memory.
    Memory,
    /// The same behind the wrapper of the broken stores, which breaks nothing by itself.
    Wrapped,
    /// A broken store.
    Broken(Flaw),
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, subject: Subject) -> Outcome {
    crate::bug::seed();
    let builder = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match builder {
        Ok(runtime) => runtime.block_on(simulate(seed, subject)),
        Err(error) => unreachable!("a runtime without I/O: {error}"),
    }
}

async fn simulate(seed: u64, subject: Subject) -> Outcome {
    let world = Arc::new(World::new(seed, subject));
    tokio::select! { biased;
        () = world.sleep(AT_MOST) => {
            world.violated(Invariant::Progress, format!("it does not come to an end within {AT_MOST:?}"));
        }
        () = play(&world) => {}
    }
    world.outcome()
}

async fn play(world: &Arc<World>) {
    let operator = nemesis::Operator::new(world).await;
    let clients = client::start_all(world).await;
    let workers = client::work(&clients);
    operator.rage(&clients).await;
    world.calm.store(true, Ordering::Relaxed);
    for worker in workers {
        let _it_ended = worker.await;
    }
    client::wind_up(world, clients).await;
    operator.leave();
    // Those who were killed are gone by now as well.
    world.sleep(LINGERING).await;
    world.look_for_orphans(|_| true);
}

/// What everybody in a simulation shares.
struct World {
    /// The true clock, and the store's.
    clock: SimulatedRuntime,
    memory: Memory,
    backend: Arc<dyn Backend>,
    history: Mutex<Vec<Event>>,
    tally: Mutex<Tally>,
    /// No more faults: what is under way must come to an end.
    calm: AtomicBool,
    /// Calls that were sent to the store.
    asked: AtomicU64,
    tick: AtomicU64,
    /// What is wrong beyond what a history shows.
    violations: Mutex<Vec<Violation>>,
}

impl World {
    fn new(seed: u64, subject: Subject) -> Self {
        let clock = match SimulatedRuntime::new(seed) {
            Ok(clock) => clock,
            Err(error) => unreachable!("within a runtime: {error}"),
        };
        let memory = Memory::with_clock(clock.shared());
        let backend: Arc<dyn Backend> = match subject {
            Subject::Memory => Arc::new(memory.clone()),
            Subject::Wrapped => Arc::new(Broken::new(memory.clone(), None)),
            Subject::Broken(flaw) => Arc::new(Broken::new(memory.clone(), Some(flaw))),
        };
        Self {
            clock,
            memory,
            backend,
            history: Mutex::default(),
            tally: Mutex::default(),
            calm: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            tick: AtomicU64::new(1),
            violations: Mutex::default(),
        }
    }

    fn record(&self, what: What) {
        self.record_late(what, Duration::ZERO);
    }

    /// Records what happened so long ago.
    fn record_late(&self, what: What, ago: Duration) {
        let at = self.clock.now().since_zero() - ago;
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(Event { at, what });
    }

    fn note(&self, what: &'static str) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).note(what);
    }

    fn count(&self, what: &str) -> u64 {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).count(what)
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep_until(self.clock.now() + duration).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.clock.spawn(Box::pin(task));
    }

    fn violated(&self, invariant: Invariant, how: String) {
        let at = self.clock.now().since_zero();
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(Violation { invariant, at, how });
    }

    /// Nobody should have a claim any more, of those that `concern` us.
    fn look_for_orphans(&self, concern: impl Fn(ClaimId) -> bool) {
        for line in lines() {
            for place in self.memory.peek(&line).places.iter().filter(|place| concern(place.claim)) {
                self.record(What::LeftBehind { claim: place.claim });
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let mut history = std::mem::take(&mut *self.history.lock().unwrap_or_else(PoisonError::into_inner));
        history.sort_by_key(|event| event.at);
        let mut violations = history::check(&history, LINGERING);
        violations.append(&mut self.violations.lock().unwrap_or_else(PoisonError::into_inner));
        let (asked, served) = (self.asked.load(Ordering::Relaxed), self.memory.served());
        if served > asked {
            let at = self.clock.now().since_zero();
            let how = format!("{asked} calls were made, and the store served {served}");
            violations.push(Violation { invariant: Invariant::Cost, at, how });
        }
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tally.0.insert("events in the history", history.len() as u64);
        Outcome { violations, tally, history }
    }
}

fn lines() -> impl Iterator<Item = LineId> {
    let named = |kind| LINES.into_iter().map(move |name| line(kind, name));
    named(Kind::Mutex).chain([line(Kind::Election, "e"), line(Kind::Task, "t")])
}

fn line(kind: Kind, name: &str) -> LineId {
    match name.parse() {
        Ok(name) => LineId::new(kind, name),
        Err(error) => unreachable!("the simulator's own names are good: {error}"),
    }
}

/// Chance, from one machine's seed.
#[derive(Clone, Debug)]
struct Dice(SimulatedRuntime);

impl Dice {
    fn below(&self, end: u64) -> u64 {
        self.0.random_u64() % end.max(1)
    }

    fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        // Odd microseconds, so that few things happen at the very same time.
        let micros = range.start * 1000 + self.below((range.end - range.start) * 1000);
        Duration::from_micros(micros)
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or_default();
        match from.get(index) {
            Some(picked) => picked,
            None => unreachable!("the simulator picks from what is there"),
        }
    }
}
