//! The simulated runtime: tokio's clock, which a test pauses, seen through a rate and an offset.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::runtime::Handle;

use super::{BoxFuture, Moment, Runtime, SharedRuntime, tokio_runtime::timed};
use crate::{error::Result, sync::locked};

/// One machine of a simulation: its clock may run fast or slow and jump over a suspend; its random numbers
/// come from a seed.
///
/// Runs on a current-thread tokio runtime whose time is paused (`#[tokio::test(start_paused = true)]`), where
/// time passes only when every task waits. Machines of one simulation are made by [`machine`](Self::machine)
/// from one another.
#[derive(Clone, Debug)]
pub struct SimulatedRuntime(Arc<Machine>);

#[derive(Debug)]
struct Machine {
    handle: Handle,
    zero: tokio::time::Instant,
    /// Local seconds for each second of the simulation.
    rate: f64,
    /// How long the machine has been suspended so far.
    suspended: Mutex<Duration>,
    /// From when until when its processes stand still.
    paused: Mutex<(tokio::time::Instant, tokio::time::Instant)>,
    random: AtomicU64,
}

/// A suspended machine shows that a resumed timer is late, never early: like the real one, sleeps are cut
/// into slices.
const SLICE: Duration = Duration::from_secs(1);

/// Timers tick in milliseconds, so the first look after a pause comes a little late.
const TICKS: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
impl SimulatedRuntime {
    /// A machine with a true clock.
    ///
    /// # Errors
    ///
    /// [`RuntimeStopped`](crate::ErrorKind::RuntimeStopped) outside a tokio runtime.
    pub fn new(seed: u64) -> Result<Self> {
        Ok(Self::with(timed()?, tokio::time::Instant::now(), seed, 1.0))
    }

    /// Another machine of the same simulation, whose clock runs at `rate` (1.01: one percent fast).
    #[must_use]
    pub fn machine(&self, seed: u64, rate: f64) -> Self {
        Self::with(self.0.handle.clone(), self.0.zero, seed, rate)
    }

    fn with(handle: Handle, zero: tokio::time::Instant, seed: u64, rate: f64) -> Self {
        let (suspended, random) = (Mutex::new(Duration::ZERO), AtomicU64::new(seed));
        let paused = Mutex::new((zero, zero));
        Self(Arc::new(Machine { handle, zero, rate, suspended, paused, random }))
    }

    /// This machine, as the options of a session take it.
    #[must_use]
    pub fn shared(&self) -> SharedRuntime {
        Arc::new(self.clone())
    }

    /// The machine slept for `duration` and wakes up now: its clock has moved on, no timer fired meanwhile.
    pub fn suspend(&self, duration: Duration) {
        *locked(&self.0.suspended) += duration;
    }

    /// The machine's processes stand still for `duration` of true time, as when they are stopped by a signal:
    /// their clock goes on, and none of their timers fires before the end. What else reaches them must be
    /// held back by whoever sends it; see [`running`](Self::running).
    pub fn pause(&self, duration: Duration) {
        let now = tokio::time::Instant::now();
        let mut paused = locked(&self.0.paused);
        let (from, until) = *paused;
        // Between two that follow one another nothing has run.
        let from = if now <= until + TICKS { from } else { now };
        *paused = (from, until.max(now + duration));
    }

    /// For how long the machine's processes have stood still right before this; zero when they have run
    /// since.
    #[must_use]
    pub fn stood_still(&self) -> Duration {
        let (now, (from, until)) = (tokio::time::Instant::now(), *locked(&self.0.paused));
        if now <= until + TICKS { now - from } else { Duration::ZERO }
    }

    /// Waits while the machine's processes stand still.
    pub async fn running(&self) {
        loop {
            let (_, until) = *locked(&self.0.paused);
            if tokio::time::Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
impl Runtime for SimulatedRuntime {
    fn now(&self) -> Moment {
        // Not zero at the start: no machine boots and locks in the same instant, and `now - ttl` should not
        // saturate.
        let uptime = Duration::from_secs(1000);
        let local = self.0.zero.elapsed().mul_f64(self.0.rate);
        Moment::from_zero(uptime + local + *locked(&self.0.suspended))
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.now().since_zero()
    }

    fn sleep_until(&self, at: Moment) -> BoxFuture<()> {
        let this = self.clone();
        Box::pin(async move {
            loop {
                this.running().await;
                let left = at.saturating_since(this.now());
                if left.is_zero() {
                    return;
                }
                // tokio's timers tick in milliseconds; a nanosecond lost to rounding must not spin.
                let slice = left.min(SLICE).div_f64(this.0.rate) + Duration::from_nanos(1);
                tokio::time::sleep(slice).await;
            }
        })
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.0.handle.spawn(task);
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn random_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.random.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clocks_drift_and_jump_and_timers_follow() {
        let slow = SimulatedRuntime::new(1).unwrap();
        let fast = slow.machine(2, 2.0);
        let (slow_start, fast_start) = (slow.now(), fast.now());
        fast.sleep_until(fast_start + Duration::from_secs(20)).await;
        let passed = slow.now().saturating_since(slow_start);
        assert!(passed >= Duration::from_secs(10) && passed < Duration::from_millis(10_100), "{passed:?}");

        let before = slow.now();
        slow.suspend(Duration::from_mins(1));
        assert!(slow.now().saturating_since(before) >= Duration::from_mins(1));
        let due = slow.sleep_until(slow.now() + Duration::from_mins(10));
        tokio::pin!(due);
        let started = slow.0.zero.elapsed();
        slow.suspend(Duration::from_mins(10));
        due.await;
        assert!(slow.0.zero.elapsed() - started <= SLICE, "a timer fires soon after a resume");
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_machine_sees_its_clock_go_on_and_no_timer_fire() {
        let runtime = SimulatedRuntime::new(1).unwrap();
        let start = runtime.now();
        runtime.pause(Duration::from_secs(10));
        runtime.sleep_until(start + Duration::from_secs(1)).await;
        let passed = runtime.now().saturating_since(start);
        assert!(passed >= Duration::from_secs(10) && passed < Duration::from_millis(10_010), "{passed:?}");
    }

    #[tokio::test]
    async fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let runtime = SimulatedRuntime::new(seed).unwrap();
            (0..5).map(|_| runtime.random_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
