//! Processes that are killed or stopped while they hold a lock in etcd (C7, C8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{sync::Arc, time::Duration};

use etcd_client::TxnOp;
use lock_core::{Coordinator, Options};
use lock_etcd::{Config, Etcd, transact};
use lock_testkit::{
    crashes::{PROCESSES, Role, hold, killed, stopped},
    live::until,
    server::etcd::Etcd as Server,
};

const TTL: Duration = Duration::from_secs(2);

/// Under this, holders write.
const WRITTEN: &str = "written/";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if let Role::Holder { store, lock } = Role::of_this_process() {
            return hold_and_write(&store, &lock).await;
        }
        are_killed("one member", Server::start().await.unwrap(), false).await;
        are_killed("three members, the leader killed too", Server::cluster(3).await.unwrap(), true).await;
        are_stopped(Server::start().await.unwrap()).await;
    });
}

async fn coordinator(endpoints: &str, ttl: Duration) -> Coordinator {
    let config = Config::new(endpoints.split(',')).unwrap();
    Coordinator::open(Arc::new(Etcd::new(config)), Options::default().ttl(ttl)).await.unwrap()
}

/// Once stopped, it writes under the guard all the same, and says what came of it.
async fn hold_and_write(endpoints: &str, lock: &str) {
    let coordinator = coordinator(endpoints, TTL).await;
    let guard = hold(&coordinator, TTL, lock).await;
    let write = TxnOp::put(format!("{WRITTEN}{lock}"), "late", None);
    let written = transact(&guard, [], [write]).await.is_ok();
    println!("{}", if written { "written" } else { "refused" });
}

async fn are_killed(what: &str, server: Server, leader_too: bool) {
    let store = server.endpoints().join(",");
    let waiter = coordinator(&store, TTL).await;
    let leader = server.leader().await.unwrap();
    let kill_leader = || server.members()[leader].kill();
    killed(what, &store, TTL, &waiter, || {
        if leader_too {
            kill_leader()
        }
    })
    .await;
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
    until("nothing is left", async || keys().await.is_ok_and(|keys| keys.is_empty())).await;
}

async fn are_stopped(server: Server) {
    let store = server.endpoints().join(",");
    let next = coordinator(&store, Duration::from_secs(20)).await;
    let (_guards, mut holders) = stopped(&store, TTL, &next).await;
    for holder in &mut holders {
        assert_eq!(holder.says().await, "refused");
    }
    let etcd = etcd_client::Client::connect(server.endpoints(), None).await.unwrap();
    let all = etcd_client::GetOptions::new().with_prefix();
    assert!(etcd.kv_client().get(WRITTEN, Some(all)).await.unwrap().kvs().is_empty());
    println!("C17, and the late write of each was refused, {PROCESSES} of {PROCESSES}");
    next.close().await.unwrap();
}
