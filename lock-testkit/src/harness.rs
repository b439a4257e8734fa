//! What a store's crate provides, so that the suite can be run on it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lock_core::{SessionId, backend::Backend, runtime::SharedRuntime};

/// Makes stores for the suite.
#[async_trait]
pub trait Harness: Send + Sync {
    /// An empty store for one case.
    ///
    /// # Errors
    ///
    /// When there is none to be had: then the case fails.
    async fn store(&self) -> Result<Box<dyn Store>, String>;

    /// How many stores may be in use at a time: cases on real time mostly wait.
    fn at_once(&self) -> usize {
        1
    }
}

/// One store, for one case.
#[async_trait]
pub trait Store: Send + Sync {
    /// What the suite itself measures and waits with.
    fn runtime(&self) -> SharedRuntime;

    /// The ttl of the sessions that the suite opens.
    fn ttl(&self) -> Duration;

    /// For how long a claim that must not be granted is watched.
    fn grace(&self) -> Duration {
        Duration::from_millis(250)
    }

    /// How late the suite may see what is due: for how long a busy machine may stand still, which must be less than the
    /// [`ttl`](Self::ttl). A store on simulated time says zero.
    fn lateness(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// A client, as another process would have it.
    async fn client(&self) -> Box<dyn Client>;

    /// How many requests the store has served so far, renewals aside; none when they cannot be told apart.
    async fn requests(&self) -> Option<u64>;

    /// What is in the store besides cells, in any words; empty when there is nothing.
    async fn residue(&self) -> Vec<String>;

    /// Cleans up, when the case is over.
    async fn finish(&self) {}

    /// Stops the store and starts it again with what it keeps on disk.
    async fn restart(&self) -> Control;
}

/// One client of a store, and what can go wrong on its machine and on its way to the store.
#[async_trait]
pub trait Client: Send + Sync {
    /// The store, as this client reaches it.
    fn backend(&self) -> Arc<dyn Backend>;

    /// This client's machine.
    fn runtime(&self) -> SharedRuntime;

    /// Keeps this session's renewals from the store, or lets them through again.
    async fn freeze_renewals(&self, session: SessionId, frozen: bool) -> Control;

    /// Loses a reply to this session, after so many that come through. What was asked for is done.
    async fn lose_reply(&self, session: SessionId, after: u64) -> Control;

    /// How many replies to this session have been lost so far.
    async fn lost_replies(&self, session: SessionId) -> u64;

    /// Suspends this client's machine for so long: its clock jumps, none of its timers fires.
    async fn advance_clock(&self, by: Duration) -> Control;
}

/// Whether a harness can do something to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// It is done.
    Done,
    /// It cannot; the reason is shown in the report.
    Unsupported(&'static str),
}
