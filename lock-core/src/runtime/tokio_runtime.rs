//! The real runtime.

use std::{
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::{runtime::Handle, task::yield_now};

use super::{BoxFuture, Moment, Runtime, end::End};
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
pub struct TokioRuntime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Handle,
    end: End,
}

impl TokioRuntime {
    /// The runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RuntimeStopped`] outside a tokio runtime, and in one that has no timers. A program that is built
    /// to abort on panics is aborted there: tokio does not tell otherwise.
    pub fn current() -> Result<Self> {
        let handle = timed()?;
        let end = End::of(&handle);
        Ok(Self(Arc::new(Inner { handle, end })))
    }
}

/// The runtime that this is called in, which has timers.
#[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
pub(super) fn timed() -> Result<Handle> {
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
    Ok(handle)
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
        let inner = self.0.clone();
        Box::pin(async move {
            loop {
                let left = at.saturating_since(boot_clock());
                if left.is_zero() {
                    return;
                }
                // Whoever polls this may do so outside a runtime.
                let mut slice = pin!({
                    let _inside = inner.handle.enter();
                    tokio::time::sleep(left.min(SLICE))
                });
                let elapsed = poll_fn(|cx| match inner.end.unless_it_has_come(|| slice.as_mut().poll(cx)) {
                    Some(elapsed) => elapsed.map(|()| true),
                    None => Poll::Ready(false),
                });
                if !elapsed.await {
                    // Whoever sleeps again and again is told by something else beside this.
                    return yield_now().await;
                }
            }
        })
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.0.handle.spawn(task);
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
    use std::task::{Context, Waker};

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

    #[test]
    fn c14_a_timer_of_a_runtime_that_has_ended_is_over() {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let runtime = tokio.block_on(async { TokioRuntime::current().unwrap() });
        let later = runtime.now() + Duration::from_hours(1);
        let (mut begun, mut unpolled) = (runtime.sleep_until(later), runtime.sleep_until(later));
        let polls = |sleep: &mut BoxFuture<()>| sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polls(&mut begun).is_pending());
        drop(tokio);
        for sleep in [&mut begun, &mut unpolled, &mut runtime.sleep_until(later)] {
            assert!(polls(sleep).is_pending(), "others beside it are polled first");
            assert!(polls(sleep).is_ready());
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a thread that knows no runtime")]
    fn c14_a_runtime_may_end_while_its_timers_are_polled() {
        for _ in 0..100 {
            let tokio =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
            let runtime = tokio.block_on(async { TokioRuntime::current().unwrap() });
            let (begins, begun) = std::sync::mpsc::channel();
            let polls = std::thread::spawn(move || {
                let mut sleep = runtime.sleep_until(runtime.now() + Duration::from_hours(1));
                while sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                    let _first = begins.send(());
                }
            });
            begun.recv().unwrap();
            drop(tokio);
            polls.join().unwrap();
        }
    }

    #[tokio::test]
    async fn nothing_is_left_running_when_the_last_handle_is_gone() {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let runtime = TokioRuntime::current().unwrap();
        let sleep = runtime.sleep_until(runtime.now());
        drop(runtime);
        assert!(tasks() > before, "a timer that is left needs it");
        drop(sleep);
        while tasks() > before {
            yield_now().await;
        }
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
