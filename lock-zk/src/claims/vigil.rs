//! Watches: on a claim's own node, and on those that it waits for.

use futures_util::{FutureExt, future::BoxFuture};
use lock_core::Result;
use zookeeper_client::{self as zk, EventType, WatchedEvent};

use super::{Claims, Protocol, Standing};
use crate::{connection::persist, error::translated};

/// What is told when a node changes.
pub(crate) type Watch = BoxFuture<'static, WatchedEvent>;

/// A watch on the claim's own place in the queue: what is no longer in line is never granted.
pub(crate) struct Vigil {
    path: String,
    watch: Option<Watch>,
    /// One that is not needed any more, and will fire: giving it up would cost a request.
    pub(crate) spent: Option<Watch>,
}

/// What was heard of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Gone,
    Changed,
}

/// # Errors
///
/// The session is over.
pub(crate) fn news(event: &WatchedEvent) -> Result<News> {
    match event.event_type {
        EventType::NodeDeleted => Ok(News::Gone),
        EventType::Session => Err(translated(zk::Error::SessionExpired)),
        _ => Ok(News::Changed),
    }
}

impl Vigil {
    /// Not kept yet.
    pub(crate) const fn over(path: String) -> Self {
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
    pub(crate) fn hand_over(self) -> Option<Watch> {
        self.watch
    }
}

impl<P: Protocol> Claims<P> {
    /// Watches the claim's own node in the queue, unless that is being done.
    pub(crate) async fn keep_vigil(&self, standing: &Standing<P>, vigil: &mut Vigil) -> Result<()> {
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
    pub(crate) async fn heard(
        &self,
        standing: &Standing<P>,
        mut watch: Watch,
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
    pub(crate) async fn is_still_there(&self, standing: &Standing<P>, vigil: &mut Vigil) -> Result<()> {
        match vigil.news().now_or_never().transpose()? {
            Some(News::Gone) => Err(self.missing(standing).await),
            _ => Ok(()),
        }
    }
}
