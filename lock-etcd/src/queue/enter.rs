//! Joining and trying.

use std::sync::Arc;

use etcd_client::KeyValue;
use lock_core::{
    Claim, Effect, Error, ErrorKind, Grant, LineId, LostReason, Mode, Result, Ticket,
    bug::Bug,
    line::{Entrant, Verdict, decide},
    sync::locked,
};

use super::{
    Queue,
    coming::Last,
    occupancy,
    standing::{Ahead, Gate, Phase, Standing},
    steps::gate,
    txn::{Entry, Free, Outlook},
};
use crate::{
    error::{self, has_left, session_ended},
    keys::Part,
    pointers::Tail,
    request::{Reply, get, range, some_keys},
    view,
};

/// A request to enter.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Straight in, or else a place in the queue.
    Join(Outlook),
    /// Straight in, or else a look at who is in the way.
    Try(Outlook),
    /// Straight in over the tail that this session has left behind, or else nothing.
    Again(i64),
    /// A place in the queue.
    Queue,
    /// A place behind this claim, linked to it, or else somewhere in the queue.
    Follow(Last),
}

/// What became of a request to enter.
enum Entered {
    /// In line: granted, or with a place in the queue.
    In,
    /// Not in: the tail as it was, and whether the holders behind the gate are in the way, as far as that was
    /// asked.
    Out { tail: Option<KeyValue>, barred: bool },
}

impl Queue {
    /// Takes a place in the line; see [`Session::join`](lock_core::backend::Session::join).
    pub(crate) async fn join(self: &Arc<Self>, line: &LineId, claim: &Claim) -> Result<Ticket> {
        let standing = self.enrol(line, claim)?.ok_or_else(has_left)?;
        if standing.ticket().is_none() {
            self.enter_or_wait(&standing).await.map_err(|error| self.failed(&standing, error))?;
            self.settle(&standing);
        }
        standing.ticket().ok_or_else(|| self.not_in_line(&standing))
    }

    /// In line without waiting, or not at all; see
    /// [`Session::try_join`](lock_core::backend::Session::try_join).
    pub(crate) async fn try_join(
        self: &Arc<Self>,
        line: &LineId,
        claim: &Claim,
    ) -> Result<Option<(Ticket, Grant)>> {
        if let Some(standing) = self.enrol(line, claim)? {
            let taken = self.take_if_free(&standing).await;
            if let Some(taken) = taken.map_err(|error| self.failed(&standing, error))? {
                return Ok(Some(taken));
            }
        } else {
            // When it has left with its session, nothing has been seen in its way.
            self.lease.check()?;
        }
        // A request that was not answered must not land later, and a place must not stay. Also when this is
        // the second time that it is tried: the first may have failed here. Who may not be in line leaves without
        // a request, which does not fail.
        self.leave(line, claim.id).await.map_err(Error::with_unknown_effect)?;
        Ok(None)
    }

    async fn take_if_free(self: &Arc<Self>, standing: &Arc<Standing>) -> Result<Option<(Ticket, Grant)>> {
        if !self.enter_if_free(standing).await? {
            return Ok(None);
        }
        let ticket = standing.ticket().ok_or_else(|| self.not_in_line(standing))?;
        Ok(Some((ticket, self.granted(standing).await?)))
    }

    /// Why a claim could not enter, or not hold at once. One that the store does not know of, and cannot come to know of,
    /// is forgotten; any other may be in line, whichever step has failed, and is to leave.
    fn failed(&self, standing: &Standing, error: Error) -> Error {
        if standing.state.read(|state| matches!(state.phase, Phase::Outside | Phase::Gone) && !state.doubt())
        {
            self.forget(standing, !error.is_retryable());
            return error;
        }
        error.with_unknown_effect()
    }

    /// Why a claim that has entered is not in line: others may take it away at once.
    fn not_in_line(&self, standing: &Standing) -> Error {
        let why = standing.fate.end_reason().unwrap_or(LostReason::Released);
        self.failed(standing, self.lease.check().err().unwrap_or_else(|| Error::lost(why)))
    }

