//! Withdrawing and releasing, which are one transaction; and doing so to somebody else.

use std::sync::Arc;

use etcd_client::{KeyValue, Txn};
use lock_core::{ClaimId, ErrorKind, LineId, LostReason, Mode, Result, sync::locked};

use super::{
    Queue, enter, named,
    standing::{Ahead, Gate, Phase, Standing, State, Who},
    steps::Refusal,
    txn::{self, Bells, Departure, Reply, To, get, range},
};
use crate::{keys::Part, news::News};

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
        standing.fate.end(LostReason::Released);
        standing.state.update(|state| state.leaving = true);
        while !self.leave_from(&standing).await? {}
        self.forget(&standing);
        Ok(())
    }

    /// Tries to leave from where it is thought to stand; tells whether it has.
    async fn leave_from(&self, standing: &Standing) -> Result<bool> {
        let state = standing.state.read(Clone::clone);
        let depart = |behind, news| self.depart(standing, &state, behind, news);
        match state.phase {
            Phase::Outside | Phase::Gone if state.doubt() => self.void(standing).await,
            Phase::Outside | Phase::Gone => Ok(true),
            Phase::Waiting(Ahead::Sought(_)) => {
                let nodes = self.nodes(&standing.who.keys).await?;
                self.found(standing, &nodes);
                Ok(false)
            }
            Phase::Waiting(Ahead::Found(ahead) | Ahead::Linked(ahead)) => {
                depart(Some(ahead), News::Behind(ahead)).await
            }
            Phase::Head(Gate::Open) => depart(None, News::Turn).await,
            Phase::Head(_) => depart(None, News::Head).await,
            Phase::Holding(_) if state.mode == Mode::Exclusive => depart(None, News::Turn).await,
            Phase::Holding(seat) => {
                let unseat = txn::unseat(&standing.who, state.mode, seat, state.doubt(), false);
                if self.change(unseat).await?.succeeded {
                    standing.end(LostReason::Released);
                    return Ok(true);
                }
                self.gone_or_elsewhere(standing, &state).await
            }
        }
    }

    /// Makes a join impossible that was not answered, or finds that it has landed.
    async fn void(&self, standing: &Standing) -> Result<bool> {
        let mode = standing.state.read(|state| state.mode);
        let mut reply = self.change(txn::void(&standing.who, mode)).await?;
        let voided = reply.succeeded || !enter::landed(standing, reply.key(), reply.key())?;
        if voided {
            tracing::debug!(claim = %standing.who.id, "a join that was not answered was made impossible");
        }
        Ok(voided)
    }

    async fn depart(
        &self,
        standing: &Standing,
        state: &State,
        behind: Option<ClaimId>,
        news: News,
    ) -> Result<bool> {
        let departure = Departure {
            who: &standing.who,
            touched: state.touched,
            behind,
            next: state.next,
            news,
            to: To::Nowhere,
            evicted: false,
            doubt: state.doubt(),
        };
        let mut reply = self.carry_out(&departure).await?;
        if reply.succeeded {
            standing.end(LostReason::Released);
            return Ok(true);
        }
        let refusal = Refusal::read(&departure, &mut reply);
        if refusal.is_gone() {
            return self.gone_or_elsewhere(standing, state).await;
        }
        let noted = refusal.noted(standing, &departure);
        if refusal.check().is_err() {
            // Somebody else wrote on our node, so who is behind us is to be looked up.
            let next = self.nodes(&standing.who.keys).await?.after(standing.who.place());
            standing.state.update_silently(|state| state.next = next);
        }
        if !noted {
            // The one ahead has gone, and no news of that came yet.
            standing.state.update_silently(|state| {
                if matches!(state.phase, Phase::Waiting(Ahead::Found(ahead) | Ahead::Linked(ahead)) if Some(ahead) == behind)
                {
                    state.phase = Phase::Waiting(Ahead::Sought(0));
                }
            });
        }
        Ok(false)
    }

    /// Tells the next one by its bell; by taking its bell away, when the store is full.
    async fn carry_out(&self, departure: &Departure<'_>) -> Result<Reply> {
        match self.change(departure.txn(Bells::Rung)).await {
            Err(error) if error.kind() == ErrorKind::Full => self.change(departure.txn(Bells::Deleted)).await,
            answer => answer,
        }
    }

    /// It is not where it was: gone for good, unless a last step of its own was not answered.
    async fn gone_or_elsewhere(&self, standing: &Standing, state: &State) -> Result<bool> {
        let who = &standing.who;
        let admitted = matches!(state.phase, Phase::Head(_)).then_some(state.mode);
        for mode in admitted.into_iter().chain(state.weakening) {
            let seat = get(who.keys.seat(mode, who.id));
            if let Some(seat) = self.look(vec![seat]).await?.key() {
                standing.state.update_silently(|state| (state.mode, state.weakening) = (mode, None));
                standing.hold(seat.create_revision())?;
                return Ok(false);
            }
        }
        standing.end(LostReason::Released);
        Ok(true)
    }

    /// Removes anybody's claim; see [`Session::evict`](lock_core::backend::Session::evict).
    pub(crate) async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let who = Who::new(claim, line, &self.namespace);
        loop {
            let look = vec![
                get(who.keys.node(claim)),
                range(who.keys.holders()),
                get(who.keys.seat(Mode::Present, claim)),
            ];
            let mut reply = self.look(look).await?;
            let (node, holders, present) = (reply.key(), reply.keys(), reply.key());
            if let Some(node) = node {
                if self.evict_from_queue(&who, &node).await? {
                    return Ok(true);
                }
                continue;
            }
            let seat = holders.iter().chain(&present).find_map(|kv| match who.keys.part(kv.key())? {
                Part::Shared(holder) if holder == claim => Some((Mode::Shared, kv)),
                Part::Permits(holder) if holder == claim => Some((Mode::Permits { count: 1, limit: 1 }, kv)),
                Part::Present(_) => Some((Mode::Present, kv)),
                _ => None,
            });
            let Some((mode, seat)) = seat else { return Ok(false) };
            let unseat = |evicted| txn::unseat(&who, mode, seat.create_revision(), false, evicted);
            return Ok(self.change_evicting(unseat).await?.succeeded);
        }
    }

    async fn evict_from_queue(&self, who: &Who, node: &KeyValue) -> Result<bool> {
        who.took(node.create_revision());
        let nodes = self.nodes(&who.keys).await?;
        // One that linked and withdrew is still named there.
        let next =
            if node.value().is_empty() { None } else { named(node.value()).or(nodes.after(who.place())) };
        let departure = Departure {
            who,
            touched: node.mod_revision(),
            behind: nodes.before(who.place()),
            next: next.filter(|next| nodes.contain(*next)),
            news: nodes.before(who.place()).map_or(News::Head, News::Behind),
            to: To::Nowhere,
            evicted: false,
            doubt: false,
        };
        let evict = |evicted| Departure { evicted, ..departure.clone() }.txn(Bells::Rung);
        Ok(self.change_evicting(evict).await?.succeeded)
    }

    /// Tells the evicted one too, unless its session has ended and its key is there by somebody's hand.
    async fn change_evicting(&self, request: impl Fn(bool) -> Txn) -> Result<Reply> {
        match self.change(request(true)).await {
            Err(error) if error.kind() == ErrorKind::Garbled => self.change(request(false)).await,
            answer => answer,
        }
    }
}
