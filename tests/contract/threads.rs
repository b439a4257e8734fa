//! Many tasks on real threads: what a simulation on one thread cannot show.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use lock_core::{Coordinator, ErrorKind, Memory, Options};

use crate::support::{background, in_real_time};

const LINES: usize = 3;

/// What each line protects.
#[derive(Default)]
struct Protected {
    taken: AtomicBool,
    last_token: AtomicU64,
    turns: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_c3_c5_threads_that_lock_try_and_cancel_never_meet_and_leave_nothing() {
    in_real_time(lock_try_and_cancel()).await;
}

/// Sessions that come and go, an operator who evicts, an observer: nothing hangs, nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_c10_c16_churn_leaves_nothing() {
    in_real_time(churn()).await;
}

async fn churn() {
    let memory = Memory::new();
    let open = async || Coordinator::open(Arc::new(memory.clone()), Options::default()).await.unwrap();
    let (operator, watcher) = (open().await, open().await);
    let observing = background(async move {
        let mut observer = watcher.election("x").unwrap().observe();
        let mut last = None;
        loop {
            if let Some(leader) = observer.next().await.unwrap() {
                assert!(Some(leader.term) >= last);
                last = Some(leader.term);
            }
        }
    });
    let mut tasks = Vec::new();
    for worker in 0..8 {
        let memory = memory.clone();
        tasks.push(background(async move {
            for round in 0..60 {
                let coordinator =
                    Coordinator::open(Arc::new(memory.clone()), Options::default()).await.unwrap();
                let election = coordinator.election("x").unwrap();
                for _ in 0..5 {
                    match election.campaign("me").await {
                        Ok(leadership) => drop(leadership.proclaim("still me").await),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotHeld, "{error}"),
                    }
                }
                match (worker + round) % 3 {
                    0 => coordinator.close().await.unwrap(),
                    1 => assert!(memory.expire_now(coordinator.session_id())),
                    _ => drop(coordinator),
                }
            }
        }));
    }
    let election = operator.election("x").unwrap();
    while !tasks.iter().all(|task| task.is_finished()) {
        if let Some(leader) = election.leader().await.unwrap() {
            election.evict(leader.claim).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    observing.abort();
    drop((observing.await, election, operator));
    while memory.residue().sessions > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((memory.residue().claims, memory.residue().observers), (0, 0));
}

async fn lock_try_and_cancel() {
    let memory = Memory::new();
    let protected: Arc<[Protected; LINES]> = Arc::default();
    let mut tasks = Vec::new();
    for worker in 0..16_usize {
        let coordinator = Coordinator::open(Arc::new(memory.clone()), Options::default()).await.unwrap();
        let protected = protected.clone();
        tasks.push(background(async move {
            for turn in 0..300 {
                let line = (worker + turn) % LINES;
                let mutex = coordinator.mutex(format!("line/{line}")).unwrap();
                let guard = match turn % 4 {
                    0 => mutex.try_lock().await.unwrap(),
                    // Dropped at the first await that does not end at once.
                    1 => tokio::select! { biased;
                        guard = mutex.lock() => Some(guard.unwrap()),
                        () = tokio::task::yield_now() => None,
                    },
                    _ => Some(mutex.lock().await.unwrap()),
                };
                let Some(guard) = guard else { continue };
                let protected = &protected[line];
                assert!(!protected.taken.swap(true, Ordering::SeqCst), "two in line {line}");
                let token = guard.token().get();
                assert!(protected.last_token.swap(token, Ordering::SeqCst) < token);
                protected.turns.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                assert!(protected.taken.swap(false, Ordering::SeqCst));
                if turn % 3 == 0 { drop(guard) } else { guard.release().await.unwrap() }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    while memory.residue().sessions > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(memory.residue().claims, 0);
    for line in protected.iter() {
        assert!(line.turns.load(Ordering::SeqCst) >= 16 * 50, "at least those that waited");
    }
}
