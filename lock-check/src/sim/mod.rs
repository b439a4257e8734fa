//! The simulator: clients that use the real recipes, claims and store on simulated machines, with faults, all
//! from one seed.
//!
//! It knows the store in memory; others [bring their own simulation](Store) of what they run on.
//!
//! Entropy that had to be shut out, so that a seed gives one history: clocks, timers, tasks and random
//! numbers (the `Runtime`), unbiased `select!`, the wake order of `tokio::sync::watch`, the order of a
//! `HashMap`, the host and process in an owner label.

mod chronicle;
mod client;
mod dice;
mod nemesis;
mod network;
mod store;

use std::{
    hash::{DefaultHasher, Hasher},
    num::NonZero,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lock_core::{ClaimId, Kind, LineId, runtime::Runtime, sync::locked};

pub use self::{
    chronicle::{Chronicle, Tally},
    dice::Dice,
    store::Store,
};
use crate::{
    broken::Flaw,
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

/// The ttl of every session: short, so that much happens.
pub const TTL: Duration = Duration::from_secs(1);

/// For how much longer than it takes to end its session a claim may linger in the store after its owner has
/// given up: the session had just been renewed, and requests are still under way.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// Many times as long as any simulation takes.
const AT_MOST: Duration = Duration::from_mins(10);

const CLIENTS: usize = 4;
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
    run_on(seed, |chronicle| Arc::new(store::InMemory::new(chronicle, subject)))
}

/// Runs one seed on the store that `store` makes.
#[must_use]
pub fn run_on(seed: u64, store: impl FnOnce(&Arc<Chronicle>) -> Arc<dyn Store>) -> Outcome {
    crate::bug::seed();
    let builder = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match builder {
        Ok(runtime) => runtime.block_on(async {
            let chronicle = Arc::new(Chronicle::new(seed));
            simulate(World::new(store(&chronicle), chronicle)).await
        }),
        Err(error) => unreachable!("a runtime without I/O: {error}"),
    }
}

/// Runs seeds from 1 to `end` on all processors, until `run` says of one that it is enough.
pub fn for_seeds(end: u64, run: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > end || !run(seed) {
                        next.store(end + 1, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

/// The first seed, from 1 to `end`, of which `run` says that something is wrong, and what. Of several that are
/// tried at a time it is whichever ends first.
pub fn first_wrong(end: u64, run: impl Fn(u64) -> Option<Violation> + Sync) -> Option<(u64, Violation)> {
    let found = Mutex::new(None);
    for_seeds(end, |seed| {
        let Some(violation) = run(seed) else { return true };
        locked(&found).get_or_insert((seed, violation));
        false
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

async fn simulate(world: World) -> Outcome {
    let world = Arc::new(world);
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
    world.calm_down();
    for worker in workers {
        if worker.await.is_err() {
            world.violated(Invariant::Progress, "a worker has panicked".to_owned());
        }
    }
    client::wind_up(world, clients).await;
    operator.leave();
    // Those who were killed are gone by now as well.
    world.sleep(world.lingering()).await;
    world.look_for_orphans(|_| true);
    for left in world.store.residue() {
        world.violated(Invariant::Orphans, format!("{left} was left behind"));
    }
}

/// What clients and their operator share.
struct World {
    chronicle: Arc<Chronicle>,
    store: Arc<dyn Store>,
    /// Calls that were sent to the store.
    asked: AtomicU64,
    tick: AtomicU64,
}

impl Deref for World {
    type Target = Chronicle;

    fn deref(&self) -> &Chronicle {
        &self.chronicle
    }
}

impl World {
    fn new(store: Arc<dyn Store>, chronicle: Arc<Chronicle>) -> Self {
        Self { chronicle, store, asked: AtomicU64::new(0), tick: AtomicU64::new(1) }
    }

    fn lingering(&self) -> Duration {
        self.store.recovery() + UNDER_WAY
    }

    /// Nobody should have a claim any more, of those that `concern` us.
    fn look_for_orphans(&self, concern: impl Fn(ClaimId) -> bool) {
        for line in lines() {
            for claim in self.store.claims(&line).into_iter().filter(|claim| concern(*claim)) {
                self.record(What::LeftBehind { claim });
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let (history, mut beyond, tally) = self.chronicle.close();
        let mut violations = history::check(&history, self.lingering());
        violations.append(&mut beyond);
        let (asked, served) = (self.asked.load(Ordering::Relaxed), self.store.served());
        if let Some(served) = served.filter(|served| *served > asked) {
            let at = self.clock().now().since_zero();
            let how = format!("{asked} calls were made, and the store served {served}");
            violations.push(Violation { invariant: Invariant::Cost, at, how });
        }
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
