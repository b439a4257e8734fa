//! A follower that is cut off from its leader, while its clients reach it.
//!
//! It answers them for `syncLimit` ticks, and the leader, which does not hear of them, gives their locks to
//! others meanwhile.

use std::{sync::Arc, time::Duration};

use lock_core::{Coordinator, Guard, Moment};
use lock_testkit::{
    proxy::Fault,
    server::zookeeper::{ZooKeeper, ZooKeeperOptions},
};
use tokio::task::JoinHandle;

use crate::{
    plain::Plain,
    support::{NAMESPACE, coordinator, now, soon, until},
};

const TICK: Duration = Duration::from_millis(250);
const TTL: Duration = Duration::from_secs(2);
/// In ticks: far longer than a round takes.
const SYNC_LIMIT: u32 = 60;
const ROUNDS: usize = 5;
const HOLDERS: usize = 4;

/// One ensemble, and somebody who waits at its leader.
struct Trap {
    server: ZooKeeper,
    follower: usize,
    next: Coordinator,
    /// Sees what the leader sees.
    spy: lock_zk::client::Client,
}

pub(crate) async fn trap() {
    let options = ZooKeeperOptions {
        servers: 3,
        proxied: true,
        tick: TICK,
        sync_limit: SYNC_LIMIT,
        ..ZooKeeperOptions::default()
    };
    let server = ZooKeeper::with(options).await.unwrap();
    let leader = server.leader().await.unwrap();
    let at_leader = server.servers()[leader].direct_endpoint();
    let next = coordinator(&at_leader, Duration::from_secs(15), TICK).await;
    let spy = lock_zk::client::Client::connect(&at_leader).await.unwrap();
    let trap = Trap { follower: (leader + 1) % 3, server, next, spy };
    let (mut ahead, mut excess) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (margins, late) = trap.round(round).await;
        ahead.extend(margins);
        excess.push(late);
    }
    ahead.sort_unstable();
    println!(
        "a follower cut off, ttl {TTL:?}: {} of {} guards invalid before the next was granted, by {:?} to {:?}; \
         last ping + ttl too late in {} of {ROUNDS} rounds, by up to {:?}",
        ahead.len(),
        ROUNDS * HOLDERS,
        ahead[0],
        ahead[ahead.len() - 1],
        excess.len(),
        excess.iter().max().unwrap(),
    );
    trap.next.close().await.unwrap();
}

/// When somebody was granted, and the guard before, by which time it had ended.
type Granted = JoinHandle<(Moment, Guard)>;

impl Trap {
    /// By how much each guard ended before the next was granted, and by how much `last ping + ttl` would have
    /// been later than the end of a session.
    async fn round(&self, round: usize) -> (Vec<Duration>, Duration) {
        let server = self.server.servers()[self.follower].direct_endpoint();
        let mut held = Vec::new();
        for number in 0..HOLDERS {
            let lock = format!("{round}/{number}");
            let holder = coordinator(&server, TTL, TICK).await;
            let guard = Arc::new(holder.mutex(&lock).unwrap().lock().await.unwrap());
            held.push((holder, self.granted_after(&lock, guard.clone()).await, guard));
        }
        let own = format!("/{NAMESPACE}/plain-{round}");
        let mut plain = Plain::start(&server, TTL, &own).await.unwrap();

        self.server.isolate(self.follower, Fault::Blackhole).unwrap();
        let mut ahead = Vec::new();
        let mut holders = Vec::new();
        for (holder, granted, guard) in held {
            let (at, next) = soon("the next is granted", granted).await.unwrap();
            assert!(guard.deadline() <= at, "{:?} too late", guard.deadline().saturating_since(at));
            ahead.push(at.saturating_since(guard.deadline()));
            next.release().await.unwrap();
            holders.push(holder);
        }
        until("the leader ends the session", async || self.spy.check_stat(&own).await.unwrap().is_none())
            .await;
        let ended = now();
        soon("the follower knows nothing of it", plain.ping()).await.unwrap();
        let late = (plain.ping + TTL).saturating_since(ended);
        assert!(!late.is_zero(), "last ping + ttl is not refuted");

        self.server.heal();
        for holder in holders {
            soon("it closes", holder.close()).await.unwrap();
        }
        (ahead, late)
    }

    /// Somebody waits behind this guard, and is in line when this returns; it looks at the guard once
    /// granted.
    async fn granted_after(&self, lock: &str, guard: Arc<Guard>) -> Granted {
        let mutex = self.next.mutex(lock).unwrap();
        let granted = tokio::spawn({
            let mutex = mutex.clone();
            async move {
                let next = mutex.lock().await.unwrap();
                let at = now();
                assert!(!guard.is_valid(), "two guards are valid");
                assert!(next.token() > guard.token());
                (at, next)
            }
        });
        until("it is in line", async || mutex.inspect().await.unwrap().places.len() == 2).await;
        granted
    }
}
