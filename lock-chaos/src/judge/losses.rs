//! What the store has acknowledged and then lost: its own fault, after which nobody can keep any promise.
//!
//! ZooKeeper 3.8.0 does that (ZOOKEEPER-4643, ZOOKEEPER-4785; mended on its branches 3.8 and 3.9 in February
//! 2024): a follower that is brought up to date writes down the new epoch before the transactions that it was
//! given. When that fails half way, it is preferred in the next election to those who have more, and they
//! throw theirs away.

use std::{collections::BTreeMap, time::Duration};

use super::Case;
use crate::record::Fate;

/// When and what the store has lost.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// From when to when it makes no sense to judge what clients saw.
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) how: String,
}

/// What was acknowledged in an epoch, and is not in the store.
struct Lost {
    first_sent: Duration,
    revisions: Vec<u64>,
}

pub(super) fn find(case: &Case<'_>) -> Vec<Loss> {
    let Some(truth) = case.truth else { return Vec::new() };
    let mut acknowledged: Vec<(Duration, Duration, u64)> = Vec::new();
    for turn in &case.story.turns {
        acknowledged.extend(turn.granted.as_ref().map(|it| (turn.sent, it.at, it.token)));
        for (at, _, fate) in &turn.guarded {
            if let Fate::Done(revision) = fate {
                acknowledged.push((turn.sent, *at, *revision));
            }
        }
    }
    let mut lost: BTreeMap<u64, Lost> = BTreeMap::new();
    for (sent, _, revision) in &acknowledged {
        let epoch = revision >> 32;
        if truth.ends.get(&epoch).is_some_and(|end| revision > end) {
            let lost = lost.entry(epoch).or_insert(Lost { first_sent: *sent, revisions: Vec::new() });
            lost.first_sent = lost.first_sent.min(*sent);
            lost.revisions.push(*revision);
        }
    }
    let loss = |(epoch, lost): (u64, Lost)| {
        let later =
            acknowledged.iter().filter(|(_, _, revision)| revision >> 32 > epoch).map(|(_, at, _)| *at);
        // Sessions that lost their claims learn of it, or end.
        let to = later.min().unwrap_or(case.story.end) + case.ttl * 2 + case.story.slack;
        let how = format!(
            "the store acknowledged {} writes of epoch {epoch} up to revision {:#x}, and lost all after {:#x}",
            lost.revisions.len(),
            lost.revisions.iter().max().copied().unwrap_or_default(),
            truth.ends.get(&epoch).copied().unwrap_or_default(),
        );
        Loss { from: lost.first_sent, to, how }
    };
    // What some servers have and others have not stays so, until somebody makes them anew.
    let diverged = truth.diverged.map(|stamp| Loss {
        from: stamp.earliest,
        to: case.story.end,
        how: format!("by their own digests, the servers' data differ from revision {:#x} on", stamp.revision),
    });
    lost.into_iter().map(loss).chain(diverged).collect()
}
