//! Withdrawing and releasing, which are one transaction; a claim that was alone just deletes its node.

use std::sync::Arc;

use lock_core::{ClaimId, Error, ErrorKind, Health, LineId, LostReason, Mode, Result, sync::locked};

use super::{
    Queue, enter, named,
    standing::{Ahead, Phase, Standing, State},
    steps::Refusal,
    txn::{self, Departure, To},
};
use crate::{news::News, request::get, session::why_it_leaves};

impl Queue {
    /// Leaves the line, wherever the claim stands; see
    /// [`Session::leave`](lock_core::backend::Session::leave).
    pub(crate) async fn leave(self: &Arc<Self>, line: &LineId, claim: ClaimId) -> Result<()> {
        let standing = {
            let mut table = locked(&self.table);
            if claim.session == self.session {
                // From here on no join is sent.
                table.left.insert(claim.number);
            }
            table.claims.get(&claim.number).cloned()
        };
        let Some(standing) =
            standing.filter(|standing| standing.who.id == claim && standing.who.line == *line)
        else {
            return Ok(());
        };
        standing.fate.end(why_it_leaves(&self.lease));
        standing.state.update(|state| state.leaving = true);
        loop {
            let left = match self.leave_from(&standing).await {
                // With a join that may still land, there is no way but to wait for the session's end.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Full | ErrorKind::Garbled)
                        && !standing.state.read(State::doubt) =>
                {
                    self.leave_by_deleting(&standing, &error).await?
                }
                outcome => outcome?,
            };
            if left {
                break;
            }
            // A session that was abandoned says nothing more.
            if let Health::Lost(reason @ LostReason::Abandoned) = self.lease.health() {
                return Err(Error::lost(reason));
            }
        }
        self.forget(&standing, true);
        Ok(())
    }

    /// Tries to leave from where it is thought to stand; tells whether it has.
    async fn leave_from(self: &Arc<Self>, standing: &Standing) -> Result<bool> {
        let state = standing.state.read(Clone::clone);
        match state.phase {
            _ if state.alone() => self.drop_node(standing).await,
            Phase::Outside | Phase::Gone if state.doubt() => self.void(standing, state.phase).await,
            Phase::Outside | Phase::Gone => Ok(true),
            Phase::Waiting(Ahead::Sought(_)) => {
                let nodes = self.nodes(&standing.who.keys).await?;
                self.found(standing, &nodes);
                Ok(false)
            }
            Phase::Holding(seat) if state.mode != Mode::Exclusive => {
                let unseat = txn::unseat(&standing.who, state.mode, seat, state.doubt(), false);
                if self.change(unseat).await?.succeeded {
                    standing.end(LostReason::Released);
                    return Ok(true);
                }
                self.gone_or_elsewhere(standing, &state).await
            }
            Phase::Waiting(_) | Phase::Head(_) | Phase::Holding(_) => self.depart(standing, &state).await,
        }
    }

    /// As which a program most likely comes back, unless its session is over.
    fn next_claim(&self) -> Option<ClaimId> {
        self.lease.check().ok()?;
        Some(ClaimId { session: self.session, number: locked(&self.table).next_number })
    }

    /// Makes a join impossible that was not answered, or finds that it has landed.
    async fn void(&self, standing: &Standing, phase: Phase) -> Result<bool> {
        let mode = standing.state.read(|state| state.mode);
        let mut reply = self.change(txn::void(&standing.who, mode)).await?;
        let voided = reply.succeeded || !enter::landed(standing, reply.key(), reply.key(), phase)?;
        if voided {
            tracing::debug!(claim = %standing.who.id, "a join that was not answered was made impossible");
        }
        Ok(voided)
    }

    /// Deletes the node of a claim that was alone, without a look at the line. When more than that was
    /// deleted, somebody has linked behind it meanwhile.
    async fn drop_node(self: &Arc<Self>, standing: &Standing) -> Result<bool> {
        let (id, keys) = (standing.who.id, &standing.who.keys);
        standing.state.update_silently(|state| state.dropped = true);
        let gaps = self.gaps();
        let (deleted, revision) = self.connection.delete_range(keys.node(id), keys.after_node(id)).await?;
        match deleted {
            // An operator was faster.
            0 => {
                self.ended(standing, LostReason::Released);
                Ok(true)
            }
            1 => {
                standing.end(LostReason::Released);
                let late = standing.state.read(|state| state.follower);
                if let Some(late) = late {
                    // It may have come after that: then others may have passed the gate over the tail that was
                    // left, which a shared claim that tries does not touch.
                    self.news_here(late, News::Head, revision, gaps);
                }
                // If that one was evicted meanwhile, the tail was given back.
                self.leave_tail_behind(&standing.who, late.is_some());
                Ok(true)
            }
            _ => {
                let next = self.who_was_behind(standing, revision).await?;
                self.dropped(standing, next).await
            }
        }
    }

