//! What a user opens.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    backend::Backend,
    bug::Bug,
    capability::{Capabilities, Requirement},
    claim::{Claim, ClaimId, Payload, Unfinished, Via, in_a_task},
    error::{Error, ErrorKind, Result},
    line::Mode,
    name::{Kind, LineId},
    options::{Options, Resolved},
    recipe::{
        Barrier, DoubleBarrier, Election, Entrance, Group, Latch, MultiGuard, MultiLock, Mutant, Mutex,
        RwLock, Semaphore, Task,
        delay::{Endings, UncleanEnds},
    },
    replacement::{LostOnes, Replacement},
    runtime::{BoxFuture, Moment, SharedRuntime, jitter},
    session::{Health, LostReason, SessionId, SessionOptions},
    sync::Signal,
};

/// The way to one store: hands out locks and tasks, which share one session. Cheap to clone.
///
/// When the session is lost, its guards are dead, and the next acquire opens a new session. Waiters of the
/// lost session queue anew at the back of their lines.
///
/// # Drop
///
/// Dropping the last handle (coordinator, lock, guard or whatever else came from it) closes the session in
/// the background; [`close`](Self::close) waits for that.
#[derive(Clone, Debug)]
pub struct Coordinator {
    shared: Arc<Shared>,
}

/// What all handles of one coordinator share.
#[derive(Debug)]
pub(crate) struct Shared {
    backend: Arc<dyn Backend>,
    options: Resolved,
    pub(crate) runtime: SharedRuntime,
    /// The session in use.
    open: Signal<Arc<Via>>,
    pub(crate) replacement: Replacement,
    lost_ones: LostOnes,
    /// Held while the session is closed.
    closing: tokio::sync::Mutex<()>,
    /// Set once, when the user is done.
    ended: OnceLock<LostReason>,
    pub(crate) unclean_ends: UncleanEnds,
    pub(crate) endings: Endings,
    /// What the store is known by, once somebody had to know; see [`MultiLock`].
    pub(crate) store_id: OnceLock<u64>,
}