    /// Sees to it that what an answer said is followed up.
    fn settle(self: &Arc<Self>, standing: &Arc<Standing>) {
        if standing.state.read(|state| matches!(state.phase, Phase::Waiting(Ahead::Sought(_)))) {
            self.seek(standing);
        }
        self.drive(standing);
    }

    /// One request to enter.
    async fn enter(self: &Arc<Self>, standing: &Standing, way: Way) -> Result<Entered> {
        let record = locked(&standing.record).0.clone();
        let (who, mode) = (&standing.who, record.mode);
        let request = match (mode, way) {
            (Mode::Present, _) => Entry { record, outlook: Outlook::UNKNOWN }.be_present(who),
            (_, Way::Join(outlook)) => Entry { record, outlook }.join(who),
            (_, Way::Try(outlook)) => Entry { record, outlook }.try_join(who),
            (_, Way::Again(tail)) => Entry { record, outlook: Outlook::UNKNOWN }.again(who, tail),
            (_, Way::Queue) => Entry { record, outlook: Outlook::UNKNOWN }.queue(who),
            (_, Way::Follow(last)) => Entry { record, outlook: Outlook::UNKNOWN }.follow(who, last.claim),
        };
        let asked = standing.state.update_silently(|state| {
            state.unanswered += u32::from(!state.leaving);
            !state.leaving
        });
        if !asked {
            return Err(has_left());
        }
        let gaps = self.gaps();
        let answer = match self.change(request).await {
            Err(error) if error.kind() == ErrorKind::Full => self.entered_though_full(standing).await,
            answer => answer.and_then(|reply| match (mode, way) {
                (Mode::Present, _) => straight_in(standing, reply),
                (_, Way::Join(_)) => joined(standing, reply),
                (_, Way::Try(_)) => tried(standing, reply),
                (_, Way::Again(_)) if reply.succeeded => holds(standing, reply.revision),
                (_, Way::Again(_)) => Ok(Entered::Out { tail: None, barred: false }),
                (_, Way::Queue) => queued(standing, reply),
                (_, Way::Follow(last)) => self.followed(standing, reply, last),
            }),
        };
        if answer.as_ref().map_or_else(|error| error.effect() == Effect::None, |_| true) {
            standing.state.update_silently(|state| state.unanswered -= 1);
        }
        if matches!(answer, Ok(Entered::In)) {
            let straight = standing.state.read(|state| state.straight);
            // Others that come straight in write no tail.
            if mode == Mode::Exclusive || !straight {
                self.tail_was_written(&who.line, who.place(), straight);
            }
        }
        if self.gaps() != gaps {
            // It may have been evicted, or told of its turn, and that was among the news that were missed.
            standing.state.update_silently(|state| {
                if matches!(state.phase, Phase::Waiting(_)) {
                    state.phase = Phase::Waiting(Ahead::UNSOUGHT);
                }
            });
            self.make_sure(standing).await;
        }
        answer
    }

    /// A store that is full may have done what it refuses: it says so after the fact.
    async fn entered_though_full(&self, standing: &Standing) -> Result<Entered> {
        let (who, mode) = (&standing.who, standing.state.read(|state| state.mode));
        let look = vec![get(who.keys.seat(mode, who.id)), get(who.keys.node(who.id))];
        let mut reply = self.look(look).await.map_err(Error::with_unknown_effect)?;
        if landed(standing, reply.key(), reply.key(), Phase::Outside)? {
            Ok(Entered::In)
        } else {
            Err(error::full())
        }
    }

    /// Reads the answer to somebody who follows another.
    fn followed(&self, standing: &Standing, mut reply: Reply, last: Last) -> Result<Entered> {
        if !reply.succeeded {
            let entered = queued(standing, reply.nested()?)?;
            if standing.state.read(|state| !matches!(state.phase, Phase::Waiting(_))) {
                self.was_missed(&standing.who.line, last);
            }
            return Ok(entered);
        }
        standing.who.took(reply.revision);
        let linked = Phase::Waiting(Ahead::Linked(last.claim));
        let told_early = standing.state.update_silently(|state| {
            if state.phase == Phase::Outside {
                state.phase = linked;
            }
            state.told_early.take()
        });
        // The end of that session was not heeded before it was known whom it waits for. To link once more shows where it
        // stands.
        let ended = self.ends() != last.ends;
        standing.state.update_silently(|state| {
            if state.phase == linked && ended {
                state.phase = Phase::Waiting(Ahead::Found(last.claim));
            }
        });
        // Nor what was said of those ahead: now it has a place to know of.
        if let Some(news) = told_early {
            standing.hear(news, reply.revision)?;
        }
        Ok(Entered::In)
    }

