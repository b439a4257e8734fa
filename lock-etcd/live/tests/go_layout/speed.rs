//! How fast turns go round, with nothing done in them, beside the native layout: to be read, not judged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lock_etcd::Layout;
use lock_testkit::live::soon;

use crate::peers::Cluster;

const MEASURED: Duration = Duration::from_secs(1);

pub(crate) async fn turns(cluster: &Cluster) {
    let layouts = [Layout::Native, Layout::Go];
    for (sessions, layout) in
        [2, 16, 64].into_iter().flat_map(|sessions| layouts.map(|layout| (sessions, layout)))
    {
        let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut users = Vec::new();
        let mut tasks = Vec::new();
        for _ in 0..sessions {
            let user = cluster.user_of(layout).await;
            let (mutex, count, stop) = (user.mutex("speed").unwrap(), count.clone(), stop.clone());
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let guard = mutex.lock().await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                    guard.release().await.unwrap();
                }
            }));
            users.push(user);
        }
        // Everybody has come.
        tokio::time::sleep(MEASURED / 4).await;
        let (start, turns, requests) =
            (Instant::now(), count.load(Ordering::Relaxed), cluster.requests().await);
        tokio::time::sleep(MEASURED).await;
        let turns = count.load(Ordering::Relaxed) - turns;
        let (took, requests) = (start.elapsed(), cluster.requests().await - requests);
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            soon("the last turns", task).await.unwrap();
        }
        println!(
            "{sessions} sessions, {layout:?}: {:.0} turns/s, {:.1} requests each",
            turns as f64 / took.as_secs_f64(),
            requests as f64 / turns.max(1) as f64
        );
        assert!(turns > 0);
        for user in users {
            user.close().await.unwrap();
        }
    }
}
