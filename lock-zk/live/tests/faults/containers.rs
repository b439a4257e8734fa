//! Containers that the server takes away as soon as they are empty.

use std::{collections::BTreeSet, time::Duration};

use lock_core::{Kind, LineId, Mode};
use lock_testkit::{
    live::{soon, until, waiting},
    server::zookeeper::ZooKeeperOptions,
};

use crate::support::{Cluster, NAMESPACE};

async fn reaped() -> Cluster {
    let container_check = Duration::from_millis(20);
    Cluster::start(ZooKeeperOptions { container_check, ..ZooKeeperOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_tokens_go_on_rising_when_queues_are_taken_away_between_joins() {
    const ROUNDS: usize = 200;
    let cluster = reaped().await;
    let mut tasks = Vec::new();
    for client in 0..4_u64 {
        let user = cluster.user().await;
        tasks.push(tokio::spawn(async move {
            let (mutex, mut tokens) = (user.mutex("x").unwrap(), Vec::new());
            for round in 0..ROUNDS {
                let guard = soon("the grant", mutex.lock()).await.unwrap();
                assert!(guard.is_valid());
                tokens.push(guard.token());
                guard.release().await.unwrap();
                // So that the queue is empty now and then, at all times between two checks.
                tokio::time::sleep(Duration::from_millis((round as u64 * 7 + client) % 50)).await;
            }
            user.close().await.unwrap();
            tokens
        }));
    }
    let mut queues = BTreeSet::new();
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let names = cluster.spy.list_children(&format!("/{NAMESPACE}/mutex/x/q")).await;
        queues.extend(names.unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut all = BTreeSet::new();
    for task in tasks {
        let tokens = task.await.unwrap();
        assert!(tokens.is_sorted());
        all.extend(tokens);
    }
    assert_eq!(all.len(), 4 * ROUNDS, "no token comes twice");
    println!("{} queues in {} turns", queues.len(), all.len());
    assert!(queues.len() > 10, "the server takes away what is empty");
    cluster.is_empty().await;
}

#[tokio::test]
async fn the_gates_container_is_made_again_while_somebody_waits() {
    let cluster = reaped().await;
    let (one, other) = (cluster.user().await, cluster.user().await);
    let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
    let permits = Mode::Permits { count: 1, limit: 2 };
    let mut last = None;
    for mode in [Mode::Shared, permits, Mode::Exclusive].into_iter().cycle().take(15) {
        let guard = soon("the grant", one.claims(line.clone()).acquire(mode)).await.unwrap();
        assert!(last < Some(guard.token()), "{mode}");
        let wait = waiting(&other.mutex("x").unwrap()).await;
        guard.release().await.unwrap();
        let next = soon("the grant", wait).await.unwrap().unwrap();
        last = Some(next.token());
        next.release().await.unwrap();
        // Everything of the line has gone.
        until("it is taken away", async || {
            let there = cluster.spy.check_stat(&format!("/{NAMESPACE}/mutex")).await.unwrap();
            there.is_none()
        })
        .await;
    }
    for user in [one, other] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
    // And at last everything of the namespace.
    until("it is taken away", async || {
        cluster.spy.check_stat(&format!("/{NAMESPACE}")).await.unwrap().is_none()
    })
    .await;
}
