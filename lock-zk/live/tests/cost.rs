//! What a hand-off costs where many wait.
//!
//! On the real clock and a real server. Only what must happen is waited for, with generous deadlines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "tests on the real clock")]

use std::{sync::Arc, time::Duration};

use lock_core::{Coordinator, Options};
use lock_testkit::{
    live::{soon, until},
    server::zookeeper::{Tap, ZooKeeper, ZooKeeperOptions},
};
use lock_zk::{Config, Zk};
use tokio::task::JoinSet;

const TICK: Duration = Duration::from_millis(100);
const TTL: Duration = Duration::from_secs(20);

/// So many that a list of them is no short packet.
const WAITING: usize = 400;
/// More than one of the two sessions has.
const HAND_OFFS: usize = 300;
/// Of a packet, in bytes.
const SHORT: usize = 4 << 10;

async fn user(endpoint: &str) -> Coordinator {
    let config = Config::new([endpoint]).unwrap().namespace("cost").unwrap().tick(TICK).unwrap();
    Coordinator::open(Arc::new(Zk::new(config).unwrap()), Options::default().ttl(TTL)).await.unwrap()
}

/// From one session to the other, and within each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_where_many_wait_a_hand_off_takes_short_packets() {
    let server = ZooKeeper::with(ZooKeeperOptions { tick: TICK, ..Default::default() }).await.unwrap();
    let endpoint = &server.endpoints()[0];
    let (mut taps, mut users) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let tap = Tap::start(endpoint.parse().unwrap()).await.unwrap();
        users.push(user(&tap.address().to_string()).await);
        taps.push(tap);
    }
    let watcher = user(endpoint).await.mutex("x").unwrap();

    let held = users[0].mutex("x").unwrap().lock().await.unwrap();
    let mut waiting = JoinSet::new();
    for claim in 0..WAITING {
        let mutex = users[claim % 2].mutex("x").unwrap();
        waiting.spawn(async move { mutex.lock().await.unwrap() });
    }
    until("all are in line", async || watcher.inspect().await.unwrap().places.len() > WAITING).await;

    for (tap, user) in taps.iter().zip(&users) {
        // Whoever lists them is found out.
        user.mutex("x").unwrap().inspect().await.unwrap();
        assert!(tap.take_longest() > SHORT);
    }
    held.release().await.unwrap();
    for _ in 0..HAND_OFFS {
        let guard = soon("a grant", waiting.join_next()).await.unwrap().unwrap();
        guard.release().await.unwrap();
    }
    for tap in &taps {
        let longest = tap.take_longest();
        assert!((1..=SHORT).contains(&longest), "{longest} bytes");
    }
}