/// For how long a coordinator that is closed lets its guards say that they have ended well.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Coordinator {
    /// Opens a session with the store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] and [`ErrorKind::RuntimeStopped`] before any I/O; then whatever keeps the
    /// store from being used, within its connect timeout.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the session is closed in the background.
    pub async fn open(backend: Arc<dyn Backend>, options: Options) -> Result<Self> {
        let opening = |error: Error| error.during("connect");
        let options = options.resolve().map_err(opening)?;
        let runtime = options.runtime.clone();
        let call: BoxFuture<Result<Self>> = Box::pin(async move {
            let open = Via::open(&*backend, &options).await?;
            let shared = Shared {
                backend,
                runtime: options.runtime.clone(),
                options,
                open: Signal::new(open),
                replacement: Replacement::default(),
                lost_ones: LostOnes::default(),
                closing: tokio::sync::Mutex::default(),
                ended: OnceLock::new(),
                unclean_ends: UncleanEnds::default(),
                endings: Endings::default(),
                store_id: OnceLock::new(),
            };
            Ok(Self { shared: Arc::new(shared) })
        });
        Unfinished::new(&runtime, call).await.map_err(opening)
    }

    /// The lock called `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; see [`Name`](crate::Name).
    pub fn mutex(&self, name: impl AsRef<str>) -> Result<Mutex> {
        self.entrance("mutex", Kind::Mutex, name.as_ref()).map(Mutex::new)
    }

    /// The read-write lock called `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; see [`Name`](crate::Name).
    pub fn rw_lock(&self, name: impl AsRef<str>) -> Result<RwLock> {
        self.entrance("rw_lock", Kind::RwLock, name.as_ref()).map(RwLock::new)
    }

    /// The semaphore called `name`, which has `limit` permits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; see [`Name`](crate::Name). [`ErrorKind::InvalidOption`] for a limit of 0.
    pub fn semaphore(&self, name: impl AsRef<str>, limit: u32) -> Result<Semaphore> {
        let entrance = self.entrance("semaphore", Kind::Semaphore, name.as_ref())?;
        Semaphore::new(entrance, limit)
    }

    /// Takes all of these locks, which are those that [`mutex`](Self::mutex) gives, in one order that
    /// everybody keeps: see [`MultiLock`], and its [`lock`](MultiLock::lock).
    ///
    /// ```
    /// # use lock_core::{Coordinator, Error, Memory, Options};
    /// # use std::sync::Arc;
    /// # async fn example() -> Result<(), Error> {
    /// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
    /// let guard = coordinator.lock_all(["accounts/7", "accounts/3"]).await?;
    /// assert!(coordinator.mutex("accounts/3")?.try_lock().await?.is_none());
    /// println!("send token {:?} with every write to account 3", guard.token_of("accounts/3"));
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; else as [`MultiLock::new`] and [`MultiLock::lock`].
    ///
    /// # Cancel safety
    ///
    /// As [`MultiLock::lock`].
    pub async fn lock_all<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> Result<MultiGuard> {
        const LOCK_ALL: &str = "lock_all";
        self.all(LOCK_ALL, names)?.lock_all(LOCK_ALL).await
    }

    /// As [`lock_all`](Self::lock_all), if all of them are free; see [`MultiLock::try_lock`].
    ///
    /// # Errors
    ///
    /// As [`lock_all`](Self::lock_all).
    ///
    /// # Cancel safety
    ///
    /// As [`MultiLock::lock`].
    pub async fn try_lock_all<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Option<MultiGuard>> {
        const TRY_LOCK_ALL: &str = "try_lock_all";
        self.all(TRY_LOCK_ALL, names)?.try_lock_all(TRY_LOCK_ALL).await
    }

    /// As [`lock_all`](Self::lock_all), for at most `patience` in all; see [`MultiLock::try_lock_for`].
    ///
    /// # Errors
    ///
    /// As [`lock_all`](Self::lock_all).
    ///
    /// # Cancel safety
    ///
    /// As [`MultiLock::lock`].
    pub async fn try_lock_all_for<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
        patience: Duration,
    ) -> Result<Option<MultiGuard>> {
        const TRY_LOCK_ALL_FOR: &str = "try_lock_all_for";
        self.all(TRY_LOCK_ALL_FOR, names)?.try_lock_all_for(TRY_LOCK_ALL_FOR, patience).await
    }

    fn all<N: AsRef<str>>(
        &self,
        operation: &'static str,
        names: impl IntoIterator<Item = N>,
    ) -> Result<MultiLock> {
        let mutex = |name: N| self.entrance(operation, Kind::Mutex, name.as_ref()).map(Mutex::new);
        MultiLock::of(operation, names.into_iter().map(mutex).collect::<Result<_>>()?)
    }

    /// The election called `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; see [`Name`](crate::Name).
    pub fn election(&self, name: impl AsRef<str>) -> Result<Election> {
        self.entrance("election", Kind::Election, name.as_ref()).map(Election::new)
    }

    /// The scheduled task called `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; see [`Name`](crate::Name).
    pub fn task(&self, name: impl AsRef<str>) -> Result<Task> {
        self.entrance("task", Kind::Task, name.as_ref()).map(Task::new)
    }

    /// The group called `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; see [`Name`](crate::Name). [`ErrorKind::Unsupported`] when the store has no
    /// claims that are merely present.
    pub fn group(&self, name: impl AsRef<str>) -> Result<Group> {
        self.meeting("group", Kind::Group, name.as_ref()).map(Group::new)
    }

    /// The barrier called `name`, which lets `participants` pass at a time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for none; else as [`group`](Self::group).
    pub fn barrier(&self, name: impl AsRef<str>, participants: u32) -> Result<Barrier> {
        Barrier::new(self.meeting("barrier", Kind::Barrier, name.as_ref())?, participants)
    }

    /// The double barrier called `name`, which lets `participants` in and out at a time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for none; else as [`group`](Self::group).
    pub fn double_barrier(&self, name: impl AsRef<str>, participants: u32) -> Result<DoubleBarrier> {
        DoubleBarrier::new(self.meeting("double_barrier", Kind::DoubleBarrier, name.as_ref())?, participants)
    }

    /// The latch called `name`, which opens when `count` participants have counted down.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for none; else as [`group`](Self::group).
    pub fn latch(&self, name: impl AsRef<str>, count: u32) -> Result<Latch> {
        Latch::new(self.meeting("latch", Kind::Latch, name.as_ref())?, count)
    }

    /// Where claims meet that are in nobody's way.
    fn meeting(&self, operation: &'static str, kind: Kind, name: &str) -> Result<Entrance> {
        let needed = Requirement::Mode(Mode::Present);
        self.capabilities().require(needed).map_err(|error| error.during(operation))?;
        self.entrance(operation, kind, name)
    }

    fn entrance(&self, operation: &'static str, kind: Kind, name: &str) -> Result<Entrance> {
        let name = name.parse().map_err(|error: Error| error.during(operation))?;
        Ok(self.entrance_of(LineId::new(kind, name)))
    }

    pub(crate) fn entrance_of(&self, line: LineId) -> Entrance {
        Entrance::new(self.shared.clone(), line)
    }

    /// How the session is doing, by the clock as it is now. `Lost` until the next acquire opens a new one.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Follows [`health`](Self::health), over the loss of a session and its replacement.
    #[must_use]
    pub fn watch_health(&self) -> HealthWatch {
        HealthWatch { shared: self.shared.clone(), seen: None }
    }

    /// The session in use, as its claims are called in the store.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.shared.current().id
    }

    /// What the store promises.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared.current().session.capabilities()
    }

    /// Refuses at start a store that promises less than the program cannot live without.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for the first requirement that is not met.
    pub fn require(&self, needed: &[Requirement]) -> Result<()> {
        let capabilities = self.capabilities();
        needed
            .iter()
            .try_for_each(|needed| capabilities.require(*needed))
            .map_err(|error| error.during("require"))
    }

    /// Ends all guards, leaves all lines, and closes the session. Every handle of this coordinator then
    /// answers with [`ErrorKind::Closed`]. Closing twice is harmless; closing what was abandoned says
    /// nothing to the store. What a session that was lost and replaced has left there goes too; it is waited for no
    /// longer than the ttl, which ends it.
    ///
    /// # Errors
    ///
    /// When the store could not be told, or the runtime has ended: then the ttl frees what was held. May be called
    /// again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop it: closing goes on in the background.
    pub async fn close(&self) -> Result<()> {
        let shared = self.shared.clone();
        if shared.ended.get_or_init(|| LostReason::Closed) == &LostReason::Abandoned {
            return Ok(());
        }
        shared.open.ring();
        let call = async move {
            shared.let_guards_end().await;
            shared.current().lease.lose(LostReason::Closed);
            let _alone = shared.closing.lock().await;
            // A session that is just being opened must not escape.
            shared.replacement.ended().await;
            let current = shared.current();
            tokio::join!(current.close(), shared.let_lost_ones_end()).0
        };
        in_a_task(&self.shared.runtime, call).await.map_err(|error| error.during("close"))
    }

    /// Ends all guards and stops talking to the store, as a crash would: others wait for the ttl. For tests
    /// and demonstrations.
    pub fn abandon(&self) {
        let _first = self.shared.ended.set(LostReason::Abandoned);
        self.shared.open.ring();
        self.shared.current().abandon();
    }
}

