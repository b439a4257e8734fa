//! Writes under a guard (`lock_etcd::transact`): what comes too late is refused by etcd itself, whatever its
//! sender believed.

use std::{sync::Arc, time::Duration};

use etcd_client::{Client, Compare, CompareOp, TxnOp};
use futures_util::{StreamExt as _, stream};
use lock_core::{Coordinator, Effect, ErrorKind, Guard, Memory, Mutex, Options};
use lock_etcd::{Etcd, Layout, transact};
use lock_testkit::{
    live::{soon, until},
    proxy::{Direction, Fault},
    server::etcd::EtcdOptions,
};
use tokio::task::JoinHandle;

use crate::support::{Cluster, NAMESPACE};

const WRITES: usize = 20;

/// A session that does not give up a connection that has fallen silent, so that what it has sent arrives.
async fn patient(cluster: &Cluster, layout: Layout, ttl: Duration) -> Coordinator {
    let client = Client::connect(cluster.server.endpoints(), None).await.unwrap();
    let etcd = Etcd::from_client_in(layout, client, Some(NAMESPACE)).unwrap();
    Coordinator::open(Arc::new(etcd), Options::default().ttl(ttl)).await.unwrap()
}

fn key(number: usize) -> String {
    format!("elsewhere/{number}")
}

fn mutex(user: &Coordinator, number: usize) -> Mutex {
    user.mutex(format!("x{number}")).unwrap()
}

async fn hold(user: &Coordinator) -> Vec<Arc<Guard>> {
    let mut guards = Vec::new();
    for number in 0..WRITES {
        guards.push(Arc::new(mutex(user, number).lock().await.unwrap()));
    }
    guards
}

fn write_all(guards: &[Arc<Guard>], value: &'static str) -> Vec<JoinHandle<lock_core::Result<()>>> {
    let write = |(number, guard): (usize, &Arc<Guard>)| {
        let guard = guard.clone();
        tokio::spawn(async move {
            transact(&guard, [], [TxnOp::put(key(number), value, None)]).await.map(|reply| {
                assert!(reply.succeeded());
            })
        })
    };
    guards.iter().enumerate().map(write).collect()
}

async fn value(cluster: &Cluster, number: usize) -> Option<String> {
    let found = cluster.etcd.kv_client().get(key(number), None).await.unwrap();
    found.kvs().first().map(|kv| kv.value_str().unwrap().to_owned())
}

#[tokio::test]
async fn c7_c17_a_write_that_arrives_after_the_session_has_ended_is_refused() {
    for layout in [Layout::Native, Layout::Go] {
        let cluster = Cluster::proxied(1).await;
        let holder = patient(&cluster, layout, Duration::from_secs(3)).await;
        let next = Etcd::new(cluster.direct_config().layout(layout));
        let next = Coordinator::open(Arc::new(next), Options::default()).await.unwrap();
        let guards = hold(&holder).await;
        for write in write_all(&guards, "in time") {
            write.await.unwrap().unwrap();
        }
        // Sent while the guards are valid, and held back until others hold.
        let link = cluster.server.members()[0].client_proxy().unwrap();
        link.set(Fault::OneWay(Direction::ToServer));
        assert!(guards.iter().all(|guard| guard.is_valid()));
        let late = write_all(&guards, "late");
        let mut nexts = Vec::new();
        for number in 0..WRITES {
            nexts.push(soon("the next one holds", mutex(&next, number).lock()).await.unwrap());
        }
        link.set(Fault::Pass);
        for write in late {
            soon("an answer", write).await.unwrap().unwrap_err();
        }
        for number in 0..WRITES {
            assert_eq!(value(&cluster, number).await.as_deref(), Some("in time"), "{layout:?}");
        }
        println!("{layout:?}, expired: {WRITES} of {WRITES} refused");
    }
}

#[tokio::test]
async fn c17_a_write_of_an_evicted_holder_that_has_not_heard_of_it_is_refused() {
    for layout in [Layout::Native, Layout::Go] {
        let cluster = Cluster::proxied(1).await;
        let holder = patient(&cluster, layout, Duration::from_secs(60)).await;
        let operator = Etcd::new(cluster.direct_config().layout(layout));
        let operator = Coordinator::open(Arc::new(operator), Options::default()).await.unwrap();
        let guards = hold(&holder).await;
        let link = cluster.server.members()[0].client_proxy().unwrap();
        link.set(Fault::OneWay(Direction::ToClient));
        for (number, guard) in guards.iter().enumerate() {
            assert!(mutex(&operator, number).evict(guard.claim()).await.unwrap());
        }
        assert!(guards.iter().all(|guard| guard.is_valid()), "nobody has been told");
        let writes = write_all(&guards, "evicted");
        until("they have been sent", async || {
            let before = cluster.server.requests().await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            before == cluster.server.requests().await.unwrap()
        })
        .await;
        link.set(Fault::Pass);
        for write in writes {
            let error = soon("an answer", write).await.unwrap().unwrap_err();
            assert!(!error.is_retryable(), "{error}");
        }
        for number in 0..WRITES {
            assert_eq!(value(&cluster, number).await, None, "{layout:?}");
        }
        println!("{layout:?}, evicted: {WRITES} of {WRITES} refused");
    }
}

#[tokio::test]
async fn c13_a_guarded_write_says_what_became_of_it() {
    let cluster = Cluster::one().await;
    let user = cluster.user(Duration::from_secs(10)).await;
    let guard = mutex(&user, 0).lock().await.unwrap();
    let write = || [TxnOp::put(key(0), "1", None)];
    let absent = || [Compare::create_revision(key(0), CompareOp::Equal, 0)];
    assert!(transact(&guard, absent(), write()).await.unwrap().succeeded());
    // The guard holds, and what the caller asks for does not.
    assert!(!transact(&guard, absent(), write()).await.unwrap().succeeded());
    let shown = guard.claim();
    assert!(mutex(&user, 0).evict(shown).await.unwrap());
    soon("told", guard.lost()).await;
    let error = transact(&guard, [], write()).await.unwrap_err();
    assert!(error.to_string().contains("transact") && error.to_string().contains("x0"), "{error}");
    let memory = Coordinator::open(Arc::new(Memory::new()), Options::default()).await.unwrap();
    let elsewhere = memory.mutex("x").unwrap().lock().await.unwrap();
    assert_eq!(transact(&elsewhere, [], write()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    user.close().await.unwrap();
}

/// etcd looks whether there is room before a write and after it: one that it has carried out may be refused.
#[tokio::test]
async fn c13_a_guarded_write_that_a_full_store_refuses_says_that_it_may_have_been_carried_out() {
    let quota_backend_bytes = Some(256 * 1024);
    let cluster = Cluster::start(EtcdOptions { quota_backend_bytes, ..EtcdOptions::default() }).await;
    let user = cluster.user(Duration::from_secs(10)).await;
    let guard = mutex(&user, 0).lock().await.unwrap();
    let write = async |number| {
        let write = TxnOp::put(key(number), "#".repeat(1024), None);
        (number, transact(&guard, [], [write]).await)
    };
    let outcomes = stream::iter(0..).map(write).buffer_unordered(50);
    let refused = outcomes.filter_map(async |(number, outcome)| Some((number, outcome.err()?)));
    let refused: Vec<_> = soon("refusals", refused.take(100).collect()).await;
    let mut carried_out = 0;
    for (number, error) in &refused {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Full, Effect::Unknown), "{error}");
        carried_out += usize::from(value(&cluster, *number).await.is_some());
    }
    println!("of {} writes that were refused, {carried_out} had been carried out", refused.len());
}
