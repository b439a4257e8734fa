//! What really happened, from the store's own log.

mod book;
pub(crate) mod etcd;
mod pulse;
mod txnlog;
pub(crate) mod zookeeper;

use std::collections::HashMap;

use lock_testkit::history::Log;
use yourturn::ClaimId;

/// The store's log, and what it says beyond what a checker asks.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) log: Log,
    /// Who made each claim.
    pub(crate) owners: HashMap<ClaimId, String>,
    /// Which ids were written under a guard.
    pub(crate) written: HashMap<u64, u64>,
}
