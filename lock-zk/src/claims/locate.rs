//! Where a claim is whose request was not answered.
//!
//! First an empty write is carried out: no earlier request of the session can come after it. Then what was
//! asked for is there, or never will be.

use std::{collections::HashMap, sync::Arc};

use lock_core::{ClaimId, LineId, Moment, Result, sync::locked};
use zookeeper_client::Stat;

use super::{At, Claims, Doubt, Protocol, Seat, Standing, Work};
use crate::{connection::persist, error::translated};

/// What a session has in a line's queue, counted once for all that look for themselves.
#[derive(Default)]
pub(super) struct Census(tokio::sync::Mutex<Option<(Moment, Arc<Counted>)>>);

/// Where the session's claims are, and since which transactions.
pub(crate) type Counted = HashMap<ClaimId, (At, i64)>;

impl<P: Protocol> Claims<P> {
    /// Settles the doubt: afterwards the claim's seat is known.
    pub(crate) async fn locate(&self, standing: &Standing<P>, work: &mut Work<P>) -> Result<()> {
        let Some(Doubt { sent, to }) = work.doubt.clone() else { return Ok(()) };
        if let Some((path, record)) = to
            && self.is_ours(&path).await?.is_some()
        {
            work.record = record;
            standing.sits(work, Seat::Beyond(path), 0);
            work.doubt = None;
            return Ok(());
        }
        match work.seat.path() {
            None => {
                if let Some((seat, place)) = P::find(self, standing, work.record.mode, sent).await? {
                    tracing::debug!(claim = %standing.id, "a join that was not answered has landed");
                    standing.sits(work, seat, place);
                }
            }
            Some(path) => {
                if self.is_ours(&path).await?.is_none() {
                    work.seat = Seat::Nowhere;
                }
            }
        }
        work.doubt = None;
        Ok(())
    }

    /// The node at `path`, if it is this session's.
    pub(crate) async fn is_ours(&self, path: &str) -> Result<Option<Stat>> {
        let client = self.connection.client()?;
        self.connection.settle().await?;
        let stat = persist!(self.connection, client.check_stat(path)).map_err(translated)?;
        Ok(stat.filter(|stat| stat.ephemeral_owner == self.connection.owner))
    }

    /// Where the session has this claim in its line's queue, counted after `since`.
    pub(crate) async fn counted(&self, standing: &Standing<P>, since: Moment) -> Result<Option<(Seat, i64)>> {
        let counted = self.census(&standing.line, &standing.paths, since).await?;
        Ok(counted.get(&standing.id).map(|(at, place)| (Seat::Queue(at.clone()), *place)))
    }

    async fn census(&self, line: &LineId, paths: &P::Paths, since: Moment) -> Result<Arc<Counted>> {
        let census = locked(&self.table).lines.get(line).map(|line| line.census.clone()).unwrap_or_default();
        let mut last = census.0.lock().await;
        if let Some((begun, counted)) = &*last
            && *begun > since
        {
            return Ok(counted.clone());
        }
        let begun = self.connection.runtime.now();
        self.connection.settle().await?;
        let counted = Arc::new(P::count(self, paths).await?);
        *last = Some((begun, counted.clone()));
        Ok(counted)
    }
}
