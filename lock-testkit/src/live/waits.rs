//! Waiting for what must happen.

use std::time::Duration;

use lock_core::{Coordinator, Guard, Mutex, Result};
use tokio::task::JoinHandle;

/// Everything that must happen does so within this.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(10);

/// Polls until the condition holds.
///
/// # Panics
///
/// When it does not within [`PATIENCE`].
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(GLANCE).await;
        }
    })
    .await;
}

/// Waits for what must happen.
///
/// # Panics
///
/// When it does not within [`PATIENCE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Asks for the lock in a task.
#[must_use]
pub fn asking(mutex: &Mutex) -> JoinHandle<Result<Guard>> {
    let mutex = mutex.clone();
    tokio::spawn(async move { mutex.lock().await })
}

/// Waits for the lock in a task, and is in line when this returns.
///
/// # Panics
///
/// When the line cannot be inspected, or it is not in it within [`PATIENCE`].
pub async fn waiting(mutex: &Mutex) -> JoinHandle<Result<Guard>> {
    let before = mutex.inspect().await.unwrap().places.len();
    let task = asking(mutex);
    until("it is in line", async || mutex.inspect().await.unwrap().places.len() > before).await;
    task
}

/// One takes a lock, lets the other wait for it, and leaves.
///
/// # Panics
///
/// When that fails.
pub async fn takes_turns(one: &Coordinator, other: &Coordinator) {
    let guard = one.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&other.mutex("x").unwrap()).await;
    guard.release().await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
}

/// Closes the sessions of these.
///
/// # Panics
///
/// When that fails.
pub async fn close(users: impl IntoIterator<Item = Coordinator>) {
    for user in users {
        user.close().await.unwrap();
    }
}
