//! What a user opens.

use std::{sync::Arc, time::Duration};

use lock_core::{Capabilities, Health, Options, Requirement, Result, SessionId, backend::Backend};

use super::{
    Barrier, DoubleBarrier, Driven, Election, Group, Latch, MultiGuard, Mutex, RwLock, Semaphore, Task,
    driver::Driver,
};

/// The way to one store, for code that blocks; see [`Coordinator`](crate::Coordinator). Cheap to clone.
///
/// # Drop
///
/// Dropping the last handle (coordinator, lock, guard or whatever else came from it) closes the session in
/// the background; [`close`](Self::close) waits for that. A program that ends right after should call it: its
/// runtime ends with it, and then the ttl frees what it held.
#[derive(Clone, Debug)]
pub struct Coordinator(Arc<Driver>);

impl Coordinator {
    /// Connects to the store that `uri` names; see [`Coordinator::connect`](crate::Coordinator::connect).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn connect(uri: &str) -> Result<Self> {
        Driver::start(crate::Coordinator::connect(uri)).map(Self)
    }

    /// As [`connect`](Self::connect), with options for what the URI does not say. Where both say something, the
    /// URI counts.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with(uri: &str, options: Options) -> Result<Self> {
        Driver::start(crate::Coordinator::connect_with(uri, options)).map(Self)
    }

    /// Connects to a store that was configured by hand.
    ///
    /// # Errors
    ///
    /// As [`Coordinator::open`](crate::Coordinator::open); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn open(backend: Arc<dyn Backend>, options: Options) -> Result<Self> {
        Driver::start(crate::Coordinator::open(backend, options)).map(Self)
    }

    /// The lock called `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName); see [`Name`](crate::Name).
    pub fn mutex(&self, name: impl AsRef<str>) -> Result<Mutex> {
        self.0.coordinator.mutex(name).map(|mutex| Mutex(self.drive(mutex)))
    }

    /// The read-write lock called `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName); see [`Name`](crate::Name).
    pub fn rw_lock(&self, name: impl AsRef<str>) -> Result<RwLock> {
        self.0.coordinator.rw_lock(name).map(|lock| RwLock(self.drive(lock)))
    }

    /// The semaphore called `name`, of so many permits.
    ///
    /// # Errors
    ///
    /// As [`Coordinator::semaphore`](lock_core::Coordinator::semaphore).
    pub fn semaphore(&self, name: impl AsRef<str>, limit: u32) -> Result<Semaphore> {
        self.0.coordinator.semaphore(name, limit).map(|semaphore| Semaphore(self.drive(semaphore)))
    }

    /// The election called `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName); see [`Name`](crate::Name).
    pub fn election(&self, name: impl AsRef<str>) -> Result<Election> {
        self.0.coordinator.election(name).map(|election| Election(self.drive(election)))
    }

    /// The scheduled task called `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName); see [`Name`](crate::Name).
    pub fn task(&self, name: impl AsRef<str>) -> Result<Task> {
        self.0.coordinator.task(name).map(|task| Task(self.drive(task)))
    }

    /// The group called `name`.
    ///
    /// # Errors
    ///
    /// As [`Coordinator::group`](lock_core::Coordinator::group).
    pub fn group(&self, name: impl AsRef<str>) -> Result<Group> {
        self.0.coordinator.group(name).map(|group| Group(self.drive(group)))
    }

    /// The barrier called `name`, which lets `participants` pass at a time.
    ///
    /// # Errors
    ///
    /// As [`Coordinator::barrier`](lock_core::Coordinator::barrier).
    pub fn barrier(&self, name: impl AsRef<str>, participants: u32) -> Result<Barrier> {
        self.0.coordinator.barrier(name, participants).map(|barrier| Barrier(self.drive(barrier)))
    }

    /// The double barrier called `name`, which lets `participants` in and out at a time.
    ///
    /// # Errors
    ///
    /// As [`Coordinator::double_barrier`](lock_core::Coordinator::double_barrier).
    pub fn double_barrier(&self, name: impl AsRef<str>, participants: u32) -> Result<DoubleBarrier> {
        let barrier = self.0.coordinator.double_barrier(name, participants)?;
        Ok(DoubleBarrier(self.drive(barrier)))
    }

    /// The latch called `name`, which opens when `count` participants have counted down.
    ///
    /// # Errors
    ///
    /// As [`Coordinator::latch`](lock_core::Coordinator::latch).
    pub fn latch(&self, name: impl AsRef<str>, count: u32) -> Result<Latch> {
        self.0.coordinator.latch(name, count).map(|latch| Latch(self.drive(latch)))
    }

    /// Takes all of these locks; see [`Coordinator::lock_all`](lock_core::Coordinator::lock_all).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn lock_all<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> Result<MultiGuard> {
        let held = self.0.wait("lock_all", self.0.coordinator.lock_all(names))?;
        Ok(MultiGuard::of_one(self.drive(held)))
    }

    /// As [`lock_all`](Self::lock_all), if all of them are free.
    ///
    /// # Errors
    ///
    /// As [`lock_all`](Self::lock_all).
    pub fn try_lock_all<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Option<MultiGuard>> {
        let held = self.0.wait("try_lock_all", self.0.coordinator.try_lock_all(names))?;
        Ok(held.map(|held| MultiGuard::of_one(self.drive(held))))
    }

    /// As [`lock_all`](Self::lock_all), for at most `patience` in all.
    ///
    /// # Errors
    ///
    /// As [`lock_all`](Self::lock_all).
    pub fn try_lock_all_for<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
        patience: Duration,
    ) -> Result<Option<MultiGuard>> {
        let waiting = self.0.coordinator.try_lock_all_for(names, patience);
        let held = self.0.wait("try_lock_all_for", waiting)?;
        Ok(held.map(|held| MultiGuard::of_one(self.drive(held))))
    }

    fn drive<T>(&self, inner: T) -> Driven<T> {
        Driven { inner, driver: self.0.clone() }
    }

    /// How the session is doing; see [`Coordinator::health`](lock_core::Coordinator::health).
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.coordinator.health()
    }

    /// Follows [`health`](Self::health), over the loss of a session and its replacement.
    #[must_use]
    pub fn watch_health(&self) -> HealthWatch {
        HealthWatch(self.drive(self.0.coordinator.watch_health()))
    }

    /// The session in use, as its claims are called in the store.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.0.coordinator.session_id()
    }

    /// What the store promises.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.0.coordinator.capabilities()
    }

    /// Refuses at start a store that promises less than the program cannot live without.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for the first requirement that is not met.
    pub fn require(&self, needed: &[Requirement]) -> Result<()> {
        self.0.coordinator.require(needed)
    }

    /// Ends all guards, leaves all lines, and closes the session; threads that wait in a line are told. See
    /// [`Coordinator::close`](lock_core::Coordinator::close).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync), and then nothing is closed.
    pub fn close(&self) -> Result<()> {
        self.0.wait("close", self.0.coordinator.close())
    }

    /// Ends all guards and stops talking to the store, as a crash would: others wait for the ttl. For tests
    /// and demonstrations.
    pub fn abandon(&self) {
        self.0.coordinator.abandon();
    }
}

/// Follows the health of a coordinator's session; see [`Coordinator::watch_health`].
#[derive(Debug)]
pub struct HealthWatch(Driven<crate::HealthWatch>);

impl HealthWatch {
    /// Waits for the next; see [`HealthWatch::next`](crate::HealthWatch::next).
    ///
    /// # Errors
    ///
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync).
    #[expect(clippy::should_implement_trait, reason = "as in the async API; it may fail")]
    pub fn next(&mut self) -> Result<Option<Health>> {
        let Driven { inner, driver } = &mut self.0;
        driver.wait("watch_health", async { Ok(inner.next().await) })
    }
}
