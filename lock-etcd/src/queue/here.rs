//! Claims of this session behind one another. Who is ahead is told here instead of in the store, and tells the
//! one behind it here: a turn costs one request less, and nobody waits for a bell.

use std::sync::Arc;

use lock_core::{ClaimId, LostReason, Mode, Result, sync::locked};

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

    /// A step into a seat behind the gate, which was not answered, has landed: whoever waits for the claim here was
    /// not told. First the seat: nobody comes behind one that has left the queue.
    pub(super) fn seated(self: &Arc<Self>, standing: &Standing, mode: Mode, seat: i64) -> Result<()> {
        standing.take_seat(mode, seat)?;
        self.those_behind_link(standing);
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Waker},
        time::SystemTime,
    };

    use lock_core::{
        Claim, Kind, LineId, Moment, Payload,
        runtime::{BoxFuture, Runtime, TokioRuntime},
    };

    use super::*;
    use crate::queue::{life::tests::queue_in, standing::Gate};

    /// Takes a task as far as it goes while it is spawned, as another thread may.
    #[derive(Debug)]
    struct Eager(TokioRuntime);

    impl Runtime for Eager {
        fn now(&self) -> Moment {
            self.0.now()
        }

        fn wall_clock(&self) -> SystemTime {
            self.0.wall_clock()
        }

        fn sleep_until(&self, at: Moment) -> BoxFuture<()> {
            self.0.sleep_until(at)
        }

        fn spawn(&self, mut task: BoxFuture<()>) {
            if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                self.0.spawn(task);
            }
        }

        fn random_u64(&self) -> u64 {
            self.0.random_u64()
        }
    }

    #[tokio::test]
    async fn c4_nobody_comes_behind_a_claim_that_is_found_behind_the_gate() {
        let queue = queue_in(Arc::new(Eager(TokioRuntime::current().unwrap())));
        let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
        let enrol = |number, phase| {
            let (id, since) = (ClaimId { session: queue.session, number }, SystemTime::UNIX_EPOCH);
            let payload = Payload::default();
            let claim = Claim { id, mode: Mode::Shared, owner: "o".into(), payload, since };
            let standing = queue.enrol(&line, &claim).unwrap().unwrap();
            standing.who.took(7 + number.cast_signed());
            standing.state.update(|state| state.phase = phase);
            standing
        };
        let ahead = enrol(0, Phase::Head(Gate::Unknown));
        let behind = enrol(1, Phase::Waiting(Ahead::Found(ahead.who.id)));
        assert!(queue.follows_here(&behind, ahead.who.id));
        queue.seated(&ahead, Mode::Shared, 9).unwrap();
        let waits = behind.state.read(|state| state.phase);
        assert_eq!(waits, Phase::Waiting(Ahead::Found(ahead.who.id)), "it waits to be told by that one");
    }
}
