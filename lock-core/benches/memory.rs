//! What a turn costs in the in-process store, with `tokio::sync::Mutex` in the same run for scale.
//!
//! `cargo bench -p lock-core`, or `cargo xtask bench memory`, which writes the figures down.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark, on the real clock")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion};
use lock_core::{Coordinator, Guard, Memory, Options};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};

/// A lock of this library or of tokio.
trait Lock: Clone + Send + 'static {
    type Guard: Send;
    fn lock(&self) -> impl Future<Output = Self::Guard> + Send;
    fn release(guard: Self::Guard) -> impl Future<Output = ()> + Send;
    /// How many hold or wait.
    async fn in_line(&self) -> usize;
}

impl Lock for lock_core::Mutex {
    type Guard = Guard;

    async fn lock(&self) -> Guard {
        self.lock().await.unwrap()
    }

    async fn release(guard: Guard) {
        guard.release().await.unwrap();
    }

    async fn in_line(&self) -> usize {
        self.inspect().await.unwrap().places.len()
    }
}

#[derive(Clone, Default)]
struct TokioMutex {
    mutex: Arc<tokio::sync::Mutex<()>>,
    arrived: Arc<AtomicU64>,
}

impl Lock for TokioMutex {
    type Guard = tokio::sync::OwnedMutexGuard<()>;

    async fn lock(&self) -> Self::Guard {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        self.mutex.clone().lock_owned().await
    }

    async fn release(guard: Self::Guard) {
        drop(guard);
    }

    async fn in_line(&self) -> usize {
        usize::try_from(self.arrived.load(Ordering::Relaxed)).unwrap()
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

async fn coordinator(memory: &Memory) -> Coordinator {
    Coordinator::open(Arc::new(memory.clone()), Options::default()).await.unwrap()
}

async fn uncontended<L: Lock>(lock: &L, turns: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..turns {
        L::release(lock.lock().await).await;
    }
    start.elapsed()
}

/// So many tasks wait; then they take turns, each going back to the end of the line, until all turns are
/// taken.
async fn hand_off<L: Lock>(lock: L, tasks: usize, turns: u64) -> Duration {
    let (left, done) = (Arc::new(AtomicU64::new(turns)), Arc::new(Notify::new()));
    let first = lock.lock().await;
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let (lock, left, done) = (lock.clone(), left.clone(), done.clone());
            tokio::spawn(async move {
                loop {
                    let guard = lock.lock().await;
                    let turn = left.fetch_sub(1, Ordering::Relaxed);
                    L::release(guard).await;
                    if turn == 1 {
                        done.notify_one();
                        return std::future::pending::<()>().await;
                    }
                }
            })
        })
        .collect();
    while lock.in_line().await <= tasks {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    L::release(first).await;
    done.notified().await;
    let took = start.elapsed();
    for task in running {
        task.abort();
    }
    took
}

fn benchmark(criterion: &mut Criterion) {
    let tokio = runtime();
    let memory = Memory::new();
    let shared = tokio.block_on(coordinator(&memory));

    let mut group = criterion.benchmark_group("uncontended");
    group.bench_function("yourturn", |bencher| {
        let mutex = shared.mutex("bench").unwrap();
        bencher.iter_custom(|turns| tokio.block_on(uncontended(&mutex, turns)));
    });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|turns| tokio.block_on(uncontended(&TokioMutex::default(), turns)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("hand-off");
    for tasks in [2, 16, 256, 10_000] {
        group.bench_function(BenchmarkId::new("yourturn", tasks), |bencher| {
            bencher.iter_custom(|turns| {
                // Tasks that are aborted leave in the background: each sample has a runtime and a store of
                // its own.
                let (tokio, memory) = (runtime(), Memory::new());
                tokio.block_on(async {
                    let mutex = coordinator(&memory).await.mutex("bench").unwrap();
                    hand_off(mutex, tasks, turns).await
                })
            });
        });
        group.bench_function(BenchmarkId::new("tokio", tasks), |bencher| {
            bencher.iter_custom(|turns| runtime().block_on(hand_off(TokioMutex::default(), tasks, turns)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("beside 100,000 held locks");
    let held: Vec<Guard> = tokio.block_on(async {
        let mut held = Vec::new();
        for number in 0..100_000 {
            held.push(shared.mutex(format!("held/{number}")).unwrap().lock().await.unwrap());
        }
        held
    });
    group.bench_function("yourturn", |bencher| {
        let mutex = shared.mutex("bench").unwrap();
        bencher.iter_custom(|turns| tokio.block_on(uncontended(&mutex, turns)));
    });
    group.finish();
    drop(held);
}

/// How much resident memory each waiting task takes, the task itself included.
fn bytes_per_waiter() -> u64 {
    const WAITERS: usize = 50_000;
    let (tokio, memory) = (runtime(), Memory::new());
    tokio.block_on(async {
        let mutex = coordinator(&memory).await.mutex("bench").unwrap();
        let _held = mutex.lock().await.unwrap();
        let arrived = Arc::new(AtomicUsize::new(0));
        let before = resident_bytes();
        for _ in 0..WAITERS {
            let (mutex, arrived) = (mutex.clone(), arrived.clone());
            tokio::spawn(async move {
                // It is in line by the end of the poll that counts it.
                arrived.fetch_add(1, Ordering::Relaxed);
                mutex.lock().await.map(drop)
            });
        }
        while arrived.load(Ordering::Relaxed) < WAITERS {
            tokio::task::yield_now().await;
        }
        let after = resident_bytes();
        assert!(mutex.in_line().await > WAITERS);
        (after - before) / WAITERS as u64
    })
}

/// Of this process; 0 where there is no /proc.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}

fn main() {
    // First, while nothing has been freed that could be used again.
    println!("resident bytes per waiter: {}", bytes_per_waiter());
    let mut criterion = Criterion::default().configure_from_args();
    benchmark(&mut criterion);
    criterion.final_summary();
}
