//! Claims of this session behind one another. Who is ahead is told here instead of in the store, and tells the
//! one behind it here: a turn costs one request less, and nobody waits for a bell.

use std::sync::Arc;

use lock_core::{ClaimId, LostReason, sync::locked};

use super::{
    Queue,
    standing::{Ahead, Phase, Standing},
    txn::Departure,
};
use crate::news::News;

impl Queue {
    /// Lets the claim ahead know that this one waits behind it; tells whether it could, which it cannot once
    /// that one has left.
    pub(super) fn follows_here(&self, standing: &Standing, ahead: ClaimId) -> bool {
        if ahead.session != self.session {
            return false;
        }
        let Some(leader) = locked(&self.table).claims.get(&ahead.number).cloned() else { return false };
        let turns = |from: Ahead, to: Ahead| {
            standing.state.update_silently(|state| {
                let turns = state.phase == Phase::Waiting(from);
                if turns {
                    state.phase = Phase::Waiting(to);
                }
                turns
            })
        };
        // First this: should the one ahead go without a word, it looks for those who wait.
        if !turns(Ahead::Found(ahead), Ahead::Linked(ahead)) {
            return true;
        }
        let follows = leader.state.update_silently(|state| state.is_followed_by(standing.who.id));
        if !follows {
            turns(Ahead::Linked(ahead), Ahead::Found(ahead));
        }
        follows
    }

    /// The claim behind one that has left, when it is of this session, hears from the answer what its bell
    /// would have said: the one that was known, or one that said so while the request was under way. That one
    /// was in line by then, for the tail that it replaced was still there.
    pub(super) fn tell_here(
        self: &Arc<Self>,
        gone: &Standing,
        departure: &Departure<'_>,
        revision: i64,
        gaps: u64,
    ) {
        let follower = gone.state.read(|state| state.follower);
        match (departure.next, follower) {
            (Some(next), _) if departure.tells_here => self.news_here(next, departure.news, revision, gaps),
            (None, Some(late)) => self.news_here(late, departure.news, revision, gaps),
            _ => {}
        }
        if departure.next.is_some() && follower.is_some() && follower != departure.next {
            self.those_behind_link(gone);
        }
    }

    /// News for a claim of this session. `gaps`: how often news had been missed when they were asked for.
    pub(super) fn news_here(self: &Arc<Self>, claim: ClaimId, news: News, revision: i64, gaps: u64) {
        let standing = {
            let mut table = locked(&self.table);
            let Some(standing) = table.claims.get(&claim.number).cloned() else { return };
            // Who comes back is of this session, too.
            table.coming.expect(&standing.who.line, None);
            standing
        };
        if let Err(error) = standing.hear(news, revision) {
            standing.stop(&error);
        }
        self.drive(&standing);
        if self.gaps() != gaps {
            // It may have been evicted since, and that was among the news that were missed.
            let queue = self.clone();
            self.runtime.spawn(Box::pin(async move { queue.make_sure(&standing).await }));
        }
    }

    /// The claim is in line no more, and whoever waits for it here was not told.
    pub(super) fn ended(self: &Arc<Self>, standing: &Standing, reason: LostReason) {
        standing.end(reason);
        self.those_behind_link(standing);
    }

    /// Those of this session who wait for a claim that has gone link to it in the store, which shows them
    /// where they stand.
    pub(super) fn those_behind_link(self: &Arc<Self>, gone: &Standing) {
        let in_line = locked(&self.table).lines.get(&gone.who.line).map(|line| line.claims.clone());
        for standing in in_line.into_iter().flat_map(|claims| claims.into_values()) {
            let waited = standing.state.update_silently(|state| {
                let waited = state.phase == Phase::Waiting(Ahead::Linked(gone.who.id));
                if waited {
                    state.phase = Phase::Waiting(Ahead::Found(gone.who.id));
                }
                waited
            });
            if waited {
                self.drive(&standing);
            }
        }
    }
}
