//! Processes that hold a lock and are killed or stopped (C7, C8), on any store.
//!
//! A process is what this is about, so a test program is its own holder: it is started once more, with the
//! arguments that [`Role::of_this_process`] reads. How long recovery takes is measured and printed; what must
//! happen is asserted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test, in a place where several stores find it"
)]
#![allow(clippy::disallowed_methods, reason = "processes on the real clock")]

use std::{
    env,
    process::Stdio,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lock_core::{Coordinator, Guard};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::live::{soon, until};

/// How many processes hold at a time, each its own lock.
pub const PROCESSES: usize = 20;

const HOLDER: &str = "holder";

/// What a process was started to do.
#[derive(Debug)]
pub enum Role {
    /// The test itself; `cargo test` gives its own arguments.
    Test,
    /// A holder.
    Holder {
        /// Where its store is, as [`killed`] and [`stopped`] were told.
        store: String,
        /// What it holds.
        lock: String,
    },
}

impl Role {
    /// Of this one.
    pub fn of_this_process() -> Self {
        let arguments: Vec<String> = env::args().skip(1).collect();
        match arguments.as_slice() {
            [role, store, lock] if role == HOLDER => {
                Self::Holder { store: store.clone(), lock: lock.clone() }
            }
            _ => Self::Test,
        }
    }
}

/// Takes the lock and says so. When this process has been stopped for longer than the ttl, looks at the guard
/// before anything else, says what it sees, and gives the guard back.
///
/// # Panics
///
/// When the lock is not granted.
pub async fn hold(coordinator: &Coordinator, ttl: Duration, lock: &str) -> Guard {
    let guard = coordinator.mutex(lock).unwrap().lock().await.unwrap();
    // A thread of its own, beside the runtime that might notice and tell it.
    let looks = thread::spawn(move || {
        let mut awake = Instant::now();
        println!("held");
        loop {
            thread::sleep(Duration::from_millis(1));
            let now = Instant::now();
            let was_stopped = now - awake > ttl;
            awake = now;
            if was_stopped {
                println!("{}", if guard.is_valid() { "valid" } else { "invalid" });
                return guard;
            }
        }
    });
    tokio::task::spawn_blocking(move || looks.join().unwrap()).await.unwrap()
}

/// A process that holds a lock.
#[derive(Debug)]
pub struct Holder {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    async fn start(store: &str, number: usize) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args([HOLDER, store, &lock(number)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut holder = Self { process, lines };
        assert_eq!(holder.says().await, "held");
        holder
    }

    /// Its next line.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn says(&mut self) -> String {
        soon("its next line", self.lines.next_line()).await.unwrap().expect("the holder ended early")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

fn lock(number: usize) -> String {
    format!("lock/{number}")
}

async fn holders(store: &str) -> Vec<Holder> {
    let mut holders = Vec::new();
    for number in 0..PROCESSES {
        holders.push(Holder::start(store, number).await);
    }
    holders
}

/// Each of the [`PROCESSES`], whose sessions have this `ttl`, is killed, and then `also` is done; `waiter`,
/// which waits behind them all, is granted each lock.
///
/// # Panics
///
/// When it is not.
pub async fn killed(what: &str, store: &str, ttl: Duration, waiter: &Coordinator, also: impl FnOnce()) {
    let mut holders = holders(store).await;
    let mut waits = Vec::new();
    for number in 0..PROCESSES {
        let mutex = Arc::new(waiter.mutex(lock(number)).unwrap());
        let waiting = mutex.clone();
        waits.push(tokio::spawn(async move {
            let guard = waiting.lock().await.unwrap();
            (Instant::now(), guard)
        }));
        until("it is in line", async || mutex.inspect().await.unwrap().places.len() >= 2).await;
    }
    let mut killed_at = Vec::new();
    for holder in &mut holders {
        killed_at.push(Instant::now());
        holder.process.kill().await.unwrap();
        // At different times since their last renewals.
        tokio::time::sleep(ttl / 3 / u32::try_from(PROCESSES).unwrap()).await;
    }
    also();
    let mut took = Vec::new();
    for (wait, killed_at) in waits.into_iter().zip(killed_at) {
        let (granted_at, guard) = soon("the grant", wait).await.unwrap();
        assert!(guard.is_valid());
        took.push(granted_at - killed_at);
        guard.release().await.unwrap();
    }
    took.sort_unstable();
    let (median, most) = (took.get(PROCESSES / 2).unwrap(), took.last().unwrap());
    let slack = waiter.capabilities().recovery_slack;
    println!(
        "C8, {what}: {PROCESSES} holders killed, ttl {ttl:?} + slack {slack:?}: p50 {median:?}, max {most:?}"
    );
}

/// Each of the [`PROCESSES`] is stopped for longer than its `ttl`: when it goes on, its first look says that it
/// lost. Gives back the locks, which are `next`'s by then, and the holders.
///
/// # Panics
///
/// When one believes that it holds.
pub async fn stopped(store: &str, ttl: Duration, next: &Coordinator) -> (Vec<Guard>, Vec<Holder>) {
    let mut holders = holders(store).await;
    for holder in &holders {
        holder.signal(Signal::STOP);
    }
    let stopped = tokio::time::Instant::now();
    // The store gives each lock to somebody else.
    let mut guards = Vec::new();
    for number in 0..PROCESSES {
        guards.push(soon("the next grant", next.mutex(lock(number)).unwrap().lock()).await.unwrap());
    }
    // A ttl counts from the last renewal, which was before the stop: in real time, since so do the holders.
    tokio::time::sleep_until(stopped + ttl + ttl / 4).await;
    for holder in &holders {
        holder.signal(Signal::CONT);
    }
    for holder in &mut holders {
        assert_eq!(holder.says().await, "invalid");
    }
    assert!(guards.iter().all(Guard::is_valid));
    println!(
        "C7, SIGSTOP for longer than the ttl: invalid at the first look after SIGCONT, {PROCESSES} of {PROCESSES}"
    );
    (guards, holders)
}
