//! A simulated machine with a store, and ways to wait for what must happen.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use lock_core::{
    Coordinator, Line, Memory, Options, SessionId, SessionOptions,
    backend::{Backend, SharedSession},
    runtime::{Runtime, SimulatedRuntime},
};

pub(crate) const TTL: Duration = Duration::from_secs(10);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// A store on a simulated machine; every coordinator of it runs there too.
pub(crate) struct World {
    pub(crate) runtime: SimulatedRuntime,
    pub(crate) memory: Memory,
}

impl World {
    /// Within a paused tokio runtime.
    pub(crate) fn new() -> Self {
        Self::with_seed(1)
    }

    /// Another world beside the first.
    pub(crate) fn with_seed(seed: u64) -> Self {
        let runtime = SimulatedRuntime::new(seed).unwrap();
        let memory = Memory::with_clock(runtime.shared());
        Self { runtime, memory }
    }

    pub(crate) fn options(&self) -> Options {
        Options::default().ttl(TTL).runtime(self.runtime.shared())
    }

    pub(crate) async fn coordinator(&self) -> Coordinator {
        Coordinator::open(Arc::new(self.memory.clone()), self.options()).await.unwrap()
    }

    /// A session of its own, to be driven call by call.
    pub(crate) async fn party(&self) -> SharedSession {
        let (id, runtime) = (SessionId::new(self.runtime.random_u64()), self.runtime.shared());
        self.memory.open(SessionOptions { id, ttl: TTL, runtime }).await.unwrap()
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.runtime.sleep_until(self.runtime.now() + duration).await;
    }

    /// Waits for something that must come to be; fails the test when it has not within 100 simulated seconds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..100_000 {
            if holds().await {
                return;
            }
            self.sleep(MILLI).await;
        }
        panic!("never happened: {what}; left in the store: {:?}", self.memory.residue());
    }

    /// What `future` comes to; fails the test when that takes longer than it may.
    pub(crate) async fn within<T>(&self, limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
        tokio::select! { biased;
            outcome = future => outcome,
            () = self.sleep(limit) => panic!("{what} takes longer than {limit:?}"),
        }
    }

    /// Waits until `count` claims are in line.
    pub(crate) async fn until_in_line(&self, count: usize) {
        self.until(&format!("{count} in line"), async || self.memory.residue().claims == count).await;
    }

    /// Nothing but sessions and cells is left, within C5's second.
    pub(crate) async fn assert_clean_soon(&self, after: &str) {
        let end = self.runtime.now() + SECOND;
        loop {
            let residue = self.memory.residue();
            if (residue.claims, residue.lines, residue.observers) == (0, 0, 0) {
                return;
            }
            assert!(self.runtime.now() < end, "left behind after {after}: {residue:?}");
            self.sleep(MILLI).await;
        }
    }
}

/// Runs `future` in the background.
#[expect(clippy::disallowed_methods, reason = "a test's own tasks")]
pub(crate) fn background<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(future)
}

/// Fails a test on the real clock that hangs, long after it should have ended.
#[expect(clippy::disallowed_methods, reason = "a test on the real clock")]
pub(crate) async fn in_real_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("it hangs")
}

/// Polls once, and finds that it waits.
pub(crate) fn begins<T>(future: Pin<&mut impl Future<Output = T>>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it does not wait");
}

/// Lets every task that can run do so, without time passing.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn waiting(line: &Line) -> usize {
    line.waiters().count()
}
