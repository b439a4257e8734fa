//! Clock, timers, tasks and randomness behind one seam. Nothing else in this project reads a clock, sleeps,
//! spawns or draws a random number (clippy's `disallowed-methods` sees to it), so a simulation owns every
//! source of chance.

mod end;
#[cfg(feature = "testkit")]
mod simulated;
mod tokio_runtime;

#[cfg(feature = "testkit")]
pub use simulated::SimulatedRuntime;
pub use tokio_runtime::TokioRuntime;
pub(crate) use tokio_runtime::boot_clock;

use std::{
    fmt,
    future::Future,
    ops::{Add, Sub},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A boxed future that outlives its creator.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A [`Runtime`] that is shared.
pub type SharedRuntime = Arc<dyn Runtime>;

/// A point on a runtime's clock: the time since the machine booted, suspend included.
///
/// `std::time::Instant` will not do: on Linux it stops while the machine is suspended, so a lease would seem
/// alive after a night in a closed laptop. In nanoseconds, up to 584 years. Comparable within one runtime
/// only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment this long after the clock's zero.
    #[must_use]
    pub fn from_zero(since: Duration) -> Self {
        Self(nanos(since))
    }

    /// The time since the clock's zero.
    #[must_use]
    pub const fn since_zero(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// As a number that an atomic can hold.
    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }
}

/// Saturates at 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates: a moment too far away to name is never reached, which is what "wait that long" means.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    /// Saturates at the clock's zero.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({:?})", self.since_zero())
    }
}

/// Where time, tasks and chance come from.
///
/// [`TokioRuntime`] is the real one. A simulated one, behind the feature `testkit`, makes a run repeatable.
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// The time now, on a clock that never goes back and that goes on during suspend.
    fn now(&self) -> Moment;

    /// The date and time, for people to read: good to some milliseconds. Nothing is decided by it.
    fn wall_clock(&self) -> SystemTime;

    /// Waits until [`now`](Self::now) is at least `at`. After a suspend it fires soon after the resume. Once the
    /// runtime has ended, it waits no longer: whoever sleeps again and again has to learn of that elsewhere.
    fn sleep_until(&self, at: Moment) -> BoxFuture<()>;

    /// Runs `task` to its end in the background. Never panics: when the runtime has ended, `task` is dropped.
    fn spawn(&self, task: BoxFuture<()>);

    /// A random number; unpredictable in the real runtime.
    fn random_u64(&self) -> u64;
}

/// Waits for a random time of less than `longest`, so that many who failed together do not come back
/// together.
pub async fn jitter(runtime: &dyn Runtime, longest: Duration) {
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX).max(1);
    let pause = Duration::from_nanos(runtime.random_u64() % nanos);
    runtime.sleep_until(runtime.now() + pause).await;
}
