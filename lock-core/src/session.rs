//! A session's liveness as its owner sees it: the local deadline, and the lost signal (clauses C7 and C10).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    bug::Bug,
    error::{Error, Result},
    runtime::{Moment, SharedRuntime},
    sync::Signal,
};

/// Names a session; drawn at random when it is opened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The session with this number. Only the lower 63 bits are kept: some stores number their sessions with
    /// a signed integer.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number & (u64::MAX >> 1))
    }

    /// The number, at most `i64::MAX`.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// What a [`Backend`](crate::backend::Backend) needs to open a session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The new session's name.
    pub id: SessionId,
    /// How long the store keeps the session without a renewal.
    pub ttl: Duration,
    /// Where the session's clock, timers, tasks and random numbers come from.
    pub runtime: SharedRuntime,
}

/// Why a guard, or a whole session, is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostReason {
    /// No renewal was acknowledged in time: the store may have ended the session.
    Deadline,
    /// The store ended the session.
    Expired,
    /// The store does not allow the session any more what it needs: rights were taken from it.
    Denied,
    /// An operator removed this claim.
    Evicted,
    /// The guard was held for as long as its owner allowed.
    MaxHold,
    /// The claim was released.
    Released,
    /// The coordinator was closed.
    Closed,
    /// The coordinator was abandoned.
    Abandoned,
    /// The async runtime ended, so nobody renews the session any more.
    RuntimeStopped,
}

impl LostReason {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Deadline,
        Self::Expired,
        Self::Denied,
        Self::Evicted,
        Self::MaxHold,
        Self::Released,
        Self::Closed,
        Self::Abandoned,
        Self::RuntimeStopped,
    ];

    /// The one that is `code` as a number.
    pub(crate) fn from_code(code: u64) -> Self {
        Self::ALL.into_iter().find(|reason| *reason as u64 == code).unwrap_or(Self::Expired)
    }
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the session was lost: no renewal was acknowledged before its deadline",
            Self::Expired => "the session was lost: the store ended it",
            Self::Denied => "the session was lost: the store does not allow it any more what it needs",
            Self::Evicted => "the claim was evicted by an operator",
            Self::MaxHold => "the claim was held for as long as its owner allowed",
            Self::Released => "the claim was released",
            Self::Closed => "the coordinator was closed",
            Self::Abandoned => "the coordinator was abandoned",
            Self::RuntimeStopped => "the async runtime that the coordinator was opened on has ended",
        })
    }
}

/// How a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Renewed in time; guards are valid until then, and longer when the next renewal succeeds.
    Live {
        /// The deadline as it stands.
        until: Moment,
    },
    /// A renewal is overdue, or the store cannot be reached. Guards are still valid until then.
    Suspect {
        /// The deadline as it stands.
        until: Moment,
    },
    /// Over. Guards are dead; the coordinator opens a new session for the next acquire.
    Lost(LostReason),
}

impl Health {
    /// Whether guards of this session are dead.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Whether the state differs, deadlines aside.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        std::mem::discriminant(self) != std::mem::discriminant(other)
    }
}

/// How fast the clocks of two machines may run apart, in parts per hundred.
const DRIFT_PERCENT: u32 = 1;

/// The client's side of a lease: until when this process may believe in its session.
///
/// `deadline = send time of the last acknowledged renewal + ttl granted in its reply × (1 − drift) − margin`,
/// with a drift of 1 % and a margin of 100 ms or ttl/50, the larger. It is counted from the *send* time,
/// because the store's own count began no earlier (Gray and Cheriton, *Leases*, SOSP 1989). Every look at it
/// reads the clock again, so a process that was stopped or suspended sees the truth at its first look.
#[derive(Debug)]
pub struct Lease {
    runtime: SharedRuntime,
    state: Signal<State>,
    /// The deadline in nanoseconds, or 0 once the lease is lost: what every check looks at, without a lock.
    good_until: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct State {
    sent: Moment,
    ttl: Duration,
    suspected: bool,
    lost: Option<LostReason>,
}

impl State {
    fn deadline(&self) -> Moment {
        let drift = self.ttl / 100 * DRIFT_PERCENT;
        let margin = (self.ttl / 50).max(Duration::from_millis(100));
        if Bug::NoDeadline.is_seeded() || (self.suspected && Bug::ValidWhileSuspect.is_seeded()) {
            return self.sent + Duration::from_hours(1);
        }
        self.sent + self.ttl.saturating_sub(drift + margin)
    }

    /// Renewals go out every ttl/3: at twice that, one was lost.
    fn overdue_at(&self) -> Moment {
        self.sent + self.ttl / 3 * 2
    }

