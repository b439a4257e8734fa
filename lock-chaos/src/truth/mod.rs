//! What really happened, from the store's own log.

mod book;
pub(crate) mod etcd;
mod pulse;
mod txnlog;
pub(crate) mod zookeeper;

use std::collections::HashMap;

use lock_check::history::{Log, Stamp};
use yourturn::{ClaimId, LineId};

/// As lines of a file.
pub(crate) fn lines(truth: &Truth) -> String {
    let line = |change| serde_json::to_string(change).unwrap_or_default() + "\n";
    truth.raw.iter().map(line).collect()
}

/// The store's log, and what it says beyond what a checker asks.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) log: Log,
    /// Claims that came into line once more, while they were there or after they had gone.
    pub(crate) repeated: Vec<(ClaimId, LineId, Stamp)>,
    /// Who made each claim.
    pub(crate) owners: HashMap<ClaimId, String>,
    /// All changes as they were written down, for people: revision, where, and what.
    pub(crate) raw: Vec<(u64, String, Option<String>)>,
    /// What a member's watch has left out, although others have told it: the store's own fault.
    pub(crate) untold: Vec<String>,
    /// The last revision of each epoch, counted by the upper half of a revision, that another leader has ended:
    /// the store has none that is larger, whatever it has acknowledged.
    pub(crate) ends: HashMap<u64, u64>,
    /// What servers say of their own data: that they differ from the leader's.
    pub(crate) diverged: Vec<String>,
    /// Which ids were written under a guard.
    pub(crate) written: HashMap<u64, u64>,
}