    /// The claim that was linked behind one that was gone from this revision on, and what to tell it.
    async fn who_was_behind(&self, standing: &Standing, gone: i64) -> Result<Option<(ClaimId, News)>> {
        let (id, keys) = (standing.who.id, &standing.who.keys);
        let next = match self.connection.get_at(keys.next(id), gone - 1).await {
            Ok(next) => next.and_then(|next| named(next.value())).map(|next| (next, News::Turn)),
            Err(error) => {
                // The history was compacted, say. Meanwhile others may have passed the gate.
                tracing::debug!(claim = %id, %error, "who stands behind a claim that has gone is looked up");
                let nodes = self.nodes(keys).await.map_err(Error::with_unknown_effect)?;
                nodes.after(standing.who.place()).map(|next| (next, News::Head))
            }
        };
        Ok(next)
    }

    /// The node is gone, and whoever is next may not know.
    async fn dropped(self: &Arc<Self>, standing: &Standing, news: Option<(ClaimId, News)>) -> Result<bool> {
        let told = match news {
            Some(news) => self.change(txn::tell(&self.namespace, &standing.who.keys, news)).await?.succeeded,
            None => false,
        };
        if !told {
            self.leave_tail_behind(&standing.who, false);
        }
        self.ended(standing, LostReason::Released);
        Ok(true)
    }

    async fn depart(self: &Arc<Self>, standing: &Standing, state: &State) -> Result<bool> {
        let Some((behind, news)) = state.parting() else { return Ok(false) };
        let departure = Departure::own(&standing.who, state, behind, news, To::Nowhere);
        let (back, expected) = (self.next_claim(), self.comes_next(&departure));
        let (departure, gaps) = (Departure { back, expected, ..departure }, self.gaps());
        let mut reply = self.change(departure.txn()).await?;
        if reply.succeeded {
            self.departed(standing, &departure, reply.revision, gaps);
            return Ok(true);
        }
        if let Some(expected) = departure.expected {
            reply = reply.nested()?;
            if reply.succeeded {
                self.departed(standing, &departure.handing_on_to(expected), reply.revision, gaps);
                return Ok(true);
            }
        }
        let refusal = Refusal::read(&departure, &mut reply);
        if refusal.is_gone() && state.dropped {
            // By a deletion that was not answered: whom it told of is lost. Meanwhile others may have passed
            // the gate.
            let next = self.nodes(&standing.who.keys).await?.after(standing.who.place());
            return self.dropped(standing, next.map(|next| (next, News::Head))).await;
        }
        if refusal.is_gone() {
            return self.gone_or_elsewhere(standing, state).await;
        }
        let noted = refusal.noted(standing, &departure);
        if refusal.check().is_err() {
            // Somebody else wrote there, so who is behind us is to be looked up.
            let next = self.nodes(&standing.who.keys).await?.after(standing.who.place());
            standing.state.update_silently(|state| state.next = next);
        }
        if !noted && behind.is_some() {
            // The one ahead has gone, unless news of that came meanwhile.
            standing.state.update_silently(|state| {
                if state.parting().is_some_and(|(ahead, _)| ahead == behind) {
                    state.phase = Phase::Waiting(Ahead::UNSOUGHT);
                }
            });
        }
        Ok(false)
    }

    /// It has left, and whoever is next has been told.
    fn departed(self: &Arc<Self>, standing: &Standing, departure: &Departure<'_>, revision: i64, gaps: u64) {
        standing.end(LostReason::Released);
        self.tell_here(standing, departure, revision, gaps);
    }

    /// Leaves a store that is full, or a line with keys that outlived their session: such a store refuses
    /// every transaction, but no deletion. Whoever is behind is told by taking its session's bell away,
    /// which makes that session look; the next who comes clears the tail away.
    async fn leave_by_deleting(self: &Arc<Self>, standing: &Standing, why: &Error) -> Result<bool> {
        tracing::warn!(claim = %standing.who.id, error = %why, "leaves by deleting its keys");
        // To the end: half way, nobody else knows that there is somebody to tell.
        while let Err(error) = self.delete_and_tell(standing).await {
            if error.kind() != ErrorKind::Unavailable || self.lease.check().is_err() {
                return Err(error);
            }
            self.pause().await;
        }
        self.ended(standing, LostReason::Released);
        Ok(true)
    }

    async fn delete_and_tell(&self, standing: &Standing) -> Result<()> {
        let who = &standing.who;
        for key in [who.keys.node(who.id), who.keys.next(who.id)].into_iter().chain(standing.seats()) {
            self.connection.delete(key).await?;
        }
        match self.nodes(&who.keys).await?.after(who.place()) {
            Some(next) => self.connection.delete(self.namespace.bell(next.session)).await,
            None => Ok(()),
        }
    }

    /// It is not where it was: gone for good, unless a last step of its own was not answered.
    async fn gone_or_elsewhere(self: &Arc<Self>, standing: &Standing, state: &State) -> Result<bool> {
        let who = &standing.who;
        let admitted = matches!(state.phase, Phase::Head(_)).then_some(state.mode);
        let weakening = standing.state.read(|state| state.weakening);
        for mode in admitted.into_iter().chain(weakening) {
            let seat = get(who.keys.seat(mode, who.id));
            if let Some(seat) = self.look(vec![seat]).await?.key() {
                standing.state.update_silently(|state| (state.mode, state.weakening) = (mode, None));
                self.seated(standing, mode, seat.create_revision())?;
                return Ok(false);
            }
        }
        self.ended(standing, LostReason::Released);
        Ok(true)
    }
}