    fn health_at(&self, now: Moment) -> Health {
        let until = self.deadline();
        match self.lost {
            Some(reason) => Health::Lost(reason),
            None if now >= until => Health::Lost(LostReason::Deadline),
            None if self.suspected || now >= self.overdue_at() => Health::Suspect { until },
            None => Health::Live { until },
        }
    }
}

impl Lease {
    /// A lease whose first grant of `ttl` was asked for at `sent`.
    #[must_use]
    pub fn new(runtime: SharedRuntime, sent: Moment, ttl: Duration) -> Self {
        let state = State { sent, ttl, suspected: false, lost: None };
        let good_until = AtomicU64::new(state.deadline().as_nanos());
        Self { runtime, state: Signal::new(state), good_until }
    }

    /// A renewal that was sent at `sent` has been acknowledged with `ttl`. Replies that overtook one another
    /// are put in order. A lost lease stays lost.
    pub fn renewed(&self, sent: Moment, ttl: Duration) {
        let changed = self.change(|state| {
            // Read under the lock: a lease that somebody has seen lost must not be found alive by an older
            // time.
            let now = self.runtime.now();
            let sent = if Bug::DeadlineFromReply.is_seeded() { now } else { sent };
            let before = state.health_at(now);
            // A reply that comes after the deadline has passed must not revive guards that were seen dead.
            if let Health::Lost(reason) = before {
                state.lost = Some(reason);
            } else if sent >= state.sent {
                *state = State { sent, ttl, suspected: false, lost: None };
            }
            state.health_at(now).differs(&before)
        });
        // Not at every renewal: each guard that somebody watches waits here.
        if changed {
            self.state.ring();
        }
    }

    /// The store cannot be reached at present.
    pub fn suspect(&self) {
        self.change(|state| state.suspected = true);
        self.state.ring();
    }

    /// The session is over. The first reason stands.
    pub fn lose(&self, reason: LostReason) {
        self.change(|state| {
            state.lost = match state.health_at(self.runtime.now()) {
                Health::Lost(earlier) => Some(earlier),
                Health::Live { .. } | Health::Suspect { .. } => Some(reason),
            }
        });
        self.state.ring();
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        self.state.update_silently(|state| {
            let result = change(state);
            let good_until = if state.lost.is_some() { 0 } else { state.deadline().as_nanos() };
            self.good_until.store(good_until, Ordering::Release);
            result
        })
    }

    /// How the session is doing at this moment.
    #[must_use]
    pub fn health(&self) -> Health {
        self.state.read(|state| state.health_at(self.runtime.now()))
    }

    /// Until when guards are valid as things stand.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.state.read(State::deadline)
    }

    /// The ttl that the store granted last.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.state.read(|state| state.ttl)
    }

    /// `Ok` while the session lives.
    ///
    /// # Errors
    ///
    /// [`SessionLost`](crate::ErrorKind::SessionLost), or what ended it:
    /// [`Closed`](crate::ErrorKind::Closed), [`RuntimeStopped`](crate::ErrorKind::RuntimeStopped).
    pub fn check(&self) -> Result<()> {
        self.check_now().map(|_| ())
    }

    /// As [`check`](Self::check), with the time that it was checked at.
    pub(crate) fn check_now(&self) -> Result<Moment> {
        let now = self.runtime.now();
        self.check_at(now).map(|()| now)
    }

    /// As [`check`](Self::check), for those who have just read the clock.
    pub(crate) fn check_at(&self, now: Moment) -> Result<()> {
        self.loss_at(now).map_or(Ok(()), |reason| Err(Error::lost(reason)))
    }

    /// Why the session is lost, for those who have just read the clock.
    pub(crate) fn loss_at(&self, now: Moment) -> Option<LostReason> {
        if now.as_nanos() < self.good_until.load(Ordering::Acquire) {
            return None;
        }
        if Bug::DeadlineByTimer.is_seeded() {
            return self.state.read(|state| state.lost);
        }
        self.state
            .read(|state| if let Health::Lost(reason) = state.health_at(now) { Some(reason) } else { None })
    }

    /// Waits until the session is lost.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn lost(&self) -> LostReason {
        let lost = |health| if let Health::Lost(reason) = health { Some(reason) } else { None };
        // The clock counts too: a late timer must not hide a deadline that has passed.
        self.state.wait(|state| lost(state.health_at(self.runtime.now()))).await
    }

    /// Waits until the health is another one than `known`, deadlines aside.
    pub(crate) async fn differs_from(&self, known: Health) -> Health {
        self.state
            .wait(|state| {
                let health = state.health_at(self.runtime.now());
                health.differs(&known).then_some(health)
            })
            .await
    }

    /// Makes the passing of time an event: wakes those who wait when a renewal is overdue and when the
    /// deadline passes. The core runs this once for each session, until the session is lost. If it is
    /// dropped before, its runtime has ended.
    pub fn watch(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        struct RuntimeEnds(Arc<Lease>);
        impl Drop for RuntimeEnds {
            fn drop(&mut self) {
                self.0.lose(LostReason::RuntimeStopped);
            }
        }
        // Made here and not at the first poll: a runtime that ends may never come to that. Once the lease is
        // lost, the first reason stands and the guard changes nothing.
        let armed = RuntimeEnds(self);
        async move {
            let lease = &armed.0;
            let mut reported = lease.health();
            loop {
                let health = lease.health();
                if health.differs(&reported) {
                    tracing::warn!(?health, "the session's health changed");
                    reported = health;
                    lease.state.ring();
                }
                let next = match health {
                    Health::Live { .. } => lease.state.read(State::overdue_at),
                    Health::Suspect { until } => until,
                    Health::Lost(reason) => return lease.lose(reason),
                };
                tokio::select! { biased;
                    _ = lease.differs_from(health) => {}
                    () = lease.runtime.sleep_until(next) => {}
                }
            }
        }
    }
}

