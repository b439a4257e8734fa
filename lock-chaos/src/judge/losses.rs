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
    lost.into_iter().map(loss).collect()
}

#[cfg(test)]
mod tests {
    use lock_check::history::{Invariant, Violation};

    use super::*;
    use crate::{
        judge::{Verdict, story::Story},
        record::{Client, Line, Record, Way, What, Wish},
        truth::Truth,
    };

    /// Of a client that is granted a turn in epoch 1, and then is stuck.
    fn judged(truth: &Truth) -> Verdict {
        let token = (1 << 32) + 9;
        let (claim, deadline) = ("0000000000000007.1".to_owned(), Duration::from_secs(5));
        let happens = [
            What::Started,
            What::Sent { turn: 0, line: Line(0), mode: Wish::Exclusive, way: Way::Wait },
            What::Granted { turn: 0, claim, token, deadline },
            What::Stuck,
        ];
        let client = Some(Client { number: 1, life: 0 });
        let record = |(at, what)| Record { at: Duration::from_secs(at), client, what };
        let records: Vec<_> = (1..).zip(happens).map(record).collect();
        let (story, ttl) = (Story::read(&records), Duration::from_secs(2));
        Case { story: &story, registers: &BTreeMap::new(), truth: Some(truth), left: &[], ttl }.judge()
    }

    fn invariants(violations: &[Violation]) -> Vec<Invariant> {
        violations.iter().map(|violation| violation.invariant).collect()
    }

    #[test]
    fn what_is_violated_while_the_store_loses_something_is_told_apart() {
        let verdict = judged(&Truth { ends: [(1, (1 << 32) + 5)].into(), ..Truth::default() });
        assert_eq!(verdict.losses.len(), 1);
        assert_eq!(invariants(&verdict.violations), []);
        assert_eq!(invariants(&verdict.of_the_store), [Invariant::Progress]);
    }

    #[test]
    fn servers_whose_data_differ_excuse_nothing() {
        let verdict = judged(&Truth { diverged: vec!["s1".to_owned()], ..Truth::default() });
        assert_eq!(verdict.losses.len(), 0);
        assert_eq!(invariants(&verdict.violations), [Invariant::Progress]);
    }
}
