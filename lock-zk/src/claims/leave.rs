//! Withdrawing and releasing.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use lock_core::{ClaimId, Error, ErrorKind, Health, LineId, LostReason, Result, sync::locked};
use zookeeper_client as zk;

use super::{Claims, Doubt, Protocol, Seat, Standing, Work};
use crate::error::{is_forbidden, is_unanswered, of_change};

/// How many claims leave at a time when all do.
const LEAVING_AT_ONCE: usize = 32;

impl<P: Protocol> Claims<P> {
    /// Leaves the line, wherever the claim stands; see
    /// [`Session::leave`](lock_core::backend::Session::leave). Who may not do so loses its session: nothing else
    /// would take the claim out of its line.
    pub(crate) async fn leave(&self, line: &LineId, claim: ClaimId) -> Result<()> {
        let Some(standing) = self.is_leaving(line, claim) else { return Ok(()) };
        standing.end(LostReason::Released);
        let mut work = standing.work.lock().await;
        let left = async {
            self.locate(&standing, &mut work).await?;
            while let Some(path) = work.seat.path() {
                self.leave_from(&standing, &mut work, &path).await?;
            }
            Ok::<(), Error>(())
        };
        match left.await {
            // All that it had in the store is gone with it.
            Err(error) if error.kind() == ErrorKind::SessionLost => {}
            Err(error) => {
                if is_forbidden(&error) {
                    self.connection.lease.lose(LostReason::Denied);
                }
                return Err(error.with_unknown_effect());
            }
            Ok(()) => {}
        }
        self.forget(&standing, true);
        Ok(())
    }

    /// Every claim of the session ends for this `reason` and leaves, each for itself, so that whoever is
    /// behind need not look.
    ///
    /// # Errors
    ///
    /// One could not: the end of the session will do.
    pub(crate) async fn leave_all(&self, reason: LostReason) -> Result<()> {
        let all: Vec<_> = locked(&self.table).claims.values().cloned().collect();
        let left = stream::iter(all).map(|standing| async move {
            standing.end(reason);
            let left = self.leave(&standing.line, standing.id).await;
            left.inspect_err(|error| tracing::debug!(claim = %standing.id, %error, "could not leave"))
        });
        left.buffer_unordered(LEAVING_AT_ONCE).fold(Ok(()), async |all, one| all.and(one)).await
    }

    /// From here on no join of this claim is sent.
    fn is_leaving(&self, line: &LineId, claim: ClaimId) -> Option<Arc<Standing<P>>> {
        let mut table = locked(&self.table);
        if claim.session == self.session {
            table.left.insert(claim.number);
        }
        let standing = table.claims.get(&claim.number).cloned();
        standing.filter(|standing| standing.id == claim && standing.line == *line)
    }

    /// Tries to take its node away.
    async fn leave_from(&self, standing: &Standing<P>, work: &mut Work<P>, path: &str) -> Result<()> {
        // A session that was abandoned says nothing more.
        if let Health::Lost(reason @ LostReason::Abandoned) = self.connection.lease.health() {
            return Err(Error::lost(reason));
        }
        work.doubt = Some(Doubt { sent: self.connection.runtime.now(), to: None });
        match P::go(self, work, path).await? {
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
}
