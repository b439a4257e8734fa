//! A value that many may wait on. For implementors of a store.

use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Locks; a panic elsewhere while it was locked does not spread.
///
/// Every critical section of this crate leaves its data whole at each step, so there is nothing to protect by
/// poisoning.
pub fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes those who wait for something to change. What changes lies beside it.
///
/// Not `tokio::sync::watch`: that one wakes its waiters in a random order, which no simulation can repeat,
/// and takes ten times the space of this, once for each waiting claim.
#[derive(Debug, Default)]
pub(crate) struct Bell(Notify);

impl Bell {
    /// A bell that nobody waits for yet.
    pub(crate) const fn new() -> Self {
        Self(Notify::const_new())
    }

    /// Wakes everybody who waits, in the order in which they came.
    pub(crate) fn ring(&self) {
        self.0.notify_waiters();
    }

    /// Waits until `look` finds what it looks for. Cancel-safe; no change that is followed by a ring is
    /// missed.
    pub(crate) async fn wait<R>(&self, mut look: impl FnMut() -> Option<R>) -> R {
        loop {
            if let Some(found) = look() {
                return found;
            }
            let mut changed = pin!(self.0.notified());
            changed.as_mut().enable();
            // It may have changed before the bell was armed.
            if let Some(found) = look() {
                return found;
            }
            changed.await;
        }
    }
}

/// A value, and a bell that rings when it changes.
#[derive(Debug, Default)]
pub struct Signal<T> {
    value: Mutex<T>,
    changed: Bell,
}

impl<T> Signal<T> {
    /// A value that nobody waits for yet.
    pub const fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Bell::new() }
    }

    /// Looks at the value.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&locked(&self.value))
    }

    /// Changes the value and wakes everybody who waits, in the order in which they came.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = self.update_silently(change);
        self.ring();
        result
    }

    /// Changes the value in a way that nobody waits for.
    pub fn update_silently<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut locked(&self.value))
    }

    /// Wakes everybody who waits.
    pub fn ring(&self) {
        self.changed.ring();
    }

    /// Waits until `look` finds what it looks for. Cancel-safe; no change is missed.
    pub async fn wait<R>(&self, mut look: impl FnMut(&T) -> Option<R>) -> R {
        self.changed.wait(|| self.read(&mut look)).await
    }
}
