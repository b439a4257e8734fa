//! Processes that are killed or stopped while they hold a lock (C7, C8).
//!
//! A process is what this is about, so this program is its own holder: started with `holder`, it takes a lock
//! and keeps it. How long recovery takes is measured and printed; what must happen is asserted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod holder;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use holder::coordinator;
use lock_testkit::server::etcd::Etcd as Server;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

const TTL: Duration = Duration::from_secs(2);
const PROCESSES: usize = 20;

/// Under this, holders write.
const WRITTEN: &str = "written/";

/// Everything that must happen does so within this.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Anything else is what `cargo test` gives to every test program.
    if let [role, endpoint, lock] = &arguments[..]
        && role == "holder"
    {
        return runtime.block_on(holder::hold(endpoint, lock));
    }
    runtime.block_on(async {
        killed("one member", Server::start().await.unwrap(), false).await;
        killed("three members, the leader killed too", Server::cluster(3).await.unwrap(), true).await;
        stopped(Server::start().await.unwrap()).await;
    });
}

/// A process that holds a lock.
struct Holder {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    async fn start(server: &Server, lock: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["holder", &server.endpoints().join(","), lock])
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

    async fn says(&mut self) -> String {
        soon(self.lines.next_line()).await.unwrap().expect("the holder ended early")
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.process.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

async fn holders(server: &Server) -> Vec<Holder> {
    let mut holders = Vec::new();
    for number in 0..PROCESSES {
        holders.push(Holder::start(server, &lock(number)).await);
    }
    holders
}

fn lock(number: usize) -> String {
    format!("lock/{number}")
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not happen in time")
}

/// Each holder is killed; somebody who waits is granted.
async fn killed(what: &str, server: Server, leader_too: bool) {
    let waiter = coordinator(&server.endpoints().join(","), TTL).await;
    let mut holders = holders(&server).await;
    let waits: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let mutex = waiter.mutex(lock(number)).unwrap();
            tokio::spawn(async move {
                let guard = mutex.lock().await.unwrap();
                (Instant::now(), guard)
            })
        })
        .collect();
    for number in 0..PROCESSES {
        let mutex = waiter.mutex(lock(number)).unwrap();
        let in_line = async || mutex.inspect().await.unwrap().places.len();
        soon(async { while in_line().await < 2 {} }).await;
    }
    let leader = server.leader().await.unwrap();
    let mut killed_at = Vec::new();
    for holder in &mut holders {
        killed_at.push(Instant::now());
        holder.process.kill().await.unwrap();
        // At different times since their last renewals.
        tokio::time::sleep(TTL / 3 / u32::try_from(PROCESSES).unwrap()).await;
    }
    if leader_too {
        server.members()[leader].kill();
    }
    let mut took = Vec::new();
    for (wait, killed_at) in waits.into_iter().zip(killed_at) {
        let (granted_at, guard) = soon(wait).await.unwrap();
        assert!(guard.is_valid());
        took.push(granted_at - killed_at);
        guard.release().await.unwrap();
    }
    took.sort_unstable();
    let (median, most) = (took[PROCESSES / 2], took[PROCESSES - 1]);
    let slack = waiter.capabilities().recovery_slack;
    println!(
        "C8, {what}: {PROCESSES} holders killed, ttl {TTL:?} + slack {slack:?}: p50 {median:?}, max {most:?}"
    );
    waiter.close().await.unwrap();
    nothing_is_left(&server).await;
}

/// Every lease of a process that was killed has ended, and whoever came next has tidied up.
async fn nothing_is_left(server: &Server) {
    let etcd = etcd_client::Client::connect(server.endpoints(), None).await.unwrap();
    let keys = || async {
        let all = etcd_client::GetOptions::new().with_all_keys().with_keys_only();
        let found = etcd.kv_client().get("", Some(all)).await;
        found.map(|found| found.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    // The client goes round all members, of which one may be dead.
    soon(async { while !keys().await.is_ok_and(|keys| keys.is_empty()) {} }).await;
}

/// Each holder is stopped for longer than its ttl: when it goes on, its first look says that it lost.
async fn stopped(server: Server) {
    let next = coordinator(&server.endpoints().join(","), Duration::from_secs(20)).await;
    let mut holders = holders(&server).await;
    for holder in &holders {
        holder.signal(rustix::process::Signal::STOP);
    }
    // The store gives each lock to somebody else: so each was stopped for longer than its ttl.
    let mut guards = Vec::new();
    for number in 0..PROCESSES {
        guards.push(soon(next.mutex(lock(number)).unwrap().lock()).await.unwrap());
    }
    for holder in &holders {
        holder.signal(rustix::process::Signal::CONT);
    }
    let mut invalid = 0;
    for holder in &mut holders {
        assert_eq!(holder.says().await, "invalid");
        assert_eq!(holder.says().await, "refused");
        invalid += 1;
    }
    let etcd = etcd_client::Client::connect(server.endpoints(), None).await.unwrap();
    let all = etcd_client::GetOptions::new().with_prefix();
    assert!(etcd.kv_client().get(WRITTEN, Some(all)).await.unwrap().kvs().is_empty());
    assert!(guards.iter().all(lock_core::Guard::is_valid));
    println!(
        "C7, SIGSTOP for longer than the ttl: invalid at the first look after SIGCONT, and its write refused, \
         {invalid} of {PROCESSES}"
    );
    next.close().await.unwrap();
}