    async fn enter_or_wait(self: &Arc<Self>, standing: &Standing) -> Result<Entered> {
        let outlook = match standing.state.read(|state| state.mode) {
            Mode::Permits { .. } => self.count_permits(standing).await?,
            Mode::Exclusive => {
                let line = &standing.who.line;
                if let Free::StaleTail(tail) = self.outlook(line).free {
                    if matches!(self.enter(standing, Way::Again(tail)).await?, Entered::In) {
                        return Ok(Entered::In);
                    }
                } else if let Some(last) = self.comes_last(line) {
                    return self.enter(standing, Way::Follow(last)).await;
                } else if self.has_others_in(line) {
                    return self.enter(standing, Way::Queue).await;
                }
                Outlook::UNKNOWN
            }
            Mode::Shared | Mode::Present => Outlook::UNKNOWN,
        };
        self.enter(standing, Way::Join(outlook)).await
    }

    /// Whether there is room among the holders of permits, and when that was seen.
    async fn count_permits(&self, standing: &Standing) -> Result<Outlook> {
        let keys = &standing.who.keys;
        let mut reply = self.look(vec![range(keys.holders())]).await?;
        let room = occupancy(keys, &reply.keys())?.admits(standing.state.read(|state| state.mode));
        Ok(Outlook { free: Free::NoTail, seen: if room { reply.revision } else { 0 } })
    }

    /// Enters unless a conflicting claim is in line (C6). When that has been tried before, the claim may be
    /// in line already.
    async fn enter_if_free(self: &Arc<Self>, standing: &Arc<Standing>) -> Result<bool> {
        if standing.ticket().is_none() {
            let entered = match standing.state.read(|state| state.mode) {
                Mode::Present => {
                    matches!(self.enter(standing, Way::Try(Outlook::UNKNOWN)).await?, Entered::In)
                }
                Mode::Exclusive => self.enter_alone(standing).await?,
                Mode::Shared | Mode::Permits { .. } => self.enter_beside(standing).await?,
            };
            if !entered {
                return Ok(false);
            }
        }
        self.settle(standing);
        // A conflicting claim may have been faster.
        let holds = standing.state.read(|state| matches!(state.phase, Phase::Holding(_)));
        Ok(holds || would_be_granted(&self.whole_line(standing).await?.0, standing))
    }

    async fn enter_alone(self: &Arc<Self>, standing: &Standing) -> Result<bool> {
        let mut outlook = self.outlook(&standing.who.line);
        loop {
            match self.enter(standing, Way::Try(outlook)).await? {
                Entered::In => return Ok(true),
                Entered::Out { barred: true, .. } => return Ok(false),
                Entered::Out { tail, .. } => {
                    if let Some(tail) = &tail
                        && self.somebody_queues(standing, tail).await?
                    {
                        return Ok(false);
                    }
                    outlook.free = free(tail.as_ref());
                }
            }
        }
    }

    /// Whether somebody else is in the queue that has this tail: the last one, or else another behind whom it
    /// died. Who finds itself there has tried before, without an answer: another try shows it.
    async fn somebody_queues(&self, standing: &Standing, tail: &KeyValue) -> Result<bool> {
        let (me, keys) = (standing.who.id, &standing.who.keys);
        if let Some(Tail { claim: last, .. }) = Tail::read(tail.value())
            && self.look(vec![get(keys.node(last))]).await?.key().is_some()
        {
            return Ok(last != me);
        }
        let found = self.look(vec![some_keys(keys.queue(), 1)]).await?.key();
        Ok(found.is_some_and(|found| !matches!(keys.part(found.key()), Some(Part::Node(node)) if node == me)))
    }