impl Shared {
    /// Whether recipes are broken in this way, on purpose.
    #[cfg(feature = "testkit")]
    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.options.mutant == Some(mutant)
    }

    /// Nothing is broken on purpose.
    #[cfg(not(feature = "testkit"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn is(&self, _mutant: Mutant) -> bool {
        false
    }

    /// How long those pause at most who failed together with many others.
    pub(crate) fn longest_pause(&self) -> Duration {
        (self.options.ttl / 10).min(Duration::from_secs(1))
    }

    fn current(&self) -> Arc<Via> {
        self.open.read(Arc::clone)
    }

    fn health(&self) -> Health {
        // Also when the session was lost before its owner was done with it.
        self.ended.get().map_or_else(|| self.current().lease.health(), |reason| Health::Lost(*reason))
    }

    /// The current session unless it is lost; an error when no other may follow it.
    pub(crate) fn usable(&self, now: Moment) -> Result<Option<Arc<Via>>> {
        if let Some(reason) = self.ended.get() {
            return Err(Error::lost(*reason));
        }
        let open = self.current();
        match open.lease.check_at(now) {
            Ok(()) => Ok(Some(open)),
            Err(_) if Bug::SessionReused.is_seeded() => Ok(Some(open)),
            Err(error) if error.kind() == ErrorKind::SessionLost => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a new session, unless another attempt has done so; there is never more than one.
    pub(crate) async fn replace(&self) -> Result<Arc<Via>> {
        if let Some(open) = self.usable(self.runtime.now())? {
            return Ok(open);
        }
        // Whatever ended this session ended many others: they must not all come back at once.
        jitter(&*self.runtime, self.longest_pause()).await;
        let open = Via::open(&*self.backend, &self.options).await?;
        let lost = self.open.update(|current| std::mem::replace(current, open.clone()));
        tracing::warn!(lost = %lost.id, opened = %open.id, "a new session replaces the lost one");
        let closing = self.lost_ones.one_more();
        self.runtime.spawn(Box::pin(async move {
            if let Err(error) = lost.close().await {
                tracing::debug!(%error, "could not close the lost session; the ttl will");
            }
            drop(closing);
        }));
        match self.ended.get() {
            None => Ok(open),
            // `close` waits for us and will close it; a crash leaves it to the ttl.
            Some(reason) => {
                if *reason == LostReason::Abandoned {
                    open.abandon();
                }
                Err(Error::lost(*reason))
            }
        }
    }

    /// Guards that were dropped a moment ago say first that they end well, or others would wait for the lock-delay (C25).
    async fn let_guards_end(&self) {
        let open = self.current();
        tokio::select! { biased;
            () = self.endings.are_over() => {}
            _ = open.lease.lost() => {}
            () = self.runtime.sleep_until(self.runtime.now() + LAST_WORDS) => {}
        }
    }

    /// Sessions that were replaced are over soon, and at the latest by their ttl (C16).
    async fn let_lost_ones_end(&self) {
        let ttl = self.current().lease.ttl();
        tokio::select! { biased;
            () = self.lost_ones.are_closed() => {}
            () = self.runtime.sleep_until(self.runtime.now() + ttl) => {}
        }
    }

    /// Who makes this coordinator's claims.
    pub(crate) fn claim(&self, via: &Via, mode: Mode, payload: Payload) -> Claim {
        Claim {
            id: ClaimId { session: via.id, number: via.claims.fetch_add(1, Ordering::Relaxed) },
            mode,
            owner: self.options.owner.clone(),
            payload,
            since: self.runtime.wall_clock(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.ended.get().is_some() {
            return;
        }
        let open = self.current();
        self.runtime.spawn(Box::pin(async move {
            if let Err(error) = open.close().await {
                tracing::warn!(%error, "could not close the session; the ttl will");
            }
        }));
    }
}

impl Via {
    async fn open(backend: &dyn Backend, options: &Resolved) -> Result<Arc<Self>> {
        let (id, runtime) = (SessionId::new(options.runtime.random_u64()), options.runtime.clone());
        let session = backend.open(SessionOptions { id, ttl: options.ttl, runtime: runtime.clone() }).await?;
        let lease = session.lease().clone();
        runtime.spawn(Box::pin(lease.clone().watch()));
        // The one that was granted: a store may have limits of its own.
        tracing::info!(session = %id, ttl = ?lease.ttl(), "session opened");
        Ok(Arc::new(Self { id, session, lease, runtime, claims: AtomicU64::new(0) }))
    }

    /// The guards end before the store may grant their lines to others.
    async fn close(&self) -> Result<()> {
        self.lease.lose(LostReason::Closed);
        self.session.close().await
    }

    fn abandon(&self) {
        self.lease.lose(LostReason::Abandoned);
        self.session.abandon();
    }
}

/// Follows the health of a coordinator's session; see [`Coordinator::watch_health`].
#[derive(Debug)]
pub struct HealthWatch {
    shared: Arc<Shared>,
    seen: Option<Health>,
}

impl HealthWatch {
    /// The health at first, and then each time that it turns into another state; `None` when that was the
    /// last, because the coordinator was closed or abandoned, or its runtime has ended. Renewals, which
    /// only move a deadline, do not count; a slow reader misses states that did not last.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn next(&mut self) -> Option<Health> {
        loop {
            let open = self.shared.current();
            let health = self.shared.health();
            let Some(seen) = self.seen.filter(|seen| !health.differs(seen)) else {
                self.seen = Some(health);
                return Some(health);
            };
            if self.shared.usable(self.shared.runtime.now()).is_err() {
                return None;
            }
            let changed =
                |current: &Arc<Via>| !Arc::ptr_eq(current, &open) || self.shared.ended.get().is_some();
            tokio::select! { biased;
                () = self.shared.open.wait(|current| changed(current).then_some(())) => {}
                _ = open.lease.differs_from(seen) => {}
            }
        }
    }
}
