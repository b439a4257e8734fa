//! From joined to granted: each claim watches the nearest before it that is in its way.

use futures_util::future::join;
use lock_core::{Mode, Result};
use zookeeper_client as zk;

use super::{Ahead, Queue, Standing, Work};
use crate::{
    claims::{At, News, Seat, Vigil, Watch},
    connection::persist,
    error::{is_unanswered, translated},
};

impl Queue {
    /// Waits until the claim holds; the watch on its node.
    ///
    /// Whoever is heard to be gone is gone for good, but may have left a reader in its own place. And an event
    /// says nothing of the claim's own node, whose event may come behind it when the watches were set again. So
    /// a claim holds when one listing shows both: its own node, and nobody in its way.
    pub(super) async fn wait_for_those_ahead(
        &self,
        standing: &Standing,
        work: &mut Work,
    ) -> Result<Option<Watch>> {
        let Seat::Queue(at) = work.seat.clone() else { return Err(self.missing(standing).await) };
        let mut vigil = Vigil::over(at.path());
        loop {
            match std::mem::replace(&mut work.way, Ahead::Unknown) {
                Ahead::Unknown => work.way = self.list(standing, &at, work.record.mode).await?,
                Ahead::Nearest(name) => {
                    self.until_gone(standing, &format!("{}/{name}", at.queue), &mut vigil).await?;
                }
                Ahead::Nobody => break,
            }
        }
        work.way = Ahead::Nobody;
        self.keep_vigil(standing, &mut vigil).await?;
        self.is_still_there(standing, &mut vigil).await?;
        Ok(vigil.hand_over())
    }

    /// Who stands before the claim, and is in its way.
    async fn list(&self, standing: &Standing, at: &At, mode: Mode) -> Result<Ahead> {
        let client = self.connection.client()?;
        let ahead = match persist!(self.connection, client.list_children(&at.queue)) {
            Ok(listed) => Ahead::of(at, mode, standing.paths.names, listed),
            Err(zk::Error::NoNode) => None,
            Err(error) => return Err(translated(error)),
        };
        match ahead {
            Some(ahead) => Ok(ahead),
            None => Err(self.missing(standing).await),
        }
    }

    /// Waits until another's node is gone.
    async fn until_gone(&self, standing: &Standing, path: &str, vigil: &mut Vigil) -> Result<()> {
        while let Some(watch) = self.look_ahead(standing, path, vigil).await? {
            if self.heard(standing, watch, vigil).await? == News::Gone {
                break;
            }
        }
        Ok(())
    }

    /// The one in front, watched, if it is there; and the claim's own node, unless it is.
    async fn look_ahead(
        &self,
        standing: &Standing,
        nearest: &str,
        vigil: &mut Vigil,
    ) -> Result<Option<Watch>> {
        let client = self.connection.client()?;
        loop {
            let ahead = client.get_and_watch_data(nearest);
            let (ahead, own) = join(ahead, self.keep_vigil(standing, vigil)).await;
            own?;
            match ahead {
                Ok((_, _, watch)) => return Ok(Some(Box::pin(watch.changed()))),
                Err(zk::Error::NoNode) => return Ok(None),
                Err(error) if is_unanswered(&error) => self.connection.go_on(error).await?,
                Err(error) => return Err(translated(error)),
            }
        }
    }
}
