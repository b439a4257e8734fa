//! Where a claim is whose request was not answered.
//!
//! The name of a new place is the server's choice, so a lost answer is looked for among what the session has
//! in the line, by the claim that each place names. First an empty write is carried out: no earlier request
//! of the session can come after it.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;
use lock_core::{ClaimId, LineId, Mode, Moment, Result, sync::locked};
use zookeeper_client::Stat;

use super::{
    Queue,
    standing::{At, Doubt, Seat, Standing, Work},
};
use crate::{
    connection::persist,
    error::{Said, translated},
    paths::{LinePaths, sequence},
    place::Place,
};

/// What a session has in a line's queue, counted once for all that look for themselves.
#[derive(Default)]
pub(super) struct Census(tokio::sync::Mutex<Option<(Moment, Arc<Counted>)>>);

type Counted = HashMap<ClaimId, (At, Stat)>;

impl Queue {
    /// Settles the doubt: afterwards the claim's seat is known.
    pub(super) async fn locate(&self, standing: &Standing, work: &mut Work) -> Result<()> {
        let Some(Doubt { sent, to }) = work.doubt.clone() else { return Ok(()) };
        if let Some((path, record)) = to
            && self.is_ours(&path).await?.is_some()
        {
            work.record = record;
            standing.is_beyond(work, path, 0);
            work.doubt = None;
            return Ok(());
        }
        match (work.seat.clone(), work.record.mode) {
            (Seat::Nowhere, Mode::Present) => {
                if let Some(path) = standing.paths.seat(Mode::Present, standing.id)
                    && let Some(stat) = self.is_ours(&path).await?
                {
                    standing.is_beyond(work, path, stat.czxid);
                }
            }
            (Seat::Nowhere, _) => {
                let counted = self.census(&standing.line, &standing.paths, sent).await?;
                if let Some((at, stat)) = counted.get(&standing.id) {
                    tracing::debug!(claim = %standing.id, "a join that was not answered has landed");
                    standing.sits(work, at.clone(), stat);
                }
            }
            (seat @ (Seat::Queue(_) | Seat::Beyond(_)), _) => {
                let path = standing.path(&seat).unwrap_or_default();
                work.seat = if self.is_ours(&path).await?.is_some() { seat } else { Seat::Nowhere };
            }
        }
        work.doubt = None;
        Ok(())
    }

    /// The node at `path`, if it is this session's.
    async fn is_ours(&self, path: &str) -> Result<Option<Stat>> {
        let client = self.connection.client()?;
        self.connection.settle().await?;
        let stat = persist!(self.connection, client.check_stat(path)).map_err(translated)?;
        Ok(stat.filter(|stat| stat.ephemeral_owner == self.connection.owner))
    }

    /// What this session has in a line's queue, counted after `since`.
    async fn census(&self, line: &LineId, paths: &LinePaths, since: Moment) -> Result<Arc<Counted>> {
        let census = locked(&self.table).lines.get(line).map(|line| line.census.clone()).unwrap_or_default();
        let mut last = census.0.lock().await;
        if let Some((begun, counted)) = &*last
            && *begun > since
        {
            return Ok(counted.clone());
        }
        let begun = self.connection.runtime.now();
        let counted = Arc::new(self.count(paths).await?);
        *last = Some((begun, counted.clone()));
        Ok(counted)
    }

    async fn count(&self, paths: &LinePaths) -> Result<Counted> {
        let (client, queues) = (self.connection.client()?, paths.queues());
        self.connection.settle().await?;
        let listed = persist!(self.connection, client.list_ephemerals(&queues)).map_err(translated)?;
        let places: Vec<(String, At)> =
            listed.into_iter().filter_map(|path| Some((path.clone(), place_at(&path)?))).collect();
        let read: Vec<Said<(Vec<u8>, Stat)>> = persist!(self.connection, async {
            let all = join_all(places.iter().map(|(path, _)| client.get_data(path))).await;
            match all
                .iter()
                .find_map(|said| said.as_ref().err().filter(|error| crate::error::is_unanswered(error)))
            {
                Some(error) => Err(error.clone()),
                None => Ok(all),
            }
        })
        .map_err(translated)?;
        let claims = places.into_iter().zip(read).filter_map(|((path, at), said)| {
            let (data, stat) = said.ok()?;
            Some((Place::read(&path, &data).ok()?.claim, (at, stat)))
        });
        Ok(claims.collect())
    }
}

/// The place that lies at this path.
fn place_at(path: &str) -> Option<At> {
    let (queue, name) = path.rsplit_once('/')?;
    Some(At { queue: queue.into(), sequence: sequence(name)? })
}