    /// Others in line may be compatible. No place is taken behind them, not even where the kernel would grant it:
    /// its turn would come when they have taken their own steps, and that is not up to us. Who is refused looks
    /// again, for somebody came or went meanwhile.
    async fn enter_beside(self: &Arc<Self>, standing: &Standing) -> Result<bool> {
        let is_shared = standing.state.read(|state| state.mode) == Mode::Shared;
        if is_shared && matches!(self.enter(standing, Way::Try(Outlook::UNKNOWN)).await?, Entered::In) {
            return Ok(true);
        }
        loop {
            let (line, tail, revision) = self.whole_line(standing).await?;
            if !would_be_granted(&line, standing) {
                return Ok(false);
            }
            let outlook = Outlook { free: free(tail.as_ref()), seen: revision };
            if matches!(self.enter(standing, Way::Try(outlook)).await?, Entered::In) {
                return Ok(true);
            }
        }
    }

    async fn whole_line(&self, standing: &Standing) -> Result<(lock_core::Line, Option<KeyValue>, i64)> {
        let keys = &standing.who.keys;
        let mut reply = self.look(vec![range(keys.all()), get(keys.tail())]).await?;
        let (all, tail) = (reply.keys(), reply.key());
        let line = view::line(&standing.who.line, keys, reply.revision, all.iter())?;
        Ok((line, tail, reply.revision))
    }
}

fn free(tail: Option<&KeyValue>) -> Free {
    tail.map_or(Free::NoTail, |tail| Free::StaleTail(tail.mod_revision()))
}

/// Whether the kernel grants the claim, where it stands or else at the end of the line.
fn would_be_granted(line: &lock_core::Line, standing: &Standing) -> bool {
    let mode = standing.state.read(|state| state.mode);
    let mut entrants: Vec<Entrant> =
        line.places.iter().map(|place| Entrant { place: place.place, mode: place.mode }).collect();
    let there = line.places.iter().find(|place| place.claim == standing.who.id).map(|place| place.place);
    let place = there.unwrap_or(u64::MAX);
    if there.is_none() {
        entrants.push(Entrant { place, mode });
    }
    decide(&entrants, place) == Some(Verdict::Granted)
}

/// Reads the answer to somebody who may come straight in.
fn straight_in(standing: &Standing, mut reply: Reply) -> Result<Entered> {
    if !reply.succeeded {
        return entered_before(standing, &mut reply);
    }
    holds(standing, reply.revision)
}

fn holds(standing: &Standing, revision: i64) -> Result<Entered> {
    standing.who.took(revision);
    standing.state.update_silently(|state| state.straight = true);
    standing.hold(revision)?;
    Ok(Entered::In)
}

fn tried(standing: &Standing, mut reply: Reply) -> Result<Entered> {
    if reply.succeeded {
        return holds(standing, reply.revision);
    }
    if came_in_before(standing, &mut reply)? {
        return Ok(Entered::In);
    }
    let (void, tail, holders) = (reply.key(), reply.key(), reply.keys());
    if void.is_some() {
        return Err(has_left());
    }
    Ok(Entered::Out { tail, barred: !holders.is_empty() })
}

fn joined(standing: &Standing, mut reply: Reply) -> Result<Entered> {
    if !reply.succeeded {
        return entered_before(standing, &mut reply);
    }
    let mut inner = reply.nested()?;
    if inner.succeeded {
        return holds(standing, reply.revision);
    }
    queues(standing, reply.revision, inner.replaced().as_ref(), Gate::Unknown)
}

fn queued(standing: &Standing, mut reply: Reply) -> Result<Entered> {
    if !reply.succeeded {
        return entered_before(standing, &mut reply);
    }
    let (tail, _node, holders) = (reply.replaced(), reply.replaced(), reply.keys());
    queues(standing, reply.revision, tail.as_ref(), gate(&holders))
}

