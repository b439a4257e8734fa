//! The same without async: for programs, or threads of them, that have no async runtime.
//!
//! Each type here stands for the one of the same name outside this module, and guarantees what that one does;
//! what is said here is what differs. Calls block their thread until there is an answer. Threads may share
//! handles, and wait for one another through them.
//!
//! A [`Coordinator`] brings a small runtime of its own: one thread, called `yourturn`, which renews its
//! session and does in the background what has to be done there. It ends when the last handle that came from
//! the coordinator (lock, guard or whatever else) has been dropped, and the session has been closed.
//!
//! ```
//! # fn main() -> Result<(), yourturn::Error> {
//! use yourturn::blocking::Coordinator;
//!
//! let coordinator = Coordinator::connect("memory://billing?ttl=10s")?;
//! let mutex = coordinator.mutex("invoices/2026-11")?;
//! let guard = mutex.lock()?;
//! println!("send token {} with every write", guard.token());
//! guard.release()?;
//! coordinator.close()
//! # }
//! ```
//!
//! # Errors
//!
//! Each call that would block answers [`InsideAsync`](crate::ErrorKind::InsideAsync), before anything is
//! done, where a tokio runtime is entered: the thread may be one that has to drive other tasks, among them
//! the one that it would wait for. Use the async types there. (On a thread that may block, such as one of
//! `spawn_blocking`, with `Handle::block_on`.) Looking at a guard, and dropping any handle, is allowed
//! everywhere.
//!
//! # Without `run`
//!
//! A guard's `run(future)` drops work that has lost its turn, and an election's `run` does so with what it
//! leads. Code that blocks cannot be dropped half way, so there is neither: ask [`Guard::check`] before each
//! step that must not be taken without the turn, and [`Guard::remaining`] before one that takes time.

mod barrier;
mod coordinator;
mod driver;
mod election;
mod group;
mod guard;
mod latch;
mod line;
mod multi;
mod mutex;
mod reentrant;
mod rwlock;
mod semaphore;
mod task;

pub use barrier::{Barrier, DoubleBarrier, Inside};
pub use coordinator::{Coordinator, HealthWatch};
pub use election::{Election, Leadership, Observer};
pub use group::{Group, GroupWatch, Membership};
pub use guard::Guard;
pub use latch::Latch;
pub use multi::{MultiGuard, MultiLock};
pub use mutex::Mutex;
pub use reentrant::{ReentrantGuard, ReentrantMutex};
pub use rwlock::{RwLock, WriteGuard};
pub use semaphore::Semaphore;
pub use task::Task;

use driver::Driven;
