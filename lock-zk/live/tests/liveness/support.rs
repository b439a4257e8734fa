//! What both parts need.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lock_core::{
    Coordinator, Moment, Options,
    runtime::{Runtime as _, TokioRuntime},
};
use lock_zk::{Config, Zk};

/// Everything lies under this.
pub(crate) const NAMESPACE: &str = "liveness";

/// Everything that must happen does so within this: longer than elsewhere, since servers and processes stand still here.
const PATIENCE: Duration = Duration::from_secs(180);

/// On a clock that all processes of this machine share.
pub(crate) fn now() -> Moment {
    TokioRuntime::current().unwrap().now()
}

/// Somebody at this server.
pub(crate) async fn coordinator(server: &str, ttl: Duration, tick: Duration) -> Coordinator {
    let config = Config::new([server]).unwrap().namespace(NAMESPACE).unwrap().tick(tick).unwrap();
    Coordinator::open(Arc::new(Zk::new(config).unwrap()), Options::default().ttl(ttl)).await.unwrap()
}

/// Polls until the condition holds.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}