/// It has a place in the queue, and has replaced this tail. `gate`: what is known of the holders behind it.
fn queues(standing: &Standing, revision: i64, before: Option<&KeyValue>, gate: Gate) -> Result<Entered> {
    standing.who.took(revision);
    let tail = before.and_then(|tail| Tail::read(tail.value()));
    standing.state.update_silently(|state| {
        state.behind_first = tail.filter(|tail| tail.first).map(|tail| tail.claim);
        // Unless it has been made to leave meanwhile.
        if state.phase == Phase::Outside {
            state.phase = Phase::Waiting(tail.map_or(Ahead::UNSOUGHT, |tail| Ahead::Found(tail.claim)));
        }
    });
    if before.is_none() {
        // The queue is empty whenever there is no tail.
        standing.lead(gate)?;
    }
    Ok(Entered::In)
}

/// An earlier request has landed, or none of the claim's may.
fn entered_before(standing: &Standing, reply: &mut Reply) -> Result<Entered> {
    if came_in_before(standing, reply)? { Ok(Entered::In) } else { Err(has_left()) }
}

/// Reads whether an earlier request has landed, when one was refused.
///
/// # Errors
///
/// The session has ended, or what is there cannot be understood.
fn came_in_before(standing: &Standing, reply: &mut Reply) -> Result<bool> {
    let (seat, node, live) = (reply.key(), reply.key(), reply.key());
    let came = landed(standing, seat, node, Phase::Outside)?;
    if came || live.is_some() { Ok(came) } else { Err(session_ended()) }
}

