//! From joined to the head of the queue: each claim watches the one in front of it.

use futures_util::future::join;
use lock_core::{Result, bug::Bug};
use zookeeper_client as zk;

use super::{Queue, Standing, Work, ahead::Ahead};
use crate::{
    claims::{At, News, Vigil, Watch},
    connection::persist,
    error::{is_unanswered, translated},
    paths::{place, sequence},
};

/// After so many of those in front were missing, one listing costs less than asking for each.
const MISSES: u32 = 16;

/// What the one in front did.
enum Front {
    /// It is there, and this tells when that changes.
    There(Watch),
    Missing,
}

impl Queue {
    /// Waits until nobody is ahead.
    pub(super) async fn reach_the_head(
        &self,
        standing: &Standing,
        work: &mut Work,
        own: &At,
        vigil: &mut Vigil,
    ) -> Result<()> {
        // Whoever was ahead may have passed the gate: what the floor says of that must be read after all of
        // them are known to be gone.
        let (mut misses, mut read) = (0, true);
        while let Some(ahead) = work.way.ahead.nearest(work.way.floor) {
            match self.look_ahead(standing, &place(&own.queue, ahead), vigil).await? {
                // An event proves nothing about what the next answer shows: the client may have reconnected
                // to a server that has not come as far. So the one in front is looked at
                // again, unless the floor tells.
                Front::There(watch) => {
                    work.way.in_vain = true;
                    if self.heard(standing, watch, vigil).await? == News::Gone {
                        if Bug::FrontGoneGrants.is_seeded() {
                            break;
                        }
                        self.learn_floor(standing, work, own).await?;
                        (misses, read) = (0, true);
                    }
                }
                Front::Missing => {
                    work.way.ahead.passed();
                    (misses, read) = (misses + 1, misses == 0);
                    if read {
                        let asked = self.learn_floor(standing, work, own).await?;
                        work.way.in_vain |= !asked;
                    } else if misses == MISSES {
                        self.list(standing, work, &own.queue).await?;
                    }
                }
            }
        }
        if !read {
            self.read_floor(standing, work, &own.queue).await?;
        }
        work.way.is_first();
        // What says that nobody is ahead may be about another who came after this claim was evicted.
        self.keep_vigil(standing, vigil).await?;
        self.is_still_there(standing, vigil).await
    }

    /// How far the queue has come, now that the one in front has gone. Of a claim of this session, the answer to
    /// its release tells; of another, the queue is read: whether that was needed.
    async fn learn_floor(&self, standing: &Standing, work: &mut Work, own: &At) -> Result<bool> {
        if let Some(known) = &work.way.known {
            drop(known.leaving.lock().await);
            let floor = known.floor();
            if floor.is_right_below(own.sequence) {
                work.way.floor = floor;
                return Ok(false);
            }
        }
        self.read_floor(standing, work, &own.queue).await?;
        Ok(true)
    }

    /// The one in front, watched; and the claim's own node, unless it is.
    async fn look_ahead(&self, standing: &Standing, front: &str, vigil: &mut Vigil) -> Result<Front> {
        let client = self.connection.client()?;
        loop {
            let ahead = client.get_and_watch_data(front);
            let (ahead, own) = join(ahead, self.keep_vigil(standing, vigil)).await;
            own?;
            match ahead {
                Ok((_, _, watch)) => return Ok(Front::There(Box::pin(watch.changed()))),
                Err(zk::Error::NoNode) => return Ok(Front::Missing),
                Err(error) if is_unanswered(&error) => self.connection.go_on(error).await?,
                Err(error) => return Err(translated(error)),
            }
        }
    }

    /// Lists who is ahead, once and for all.
    async fn list(&self, standing: &Standing, work: &mut Work, queue: &str) -> Result<()> {
        let client = self.connection.client()?;
        let Some(nearest) = work.way.ahead.nearest(work.way.floor) else { return Ok(()) };
        let listed = match persist!(self.connection, client.list_children(queue)) {
            Ok(listed) => listed,
            Err(zk::Error::NoNode) => return Err(self.missing(standing).await),
            Err(error) => return Err(translated(error)),
        };
        let mut ahead: Vec<i64> =
            listed.iter().filter_map(|name| sequence(name)).filter(|at| *at <= nearest).collect();
        ahead.sort_unstable();
        work.way.ahead = Ahead::Listed(ahead);
        Ok(())
    }
}
