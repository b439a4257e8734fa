//! The process that is killed or stopped.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use etcd_client::TxnOp;
use lock_core::{Coordinator, Options};
use lock_etcd::{Config, Etcd, transact};

use crate::{TTL, WRITTEN};

pub(crate) async fn coordinator(endpoints: &str, ttl: Duration) -> Coordinator {
    let config = Config::new(endpoints.split(',')).unwrap();
    Coordinator::open(Arc::new(Etcd::new(config)), Options::default().ttl(ttl)).await.unwrap()
}

/// Takes the lock, says so, and keeps it. When it has been stopped for a while, it looks at its guard before
/// anything else, and says what it sees; then it writes under the guard all the same, and says what came of
/// it.
pub(crate) async fn hold(endpoints: &str, lock: &str) {
    let coordinator = coordinator(endpoints, TTL).await;
    let guard = coordinator.mutex(lock).unwrap().lock().await.unwrap();
    // A thread of its own, beside the runtime that might notice and tell it.
    let looks = thread::spawn(move || {
        let mut awake = Instant::now();
        println!("held");
        loop {
            thread::sleep(Duration::from_millis(1));
            let now = Instant::now();
            let was_stopped = now - awake > TTL;
            awake = now;
            if was_stopped {
                println!("{}", if guard.is_valid() { "valid" } else { "invalid" });
                return guard;
            }
        }
    });
    let guard = tokio::task::spawn_blocking(move || looks.join().unwrap()).await.unwrap();
    let write = TxnOp::put(format!("{WRITTEN}{lock}"), "late", None);
    let written = transact(&guard, [], [write]).await.is_ok();
    println!("{}", if written { "written" } else { "refused" });
}
