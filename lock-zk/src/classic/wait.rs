//! From joined to granted: each claim watches the one before it.

use futures_util::future::join;
use lock_core::{Mode, Result};
use zookeeper_client as zk;

use super::{Queue, Standing, Work, enter::before};
use crate::{
    claims::{At, News, Seat, Vigil, Watch},
    connection::persist,
    error::{is_unanswered, translated},
};

impl Queue {
    /// Waits until the claim holds; the watch on its node.
    ///
    /// Nobody comes in before a node that is there, and no name is used twice: so who was listed once and has
    /// been seen to be gone, by an event or by an answer, is gone for good, whatever a server shows later.
    pub(super) async fn wait_for_those_ahead(
        &self,
        standing: &Standing,
        work: &mut Work,
    ) -> Result<Option<Watch>> {
        let Seat::Queue(at) = work.seat.clone() else { return Err(self.missing(standing).await) };
        let mut vigil = Vigil::over(at.path());
        let mut ahead = match work.way.take() {
            Some(ahead) => ahead,
            None => self.list(standing, &at, work.record.mode).await?,
        };
        while let Some(nearest) = ahead.last() {
            let nearest = format!("{}/{nearest}", at.queue);
            let gone = match self.look_ahead(standing, &nearest, &mut vigil).await? {
                Some(watch) => self.heard(standing, watch, &mut vigil).await? == News::Gone,
                None => true,
            };
            if gone {
                ahead.pop();
            }
        }
        work.way = Some(ahead);
        self.keep_vigil(standing, &mut vigil).await?;
        self.is_still_there(standing, &mut vigil).await?;
        Ok(vigil.hand_over())
    }

    /// Who stands before the claim, and is in its way.
    async fn list(&self, standing: &Standing, at: &At, mode: Mode) -> Result<Vec<String>> {
        let client = self.connection.client()?;
        match persist!(self.connection, client.list_children(&at.queue)) {
            Ok(listed) => Ok(before(standing.paths.names, (at.sequence, mode), listed)),
            Err(zk::Error::NoNode) => Err(self.missing(standing).await),
            Err(error) => Err(translated(error)),
        }
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
