//! A real machine that can be suspended on paper.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use lock_core::{
    Moment, Result,
    runtime::{BoxFuture, Runtime, SharedRuntime, TokioRuntime},
};

/// The tokio runtime that it was created in, with a clock that can jump ahead as in a suspend, while timers
/// go on as if nothing had happened. Cheap to clone; clones are the same machine.
#[derive(Clone, Debug)]
pub struct Machine {
    tokio: TokioRuntime,
    /// For how long it has been suspended altogether, in nanoseconds.
    suspended: Arc<AtomicU64>,
}

impl Machine {
    /// A machine that has not been suspended.
    ///
    /// # Errors
    ///
    /// As [`TokioRuntime::current`].
    pub fn new() -> Result<Self> {
        Ok(Self { tokio: TokioRuntime::current()?, suspended: Arc::default() })
    }

    /// Suspends it for so long: its clock jumps, none of its timers fires.
    pub fn suspend(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.suspended.fetch_add(nanos, Ordering::Relaxed);
    }

    /// As sessions and options take it.
    #[must_use]
    pub fn shared(&self) -> SharedRuntime {
        Arc::new(self.clone())
    }

    fn suspended(&self) -> Duration {
        Duration::from_nanos(self.suspended.load(Ordering::Relaxed))
    }
}

impl Runtime for Machine {
    fn now(&self) -> Moment {
        self.tokio.now() + self.suspended()
    }

    fn wall_clock(&self) -> SystemTime {
        self.tokio.wall_clock() + self.suspended()
    }

    fn sleep_until(&self, at: Moment) -> BoxFuture<()> {
        self.tokio.sleep_until(at - self.suspended())
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.tokio.spawn(task);
    }

    fn random_u64(&self) -> u64 {
        self.tokio.random_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_suspend_moves_the_clock_and_no_timer() {
        let machine = Machine::new().unwrap();
        let (before, timer) = (machine.now(), machine.sleep_until(machine.now() + Duration::from_hours(1)));
        machine.suspend(Duration::from_hours(2));
        assert!(machine.now() >= before + Duration::from_hours(2));
        let fired = tokio::select! { biased; () = timer => true, () = std::future::ready(()) => false };
        assert!(!fired);
        machine.sleep_until(machine.now()).await;
    }
}
