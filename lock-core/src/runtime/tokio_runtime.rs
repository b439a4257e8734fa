//! The real runtime.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use tokio::runtime::Handle;

use super::{BoxFuture, Moment, Runtime};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::bug::Bug;
use crate::error::{Error, ErrorKind, Result};

/// tokio's timers stop during suspend, so a long sleep is cut into slices: after a resume it ends at most
/// this much late.
const SLICE: Duration = Duration::from_secs(1);

/// The tokio runtime that it was created in, with the boot clock.
///
/// What is spawned through it runs there, from whatever thread it is spawned: that is how a guard may be
/// dropped outside a runtime (clause C14).
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
}

#[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
impl TokioRuntime {
    /// The runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RuntimeStopped`] outside a tokio runtime, and in one that has no timers.
    pub fn current() -> Result<Self> {
        let handle = Handle::try_current().map_err(|source| {
            Error::new(ErrorKind::RuntimeStopped, "no tokio runtime is running here").with_source(source)
        })?;
        // tokio panics when a runtime has no timers and does not tell beforehand.
        let timers = std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO)));
        if timers.is_err() {
            return Err(Error::new(
                ErrorKind::RuntimeStopped,
                "the tokio runtime was built without timers (enable_time)",
            ));
        }
        Ok(Self { handle })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
impl Runtime for TokioRuntime {
    fn now(&self) -> Moment {
        boot_clock()
    }

    fn wall_clock(&self) -> SystemTime {
        wall_clock()
    }

    fn sleep_until(&self, at: Moment) -> BoxFuture<()> {
        let handle = self.handle.clone();
        Box::pin(async move {
            loop {
                let left = at.saturating_since(boot_clock());
                if left.is_zero() {
                    return;
                }
                // Whoever polls this may do so outside a runtime.
                let slice = {
                    let _inside = handle.enter();
                    tokio::time::sleep(left.min(SLICE))
                };
                slice.await;
            }
        })
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.handle.spawn(task);
    }

    fn random_u64(&self) -> u64 {
        // Each RandomState has a new key, made from the operating system's random numbers.
        RandomState::new().hash_one(())
    }
}

/// `CLOCK_BOOTTIME`, which goes on during suspend.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn boot_clock() -> Moment {
    use rustix::time::{ClockId, clock_gettime};
    let clock = if Bug::StdClock.is_seeded() { ClockId::Monotonic } else { ClockId::Boottime };
    Moment::from_nanos(nanos(clock_gettime(clock)))
}

/// Apple's `CLOCK_MONOTONIC` goes on during sleep (`CLOCK_UPTIME_RAW`, which std reads, does not).
#[cfg(target_vendor = "apple")]
pub(crate) fn boot_clock() -> Moment {
    Moment::from_nanos(nanos(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)))
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn nanos(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// As of the kernel's last tick: every claim reads it, and it takes a third of the time of the exact one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn wall_clock() -> SystemTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos(now))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// std's clock. On Windows it goes on during sleep; on other systems it may not, and then a guard can outlive
/// a suspended machine's lease: check tokens there.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
#[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
pub(crate) fn boot_clock() -> Moment {
    use std::{sync::OnceLock, time::Instant};
    static ZERO: OnceLock<Instant> = OnceLock::new();
    Moment::from_zero(ZERO.get_or_init(Instant::now).elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_runtime_there_is_a_typed_error() {
        assert_eq!(TokioRuntime::current().unwrap_err().kind(), ErrorKind::RuntimeStopped);
    }

    #[test]
    fn a_runtime_without_timers_is_a_typed_error() {
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(
            tokio.block_on(async { TokioRuntime::current().unwrap_err().kind() }),
            ErrorKind::RuntimeStopped
        );
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "to compare with")]
    async fn the_wall_clock_tells_the_date() {
        let (shown, exact) = (TokioRuntime::current().unwrap().wall_clock(), SystemTime::now());
        let late = exact.duration_since(shown).unwrap_or_else(|early| early.duration());
        assert!(late < Duration::from_mins(1), "{late:?}");
    }

    #[tokio::test]
    async fn random_numbers_differ() {
        let runtime = TokioRuntime::current().unwrap();
        let mut drawn: Vec<u64> = (0..1000).map(|_| runtime.random_u64()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 1000);
    }

    #[test]
    fn c14_spawning_after_the_runtime_ended_drops_the_task() {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let runtime = tokio.block_on(async { TokioRuntime::current().unwrap() });
        drop(tokio);
        let (sender, mut receiver) = tokio::sync::oneshot::channel::<()>();
        runtime.spawn(Box::pin(async move {
            std::future::pending::<()>().await;
            drop(sender);
        }));
        assert!(receiver.try_recv().is_err_and(|e| e == tokio::sync::oneshot::error::TryRecvError::Closed));
    }
}