/// Takes note of where a request landed whose answer was lost, if the claim is thought to be in `phase`;
/// tells whether one did.
pub(super) fn landed(
    standing: &Standing,
    seat: Option<KeyValue>,
    node: Option<KeyValue>,
    phase: Phase,
) -> Result<bool> {
    if Bug::LostReplyForgotten.is_seeded() {
        return Ok(false);
    }
    // An exclusive claim's seat is its node. Who stands behind it is told, or found when it leaves.
    if let Some(node) = node {
        standing.who.took(node.create_revision());
        standing.state.update_silently(|state| {
            if state.phase == phase {
                state.phase = Phase::Waiting(Ahead::UNSOUGHT);
            }
        });
        return Ok(true);
    }
    let Some(seat) = seat else { return Ok(false) };
    let record = error::record(seat.key(), seat.value())?;
    standing.who.took(record.place.map_or(seat.create_revision(), u64::cast_signed));
    standing.publishes(record, seat.mod_revision());
    standing.state.update_silently(|state| {
        if state.phase == phase {
            state.phase = Phase::Outside;
        }
    });
    standing.hold(seat.create_revision())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use lock_core::{ClaimId, Kind, Payload, SessionId};

    use super::*;
    use crate::{
        news::News,
        queue::life::tests::{opens, queue, watch},
    };

    fn claim(queue: &Queue, mode: Mode) -> (LineId, Claim) {
        let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
        let id = ClaimId { session: queue.session, number: 0 };
        let (since, payload) = (std::time::UNIX_EPOCH, Payload::default());
        (line, Claim { id, mode, owner: "o".into(), payload, since })
    }

    #[tokio::test]
    async fn c6_a_try_that_left_with_its_session_does_not_say_that_the_line_is_busy() {
        let queue = queue();
        let (line, claim) = claim(&queue, Mode::Present);
        queue.leave(&line, claim.id).await.unwrap();
        assert!(queue.try_join(&line, &claim).await.unwrap().is_none());
        queue.lease.lose(LostReason::Closed);
        assert_eq!(queue.try_join(&line, &claim).await.unwrap_err().kind(), ErrorKind::Closed);
    }

    /// Whether a try may have taken effect that fails because the store is not there, when its claim is like this.
    async fn effect_of_a_try(mode: Mode, prepare: impl FnOnce(&Queue, &Standing)) -> Effect {
        let queue = queue();
        let (line, claim) = claim(&queue, mode);
        let standing = queue.enrol(&line, &claim).unwrap().unwrap();
        prepare(&queue, &standing);
        queue.try_join(&line, &claim).await.unwrap_err().effect()
    }

    #[tokio::test]
    async fn c13_a_try_that_fails_once_its_claim_may_be_in_line_may_have_taken_effect() {
        let waits = |standing: &Standing| {
            standing.who.took(7);
            standing.state.update(|state| state.phase = Phase::Waiting(Ahead::UNSOUGHT));
        };
        let only_looks = effect_of_a_try(Mode::Permits { count: 1, limit: 1 }, |_, _| {}).await;
        assert_eq!(only_looks, Effect::None);
        let looks = effect_of_a_try(Mode::Exclusive, |_, standing| waits(standing)).await;
        assert_eq!(looks, Effect::Unknown, "it looks at the line in which it is");
        let stops = effect_of_a_try(Mode::Exclusive, |_, standing| {
            standing.state.update(|state| state.phase = Phase::Holding(7));
            standing.stop(&Error::new(ErrorKind::Refused, "no"));
        });
        assert_eq!(stops.await, Effect::Unknown, "it waits for its turn");
        let leaves = effect_of_a_try(Mode::Exclusive, |queue, standing| {
            waits(standing);
            locked(&queue.table).left.insert(standing.who.id.number);
        });
        assert_eq!(leaves.await, Effect::Unknown, "it leaves");
    }

    #[tokio::test]
    async fn who_is_evicted_before_its_join_is_answered_is_forgotten_or_leaves() {
        let queue = queue();
        let (line, claim) = claim(&queue, Mode::Exclusive);
        let standing = queue.enrol(&line, &claim).unwrap().unwrap();
        standing.hear(News::Evicted, 7).unwrap();
        standing.state.update(|state| state.unanswered = 1);
        assert_eq!(queue.not_in_line(&standing).effect(), Effect::Unknown, "a join may still land");
        standing.state.update(|state| state.unanswered = 0);
        let error = queue.not_in_line(&standing);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::NotHeld, Effect::None));
        let table = locked(&queue.table);
        assert!(table.claims.is_empty() && table.lines.is_empty() && table.left.contains(0));
    }

    const AHEAD: ClaimId = ClaimId { session: SessionId::new(2), number: 0 };

    /// Whom a claim waits for once it is answered that it follows a claim of another session, when this happens before.
    fn ahead_after(before: impl Fn(&Arc<Queue>, &Standing)) -> Phase {
        let queue = queue();
        let (line, claim) = claim(&queue, Mode::Exclusive);
        let standing = queue.enrol(&line, &claim).unwrap().unwrap();
        let expect = || locked(&queue.table).coming.expect(&line, Some(AHEAD));
        expect();
        assert!(queue.comes_last(&line).is_none(), "the end of that session would not be noticed");
        watch(&queue, AHEAD.session);
        expect();
        let last = queue.comes_last(&line).unwrap();
        assert!(queue.comes_last(&line).is_none(), "two claims follow the same one");
        before(&queue, &standing);
        assert!(matches!(queue.followed(&standing, Reply::done(7), last).unwrap(), Entered::In));
        standing.state.read(|state| state.phase)
    }

    #[tokio::test]
    async fn c4_who_joins_and_links_in_one_misses_nothing_that_comes_before_the_answer() {
        let (linked, links_again) =
            (Phase::Waiting(Ahead::Linked(AHEAD)), Phase::Waiting(Ahead::Found(AHEAD)));
        assert_eq!(ahead_after(|_, _| {}), linked);
        let then_ahead = ClaimId { number: 7, ..AHEAD };
        for (news, then) in [
            (News::Turn, Phase::Holding(7)),
            (News::Head, Phase::Head(Gate::Unknown)),
            (News::Behind(then_ahead), Phase::Waiting(Ahead::Found(then_ahead))),
        ] {
            assert_eq!(ahead_after(|_, standing| standing.hear(news, 8).unwrap()), then, "{news:?}");
        }
        assert_eq!(ahead_after(|_, standing| standing.hear(News::Followed(AHEAD), 8).unwrap()), linked);
        assert_eq!(ahead_after(|queue, _| queue.session_ended(AHEAD.session)), links_again);
        assert_eq!(ahead_after(|queue, _| opens(queue, AHEAD.session)), links_again);
        let evicted = ahead_after(|_, standing| standing.hear(News::Evicted, 8).unwrap());
        assert_eq!(evicted, Phase::Gone);
    }
}