#[cfg(all(test, feature = "testkit"))]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::runtime::{Runtime, SimulatedRuntime};

    const TTL: Duration = Duration::from_secs(10);
    /// 10 s × 0.99 − 10 s / 50
    const TRUSTED: Duration = Duration::from_millis(9_700);

    fn lease() -> (SimulatedRuntime, Arc<Lease>) {
        let runtime = SimulatedRuntime::new(1).expect("the test runs in tokio");
        let lease = Arc::new(Lease::new(runtime.shared(), runtime.now(), TTL));
        runtime.spawn(Box::pin(lease.clone().watch()));
        (runtime, lease)
    }

    #[tokio::test(start_paused = true)]
    async fn c7_the_deadline_counts_from_the_send_time_of_the_renewal() {
        let (runtime, lease) = lease();
        let sent = runtime.now();
        assert_eq!(lease.deadline(), sent + TRUSTED);
        runtime.sleep_until(sent + Duration::from_secs(5)).await;
        lease.renewed(sent + Duration::from_secs(1), TTL);
        assert_eq!(lease.deadline(), sent + Duration::from_secs(1) + TRUSTED);
        lease.renewed(sent, TTL);
        assert_eq!(lease.deadline(), sent + Duration::from_secs(1) + TRUSTED, "an older reply moves nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn c7_the_margin_is_at_least_100_ms() {
        let runtime = SimulatedRuntime::new(1).unwrap();
        let lease = Lease::new(runtime.shared(), runtime.now(), Duration::from_secs(1));
        assert_eq!(lease.deadline().saturating_since(runtime.now()), Duration::from_millis(890));
    }

    #[tokio::test(start_paused = true)]
    async fn c7_silence_makes_it_suspect_and_then_lost_at_the_deadline() {
        let (runtime, lease) = lease();
        let start = runtime.now();
        let suspect = lease.differs_from(lease.health()).await;
        assert!(matches!(suspect, Health::Suspect { .. }), "{suspect:?}");
        assert!(runtime.now().saturating_since(start) < TTL * 2 / 3 + Duration::from_millis(10));
        assert_eq!(lease.lost().await, LostReason::Deadline);
        assert!(runtime.now().saturating_since(start + TRUSTED) < Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn c7_after_a_suspend_the_first_look_tells_the_truth() {
        let (runtime, lease) = lease();
        runtime.suspend(TTL);
        assert_eq!(lease.health(), Health::Lost(LostReason::Deadline));
        lease.renewed(runtime.now(), TTL);
        assert_eq!(lease.health(), Health::Lost(LostReason::Deadline), "a late reply revives nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_recovers_with_the_next_renewal() {
        let (runtime, lease) = lease();
        lease.suspect();
        assert!(matches!(lease.health(), Health::Suspect { .. }));
        lease.renewed(runtime.now(), TTL);
        assert!(matches!(lease.health(), Health::Live { .. }));
    }

    #[test]
    fn c14_a_runtime_that_ends_ends_the_lease() {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (_, lease) = tokio.block_on(async { lease() });
        assert!(lease.check().is_ok());
        drop(tokio);
        assert_eq!(lease.health(), Health::Lost(LostReason::RuntimeStopped));
    }
}
