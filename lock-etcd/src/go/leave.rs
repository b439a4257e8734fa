//! Withdrawing and releasing, which are one transaction; and doing so to somebody else.

use etcd_client::{KeyValue, Txn};
use lock_core::{ClaimId, Error, Health, LineId, LostReason, Result};

use super::{
    Go,
    standing::{Phase, Standing},
    txn, view,
};
use crate::{
    error::garbled,
    request::{created_at, delete, range},
    session::why_it_leaves,
};

impl Go {
    /// Leaves the line, wherever the claim stands; see
    /// [`Session::leave`](lock_core::backend::Session::leave).
    pub(super) async fn leave(&self, line: &LineId, claim: ClaimId) -> Result<()> {
        let Some(leaving) = self.leaving(line, claim) else { return Ok(()) };
        let standing = &*leaving.standing;
        standing.fate.end(why_it_leaves(&self.lease));
        while !self.leave_from(standing).await? {
            // A session that was abandoned says nothing more.
            if let Health::Lost(reason @ LostReason::Abandoned) = self.lease.health() {
                return Err(Error::lost(reason));
            }
        }
        leaving.has_left();
        Ok(())
    }

    /// Tries to leave from where it is thought to stand; tells whether it has.
    async fn leave_from(&self, standing: &Standing) -> Result<bool> {
        let state = standing.state.read(Clone::clone);
        match state.created() {
            None if state.doubt() => self.void(standing).await,
            None => Ok(true),
            Some(created) => {
                let leave = txn::leave(standing, created, state.doubt(), self.session);
                let left = self.change(leave).await?.succeeded;
                standing.end(LostReason::Released);
                // Otherwise it had been taken away, and a join that was not answered is still to be voided.
                Ok(left)
            }
        }
    }

    /// Makes a join impossible that was not answered, or finds that it has landed.
    async fn void(&self, standing: &Standing) -> Result<bool> {
        let mut reply = self.change(txn::void(standing, self.session)).await?;
        if reply.succeeded {
            tracing::debug!(claim = %standing.id, "a join that was not answered was made impossible");
        }
        if let Some(mine) = reply.key().filter(|_| !reply.succeeded) {
            standing.state.update_silently(|state| state.phase = Phase::Waiting(mine.create_revision()));
        }
        Ok(reply.succeeded)
    }

    /// Removes anybody's claim; see [`Session::evict`](lock_core::backend::Session::evict).
    pub(super) async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let keys = self.room.line(line)?;
        let all = self.look(vec![range(keys.prefix())]).await?.keys();
        let named = |kv: &&KeyValue| view::claim(line, &keys, kv).0 == claim;
        let mut places = all.iter().filter(named);
        let Some(place) = places.next() else { return Ok(false) };
        if places.next().is_some() {
            // Written by hand, in one transaction and under one lease.
            return Err(garbled(place.key(), "cannot be told from another in this line"));
        }
        let same = created_at(place.key(), place.create_revision());
        self.change(Txn::new().when(vec![same]).and_then(vec![delete(place.key())]))
            .await
            .map(|reply| reply.succeeded)
    }
}
