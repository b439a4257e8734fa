//! Withdrawing and releasing.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use lock_core::{ClaimId, Error, Health, LineId, LostReason, Result, sync::locked};
use zookeeper_client as zk;

use super::{
    Queue,
    ahead::Ahead,
    standing::{At, Doubt, Seat, Standing, Work},
};
use crate::{
    connection::{Failed, Step},
    error::{Said, is_unanswered, of_change},
    floor::Floor,
};

/// How many claims leave at a time when all do.
const LEAVING_AT_ONCE: usize = 32;

impl Queue {
    /// Leaves the line, wherever the claim stands; see
    /// [`Session::leave`](lock_core::backend::Session::leave).
    pub(crate) async fn leave(&self, line: &LineId, claim: ClaimId) -> Result<()> {
        let Some(standing) = self.is_leaving(line, claim) else { return Ok(()) };
        standing.end(LostReason::Released);
        let mut work = standing.work.lock().await;
        let left = async {
            self.locate(&standing, &mut work).await?;
            while let Some(path) = standing.path(&work.seat) {
                self.leave_from(&standing, &mut work, &path).await?;
            }
            Ok::<(), Error>(())
        };
        match left.await {
            // All that it had in the store is gone with it.
            Err(error) if error.kind() == lock_core::ErrorKind::SessionLost => {}
            outcome => outcome.map_err(Error::with_unknown_effect)?,
        }
        self.forget(&standing, true);
        Ok(())
    }

    /// Every claim of the session ends for this `reason` and leaves, each for itself, so that whoever is
    /// behind need not look. Where that fails, the end of the session will do.
    pub(crate) async fn leave_all(&self, reason: LostReason) {
        let all: Vec<_> = locked(&self.table).claims.values().cloned().collect();
        stream::iter(all)
            .for_each_concurrent(LEAVING_AT_ONCE, |standing| async move {
                standing.end(reason);
                if let Err(error) = self.leave(&standing.line, standing.id).await {
                    tracing::debug!(claim = %standing.id, %error, "could not leave; its session ends");
                }
            })
            .await;
    }

    /// From here on no join of this claim is sent.
    fn is_leaving(&self, line: &LineId, claim: ClaimId) -> Option<Arc<Standing>> {
        let mut table = locked(&self.table);
        if claim.session == self.session {
            table.left.insert(claim.number);
        }
        let standing = table.claims.get(&claim.number).cloned();
        standing.filter(|standing| standing.id == claim && standing.line == *line)
    }

    /// Tries to take its node away.
    async fn leave_from(&self, standing: &Standing, work: &mut Work, path: &str) -> Result<()> {
        // A session that was abandoned says nothing more.
        if let Health::Lost(reason @ LostReason::Abandoned) = self.connection.lease.health() {
            return Err(Error::lost(reason));
        }
        work.doubt = Some(Doubt { sent: self.connection.runtime.now(), to: None });
        let said = match &work.seat {
            Seat::Queue(at) if work.ahead == Ahead::Nobody => {
                self.leave_as_head(at, work.floor.held, path).await?
            }
            _ => self.connection.client()?.delete(path, None).await,
        };
        match said {
            Ok(()) | Err(zk::Error::NoNode) => (work.doubt, work.seat) = (None, Seat::Nowhere),
            Err(error) if is_unanswered(&error) => {
                self.connection.go_on(error).await?;
                self.locate(standing, work).await?;
            }
            Err(error) => {
                work.doubt = None;
                return Err(of_change(error));
            }
        }
        Ok(())
    }

    /// Tells whoever is behind, in the same transaction, that nobody is left ahead of it.
    async fn leave_as_head(&self, at: &At, held: bool, path: &str) -> Result<Said<()>> {
        let floor = Floor { gone: at.sequence, held }.write();
        let steps = [Step::Delete(path), Step::SetData(&at.queue, floor.as_bytes(), None)];
        match self.connection.commit(&steps).await? {
            Ok(_) => Ok(Ok(())),
            // Without the right to write there, those behind look for themselves.
            Err(Failed { at: Some(1), error: zk::Error::NoAuth }) => {
                Ok(self.connection.client()?.delete(path, None).await)
            }
            Err(Failed { error, .. }) => Ok(Err(error)),
        }
    }
}
