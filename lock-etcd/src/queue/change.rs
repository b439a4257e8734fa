//! What a holder may change where it stands.

use std::sync::Arc;

use etcd_client::Txn;
use lock_core::{Error, ErrorKind, Mode, Payload, Result, Ticket, backend::Record, sync::locked};

use super::{
    Queue,
    standing::{Phase, Standing, State},
    steps::Refusal,
    txn::{Departure, To},
};
use crate::{
    error::{self, not_granted},
    news::News,
    request::{created_at, delete, get, put_leased, untouched},
};

impl Queue {
    /// The key that says that the claim holds, and the revision at which it was created.
    pub(crate) fn seat(&self, standing: &Standing) -> Result<(String, i64)> {
        self.lease.check()?;
        let seat = standing.state.read(|state| match state.phase {
            Phase::Holding(seat) => Some((standing.who.keys.seat(state.mode, standing.who.id), seat)),
            _ => None,
        });
        seat.ok_or_else(not_granted)
    }

    /// Replaces the payload; see [`Session::update`](lock_core::backend::Session::update).
    pub(crate) async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        let standing = self.standing(ticket)?;
        loop {
            let (seat, created) = self.seat(&standing)?;
            let (record, written) = standing.record();
            let record = Record { payload: payload.clone(), ..record };
            // Against an earlier request that lands late.
            let request = Txn::new()
                .when(vec![created_at(&*seat, created), untouched(&*seat, written)])
                .and_then(vec![put_leased(seat.clone(), record.write(), self.session)])
                .or_else(vec![get(seat)]);
            let mut reply = self.change(request).await?;
            if reply.succeeded {
                standing.publishes(record, reply.revision);
                return Ok(());
            }
            let seat = reply.key().filter(|seat| seat.create_revision() == created);
            let seat = seat.ok_or_else(not_granted)?;
            if seat.value() == record.write() {
                standing.publishes(record, seat.mod_revision());
                return Ok(());
            }
            locked(&standing.record).1 = seat.mod_revision();
        }
    }

    /// Weakens the mode; see [`Session::set_mode`](lock_core::backend::Session::set_mode).
    pub(crate) async fn set_mode(self: &Arc<Self>, ticket: &Ticket, weaker: Mode) -> Result<()> {
        weaker.validate()?;
        let standing = self.standing(ticket)?;
        loop {
            self.seat(&standing)?;
            let state = standing.state.read(Clone::clone);
            if state.mode == weaker {
                return Ok(());
            }
            if !state.mode.may_weaken_to(weaker) {
                let message = format!("a claim that is {} cannot become {weaker}", state.mode);
                return Err(Error::new(ErrorKind::InvalidOption, message));
            }
            let begins = standing.state.update_silently(|state| {
                let begins = !state.leaving && matches!(state.phase, Phase::Holding(_));
                state.weakening = if begins { Some(weaker) } else { state.weakening };
                begins
            });
            if !begins {
                return Err(not_granted());
            }
            let weakened = match state.mode {
                Mode::Exclusive => self.pass_the_gate_on(&standing, weaker).await?,
                _ => self.change_seats(&standing, &state, weaker).await?,
            };
            let Some(seat) = weakened else { continue };
            standing.state.update_silently(|state| {
                if matches!(state.phase, Phase::Holding(_)) {
                    (state.mode, state.phase, state.weakening) = (weaker, Phase::Holding(seat), None);
                }
            });
        }
    }

    /// From the head of the queue to a seat behind the gate; the seat's create revision when that is done.
    async fn pass_the_gate_on(self: &Arc<Self>, standing: &Standing, weaker: Mode) -> Result<Option<i64>> {
        let (record, gaps) = (standing.record_as(weaker), self.gaps());
        let state = standing.state.read(Clone::clone);
        let to = To::Weaker(record.clone());
        let departure = Departure::own(&standing.who, &state, None, News::Head, to);
        let mut reply = self.change(departure.txn()).await?;
        if reply.succeeded {
            standing.publishes(record, reply.revision);
            self.tell_here(standing, &departure, reply.revision, gaps);
            return Ok(Some(reply.revision));
        }
        let refusal = Refusal::read(&departure, &mut reply);
        if let Some(seat) = &refusal.seat {
            // An earlier request was not answered.
            standing.publishes(record, seat.create_revision());
            self.those_behind_link(standing);
            return Ok(Some(seat.create_revision()));
        }
        refusal.check()?;
        if refusal.is_gone() {
            return Err(not_granted());
        }
        refusal.noted(standing, &departure);
        Ok(None)
    }

    /// From one seat behind the gate to another, or to fewer permits in the same.
    async fn change_seats(&self, standing: &Standing, state: &State, weaker: Mode) -> Result<Option<i64>> {
        let (who, (from, created)) = (&standing.who, self.seat(standing)?);
        let (before, written) = standing.record();
        let to = who.keys.seat(weaker, who.id);
        let moves = from != to;
        let came_straight_in = created == who.place().cast_signed();
        let place = (moves || !came_straight_in).then(|| who.place());
        let record = Record { mode: weaker, place, ..before };
        let mut then = vec![put_leased(to.clone(), record.write(), self.session)];
        if moves {
            then.push(delete(from.clone()));
        }
        if moves && state.doubt() {
            then.push(put_leased(who.keys.void(who.id), "", self.session));
        }
        // Against an earlier request that lands late: it must not bring permits back.
        let request = Txn::new()
            .when(vec![created_at(&*from, created), untouched(&*from, written)])
            .and_then(then)
            .or_else(vec![get(&*from), get(&*to)]);
        let mut reply = self.change(request).await?;
        if reply.succeeded {
            standing.publishes(record, reply.revision);
            return Ok(Some(if moves { reply.revision } else { created }));
        }
        // An earlier request was not answered, or the seat is gone.
        let (seat, there) = (reply.key(), reply.key());
        if let Some(there) = there.filter(|kv| kv.value() == record.write()) {
            standing.publishes(record, there.mod_revision());
            return Ok(Some(there.create_revision()));
        }
        let seat = seat.filter(|seat| seat.create_revision() == created).ok_or_else(not_granted)?;
        // A payload that was written by a request that was not answered.
        let now = error::record(seat.key(), seat.value())?;
        standing.publishes(now, seat.mod_revision());
        Ok(None)
    }
}
