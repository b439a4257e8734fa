//! Joining and trying.

use std::sync::Arc;

use etcd_client::KeyValue;
use lock_core::{Claim, Effect, Error, ErrorKind, Grant, LineId, LostReason, Result, Ticket};

use super::{
    Go,
    standing::{Ahead, Standing},
    txn,
};
use crate::{
    error::{full, has_left},
    request::{Reply, get, some_keys},
};

impl Go {
    /// Takes a place in the line; see [`Session::join`](lock_core::backend::Session::join).
    pub(super) async fn join(&self, line: &LineId, claim: &Claim) -> Result<Ticket> {
        let standing = self.enrol(line, claim)?.ok_or_else(has_left)?;
        if standing.ticket().is_none() {
            self.enter(&standing, true).await.map_err(|error| self.failed(&standing, error))?;
            self.stays.note(&standing, &self.runtime);
        }
        standing.ticket().ok_or_else(|| self.not_in_line(&standing))
    }

    /// In line without waiting, or not at all; see
    /// [`Session::try_join`](lock_core::backend::Session::try_join).
    pub(super) async fn try_join(
        self: &Arc<Self>,
        line: &LineId,
        claim: &Claim,
    ) -> Result<Option<(Ticket, Grant)>> {
        if let Some(standing) = self.enrol(line, claim)? {
            let tried = self.enter_if_free(&standing).await;
            if tried.map_err(|error| self.failed(&standing, error))? {
                self.stays.note(&standing, &self.runtime);
                let ticket = standing.ticket().ok_or_else(|| self.not_in_line(&standing))?;
                return Ok(Some((ticket, self.granted(&standing).await?)));
            }
        } else {
            // When it has left with its session, nothing has been seen in its way.
            self.lease.check()?;
        }
        // A request that was not answered must not land later.
        self.leave(line, claim.id).await?;
        Ok(None)
    }

    /// Enters unless somebody is in line (C6). Looks first: that costs nobody but us, where a request that
    /// may write would have every member go through the line.
    async fn enter_if_free(&self, standing: &Standing) -> Result<bool> {
        if standing.ticket().is_some() {
            return Ok(true);
        }
        let look = vec![get(&*standing.key), some_keys(standing.keys.prefix(), 1)];
        let mut reply = self.look(look).await?;
        if let Some(mine) = reply.key() {
            // An earlier request has landed, so nobody was there.
            return landed_free(standing, &mine);
        }
        if let Some(other) = reply.key() {
            standing.keys.check_nesting(other.key())?;
            return Ok(false);
        }
        self.enter(standing, false).await
    }

    /// One request to enter; whether the claim is in line.
    async fn enter(&self, standing: &Standing, may_wait: bool) -> Result<bool> {
        let request =
            if may_wait { txn::join(standing, self.session) } else { txn::try_join(standing, self.session) };
        let asked = standing.state.update_silently(|state| {
            state.unanswered += u32::from(!state.leaving);
            !state.leaving
        });
        if !asked {
            return Err(has_left());
        }
        let answer = match self.change(request).await {
            Err(error) if error.kind() == ErrorKind::Full => self.though_full(standing, may_wait).await,
            answer => answer
                .and_then(|reply| if may_wait { joined(standing, reply) } else { tried(standing, reply) }),
        };
        if answer.as_ref().map_or_else(|error| error.effect() == Effect::None, |_| true) {
            standing.state.update_silently(|state| state.unanswered -= 1);
        }
        answer
    }

    /// A store that is full may have done what it refuses: it says so after the fact.
    async fn though_full(&self, standing: &Standing, may_wait: bool) -> Result<bool> {
        let mut reply = self.look(vec![get(&*standing.key)]).await.map_err(Error::with_unknown_effect)?;
        let mine = reply.key().ok_or_else(full)?;
        if may_wait { Ok(landed(standing, &mine)) } else { landed_free(standing, &mine) }
    }

    /// Why a claim could not enter. One that the store does not know of, and cannot come to know of, is forgotten; any
    /// other may be in line, and is to leave.
    fn failed(&self, standing: &Standing, error: Error) -> Error {
        if standing.state.read(|state| state.created().is_none() && !state.doubt()) {
            self.forget(standing, !error.is_retryable());
            return error;
        }
        error.with_unknown_effect()
    }

    /// Why a claim that has entered is not in line: others may take it away at once.
    pub(super) fn not_in_line(&self, standing: &Standing) -> Error {
        let why = standing.fate.end_reason().unwrap_or(LostReason::Released);
        self.failed(standing, self.lease.check().err().unwrap_or_else(|| Error::lost(why)))
    }
}

fn joined(standing: &Standing, mut reply: Reply) -> Result<bool> {
    if !reply.succeeded {
        // An earlier request has landed, or none of the claim's may.
        return Ok(landed(standing, &reply.key().ok_or_else(has_left)?));
    }
    match reply.keys().as_slice() {
        [] => return standing.hold(reply.revision, reply.revision),
        [only] => standing.waits(reply.revision, Some(Ahead::from(only))),
        _ => standing.waits(reply.revision, None),
    }
    Ok(true)
}

fn tried(standing: &Standing, mut reply: Reply) -> Result<bool> {
    if reply.succeeded {
        return standing.hold(reply.revision, reply.revision);
    }
    let (mine, void) = (reply.key(), reply.key());
    match (mine, void) {
        (Some(mine), _) => landed_free(standing, &mine),
        (None, Some(_)) => Err(has_left()),
        (None, None) => Ok(false),
    }
}

/// A request to join has landed; who was there is not known.
fn landed(standing: &Standing, mine: &KeyValue) -> bool {
    standing.waits(mine.create_revision(), None);
    true
}

/// A request to enter a line where nobody was has landed.
fn landed_free(standing: &Standing, mine: &KeyValue) -> Result<bool> {
    standing.hold(mine.create_revision(), mine.create_revision())
}
