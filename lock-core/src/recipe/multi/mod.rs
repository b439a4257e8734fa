//! Several locks at once: in one order, all or none.

mod guard;
mod order;

pub use guard::MultiGuard;

use std::{sync::Arc, time::Duration};

use crate::{
    error::{Error, ErrorKind, Result},
    recipe::{Mutex, Patience},
};

/// Several locks that are taken together or not at all. Cheap to clone.
///
/// They are [`Mutex`]es, of one coordinator or of several: whoever has one of them excludes us, and we
/// exclude whoever wants one. For names of one coordinator there is
/// [`Coordinator::lock_all`](crate::Coordinator::lock_all).
///
/// **It guarantees** that calls with overlapping sets of locks never wait for one another for ever, in
/// whatever order the locks are given: all take them in one order, by store and name, whatever process they
/// are in. That a call which does not get all of them gives back those that it had taken. And of each lock,
/// what a [`Mutex`] guarantees.
///
/// **It does not guarantee** that nobody waits meanwhile: who waits for the last of the locks holds the
/// others. Nor does it order what you lock by yourself: a task that has one lock and then waits for more, by
/// this or by [`Mutex::lock`], can wait for somebody who does the same the other way round.
///
/// # Several stores
///
/// When the locks are of more than one coordinator, each store has to have a name that is the same for every
/// process: a random one, which whoever comes first writes into a cell of the store (clause C17), below the
/// coordinator's namespace. Like every cell it outlives all sessions; it is never removed. Two coordinators
/// that find the same one use the same locks: also when one store is a copy of the other, made with that cell.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, MultiLock, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// # let elsewhere = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let transfer = MultiLock::new([coordinator.mutex("accounts/7")?, elsewhere.mutex("accounts/3")?])?;
/// let guard = transfer.lock().await?;
/// for (name, token) in guard.tokens() {
///     println!("send token {token} with every write to {name}");
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct MultiLock {
    /// In the order in which they were given.
    mutexes: Arc<[Mutex]>,
}

impl MultiLock {
    /// All of these, with the options that each of them has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for no locks at all, and for one that is there twice.
    pub fn new(mutexes: impl IntoIterator<Item = Mutex>) -> Result<Self> {
        Self::of("multi_lock", mutexes.into_iter().collect())
    }

    pub(crate) fn of(operation: &'static str, mutexes: Arc<[Mutex]>) -> Result<Self> {
        let checked = if mutexes.is_empty() {
            Err(Error::new(ErrorKind::InvalidOption, "there is nothing to lock"))
        } else {
            order::check(&mutexes)
        };
        checked.map(|()| Self { mutexes }).map_err(|error| error.during(operation))
    }

    /// Waits until it has all of the locks, however long that takes.
    ///
    /// When a session is lost meanwhile, begins anew, at the back of each line.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`], of any of them; [`NotHeld`](ErrorKind::NotHeld) also when one that was taken
    /// already was evicted, or was held for its [`max_hold`](Mutex::max_hold), while the others were waited
    /// for. [`InvalidOption`](ErrorKind::InvalidOption), with nobody in line yet, when two coordinators turn
    /// out to use one store, and a lock of it is there twice. Those that were taken are released first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases and withdraws in the background; nothing stays in line.
    pub async fn lock(&self) -> Result<MultiGuard> {
        self.lock_all("lock").await
    }

    /// Takes all of the locks if each of them is free and nobody waits for it. `None` only when a conflicting
    /// claim was in one of the lines (clause C6); nothing stays in any line then.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    pub async fn try_lock(&self) -> Result<Option<MultiGuard>> {
        self.try_lock_all("try_lock").await
    }

    /// Waits for all of the locks for at most `patience` in all, then withdraws and answers `None`. Nothing
    /// stays in any line then.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    pub async fn try_lock_for(&self, patience: Duration) -> Result<Option<MultiGuard>> {
        self.try_lock_all_for("try_lock_for", patience).await
    }

    pub(crate) async fn lock_all(&self, operation: &'static str) -> Result<MultiGuard> {
        let ordered = self.ordered(operation).await?;
        loop {
            let outcome = take(&ordered, operation).await;
            if !begins_anew(&outcome) {
                return outcome;
            }
        }
    }

    pub(crate) async fn try_lock_all(&self, operation: &'static str) -> Result<Option<MultiGuard>> {
        self.try_all(operation, Patience::None).await
    }

    pub(crate) async fn try_lock_all_for(
        &self,
        operation: &'static str,
        patience: Duration,
    ) -> Result<Option<MultiGuard>> {
        // One process has one clock.
        let end = self.mutexes.first().map(|mutex| mutex.entrance().now() + patience);
        self.try_all(operation, end.map_or(Patience::None, Patience::Until)).await
    }

    async fn try_all(&self, operation: &'static str, patience: Patience) -> Result<Option<MultiGuard>> {
        let ordered = self.ordered(operation).await?;
        loop {
            let outcome = try_take(&ordered, operation, patience).await;
            if !begins_anew(&outcome) {
                return outcome;
            }
        }
    }

    /// The locks in the order in which everybody takes them, each with its place among those given.
    async fn ordered(&self, operation: &'static str) -> Result<Vec<(usize, Mutex)>> {
        for mutex in self.mutexes.iter() {
            mutex.request().terms.check().map_err(mutex.entrance().context(operation))?;
        }
        order::ordered(&self.mutexes, operation).await.map_err(|error| error.during(operation))
    }
}

/// Waits for one after the other.
async fn take(ordered: &[(usize, Mutex)], operation: &'static str) -> Result<MultiGuard> {
    let mut held = MultiGuard::default();
    for (given, mutex) in ordered {
        let request = mutex.request();
        let guard = held.or_none(operation, mutex.entrance().acquire(operation, &request)).await?;
        held.add(*given, guard);
    }
    Ok(held)
}

/// Tries one after the other, as long as `patience` lasts.
async fn try_take(
    ordered: &[(usize, Mutex)],
    operation: &'static str,
    patience: Patience,
) -> Result<Option<MultiGuard>> {
    let mut held = MultiGuard::default();
    for (given, mutex) in ordered {
        let request = mutex.request();
        let trying = mutex.entrance().try_acquire(operation, &request, patience);
        match held.or_none(operation, trying).await? {
            Some(guard) => held.add(*given, guard),
            None => {
                mutex.entrance().give_up(patience, held.leave(operation)).await?;
                return Ok(None);
            }
        }
    }
    Ok(Some(held))
}

/// Whether one that was taken went with its session while others were waited for.
fn begins_anew<T>(outcome: &Result<T>) -> bool {
    let lost = outcome.as_ref().err().filter(|error| error.kind() == ErrorKind::SessionLost);
    if let Some(error) = lost {
        tracing::warn!(%error, "a session was lost; all of the locks once more, at the back");
    }
    lost.is_some()
}
