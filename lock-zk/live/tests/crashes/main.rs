//! Processes that are killed or stopped while they hold a lock in ZooKeeper (C7, C8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{sync::Arc, time::Duration};

use lock_core::{Coordinator, Options};
use lock_testkit::{
    crashes::{PROCESSES, Role, hold, killed, stopped},
    live::until,
    server::zookeeper::ZooKeeper as Servers,
};
use lock_zk::{
    Config, Zk,
    client::{Acls, Client, CreateMode},
    transact,
};

/// Twenty processes and their servers share the cores of a test machine: none is to lose its session by that.
const TTL: Duration = Duration::from_secs(4);

/// Here, holders write.
const WRITTEN: &str = "/written";

/// What [`Servers`] are started with.
const TICK: Duration = Duration::from_millis(100);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if let Role::Holder { store, lock } = Role::of_this_process() {
            return hold_and_write(&store, &lock).await;
        }
        are_killed("one server", Servers::start().await.unwrap(), false).await;
        are_killed("three servers, the leader killed too", Servers::ensemble(3).await.unwrap(), true).await;
        are_stopped(Servers::start().await.unwrap()).await;
    });
}

async fn coordinator(servers: &str, ttl: Duration) -> Coordinator {
    let config = Config::new(servers.split(',')).unwrap().tick(TICK).unwrap();
    Coordinator::open(Arc::new(Zk::new(config).unwrap()), Options::default().ttl(ttl)).await.unwrap()
}

/// Once stopped, it writes under the guard all the same, and says what came of it.
async fn hold_and_write(servers: &str, lock: &str) {
    let coordinator = coordinator(servers, TTL).await;
    let guard = hold(&coordinator, TTL, lock).await;
    let written = transact(&guard, |then| then.add_set_data(WRITTEN, b"late", None)).await.is_ok();
    println!("{}", if written { "written" } else { "refused" });
}

async fn are_killed(what: &str, servers: Servers, leader_too: bool) {
    let store = servers.endpoints().join(",");
    let waiter = coordinator(&store, TTL).await;
    let leader = if leader_too { Some(servers.leader().await.unwrap()) } else { None };
    let kill = || leader.into_iter().for_each(|leader| servers.servers()[leader].kill());
    killed(what, &store, TTL, &waiter, kill).await;
    waiter.close().await.unwrap();
    // Every session of a process that was killed has ended.
    until("nothing is left", async || of_sessions(&servers).await.is_empty()).await;
}

/// The nodes that live with a session.
async fn of_sessions(servers: &Servers) -> Vec<String> {
    let mut nodes = Vec::new();
    for server in servers.servers() {
        // One of them may be dead.
        let dump = server.ask("dump").await.unwrap_or_default();
        nodes.extend(dump.lines().map(str::trim).filter(|line| line.starts_with('/')).map(str::to_owned));
    }
    nodes
}

async fn are_stopped(servers: Servers) {
    let store = servers.endpoints().join(",");
    let next = coordinator(&store, Duration::from_secs(20)).await;
    let client = Client::connect(&store).await.unwrap();
    client.create(WRITTEN, b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let (_guards, mut holders) = stopped(&store, TTL, &next).await;
    for holder in &mut holders {
        assert_eq!(holder.says().await, "refused");
    }
    assert!(client.get_data(WRITTEN).await.unwrap().0.is_empty());
    println!("C17, and the late write of each was refused, {PROCESSES} of {PROCESSES}");
    next.close().await.unwrap();
}
