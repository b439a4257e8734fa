//! From joined to the head of the queue: each claim watches the one in front of it.

use futures_util::{FutureExt, future::BoxFuture, future::join};
use lock_core::Result;
use zookeeper_client::{self as zk, EventType, WatchedEvent};

use super::{
    Queue,
    ahead::Ahead,
    standing::{At, Standing, Work},
};
use crate::{
    connection::persist,
    error::{is_unanswered, translated},
    paths::sequence,
};

/// After so many of those in front were missing, one listing costs less than asking for each.
const MISSES: u32 = 16;

/// A watch on the claim's own place in the queue: what is no longer in line is never granted.
pub(super) struct Vigil {
    path: String,
    watch: Option<BoxFuture<'static, WatchedEvent>>,
    /// One that is not needed any more, and will fire: giving it up would cost a request.
    pub(super) spent: Option<BoxFuture<'static, WatchedEvent>>,
}

/// What was heard of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Gone,
    Changed,
}

/// # Errors
///
/// The session is over.
pub(super) fn news(event: &WatchedEvent) -> Result<News> {
    match event.event_type {
        EventType::NodeDeleted => Ok(News::Gone),
        EventType::Session => Err(translated(zk::Error::SessionExpired)),
        _ => Ok(News::Changed),
    }
}

impl Vigil {
    /// Not kept yet.
    pub(super) const fn over(path: String) -> Self {
        Self { path, watch: None, spent: None }
    }

    /// Waits for news of the node; for ever when it is not watched.
    async fn news(&mut self) -> Result<News> {
        let Some(watch) = &mut self.watch else { return std::future::pending().await };
        let event = watch.await;
        self.watch = None;
        news(&event)
    }

    /// The watch, to be kept by somebody else.
    pub(super) fn hand_over(self) -> Option<BoxFuture<'static, WatchedEvent>> {
        self.watch
    }
}

/// What the one in front did.
enum Front {
    /// It is there, and this tells when that changes.
    There(BoxFuture<'static, WatchedEvent>),
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
        while let Some(ahead) = work.ahead.nearest(work.floor) {
            match self.look_ahead(standing, &At { sequence: ahead, ..own.clone() }, vigil).await? {
                // An event proves nothing about what the next answer shows: the client may have reconnected
                // to a server that has not come as far. So the one in front is looked at
                // again, unless the floor tells.
                Front::There(watch) => {
                    if self.heard(standing, watch, vigil).await? == News::Gone {
                        self.read_floor(standing, work, &own.queue).await?;
                        (misses, read) = (0, true);
                    }
                }
                Front::Missing => {
                    work.ahead.passed();
                    (misses, read) = (misses + 1, false);
                    if misses == MISSES {
                        self.list(standing, work, &own.queue).await?;
                    }
                }
            }
        }
        if !read {
            self.read_floor(standing, work, &own.queue).await?;
        }
        work.ahead = Ahead::Nobody;
        // What says that nobody is ahead may be about another who came after this claim was evicted.
        self.keep_vigil(standing, vigil).await?;
        self.is_still_there(standing, vigil).await
    }

    /// The one in front, watched; and the claim's own node, unless it is.
    async fn look_ahead(&self, standing: &Standing, ahead: &At, vigil: &mut Vigil) -> Result<Front> {
        let (client, front) = (self.connection.client()?, ahead.path());
        loop {
            let ahead = client.get_and_watch_data(&front);
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

    /// Watches the claim's own node in the queue, unless that is being done.
    pub(super) async fn keep_vigil(&self, standing: &Standing, vigil: &mut Vigil) -> Result<()> {
        if vigil.watch.is_some() {
            return Ok(());
        }
        let client = self.connection.client()?;
        match persist!(self.connection, client.get_and_watch_data(&vigil.path)) {
            Ok((_, _, watch)) => {
                vigil.watch = Some(Box::pin(watch.changed()));
                Ok(())
            }
            Err(zk::Error::NoNode) => Err(self.missing(standing).await),
            Err(error) => Err(translated(error)),
        }
    }

    /// Waits for news of another's node, as long as the claim's own is there.
    pub(super) async fn heard(
        &self,
        standing: &Standing,
        mut watch: BoxFuture<'static, WatchedEvent>,
        vigil: &mut Vigil,
    ) -> Result<News> {
        loop {
            self.keep_vigil(standing, vigil).await?;
            tokio::select! { biased;
                own = vigil.news() => {
                    if own? == News::Gone {
                        return Err(self.missing(standing).await);
                    }
                }
                event = &mut watch => return news(&event),
            }
        }
    }

    /// News of the claim's own node come before any answer that shows a later state.
    pub(super) async fn is_still_there(&self, standing: &Standing, vigil: &mut Vigil) -> Result<()> {
        match vigil.news().now_or_never().transpose()? {
            Some(News::Gone) => Err(self.missing(standing).await),
            _ => Ok(()),
        }
    }

    /// Lists who is ahead, once and for all.
    async fn list(&self, standing: &Standing, work: &mut Work, queue: &str) -> Result<()> {
        let client = self.connection.client()?;
        let Some(nearest) = work.ahead.nearest(work.floor) else { return Ok(()) };
        let listed = match persist!(self.connection, client.list_children(queue)) {
            Ok(listed) => listed,
            Err(zk::Error::NoNode) => return Err(self.missing(standing).await),
            Err(error) => return Err(translated(error)),
        };
        let mut ahead: Vec<i64> =
            listed.iter().filter_map(|name| sequence(name)).filter(|at| *at <= nearest).collect();
        ahead.sort_unstable();
        work.ahead = Ahead::Listed(ahead);
        Ok(())
    }
}
