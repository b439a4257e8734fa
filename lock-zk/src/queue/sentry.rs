//! Watches the nodes of those who hold: whose node goes without having left is told so.

use std::sync::{Arc, Weak};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lock_core::Result;
use tokio::sync::mpsc;
use zookeeper_client::{self as zk, WatchedEvent};

use super::{
    Queue,
    standing::{Seat, Standing},
    wait::{News, news},
};
use crate::{connection::persist, error::translated};

/// A claim that holds, to be watched over.
pub(super) struct Post {
    pub(super) standing: Arc<Standing>,
    /// The watch on its node, if there is one already.
    pub(super) watch: Option<BoxFuture<'static, WatchedEvent>>,
}

/// One task for all holders of a session.
pub(crate) struct Sentry {
    queue: Weak<Queue>,
    posts: mpsc::UnboundedReceiver<Post>,
}

impl Sentry {
    pub(super) fn new(queue: &Arc<Queue>, posts: mpsc::UnboundedReceiver<Post>) -> Self {
        Self { queue: Arc::downgrade(queue), posts }
    }

    /// Until the session is over.
    pub(crate) async fn run(mut self) {
        let Some(lease) = self.queue.upgrade().map(|queue| queue.connection.lease.clone()) else { return };
        let mut watched = FuturesUnordered::new();
        loop {
            tokio::select! { biased;
                _ = lease.lost() => return,
                Some(()) = watched.next(), if !watched.is_empty() => {}
                post = self.posts.recv() => match post {
                    Some(post) => watched.push(watch_over(self.queue.clone(), post)),
                    None => return,
                },
            }
        }
    }
}

/// Until the claim has left, or its node is gone.
async fn watch_over(queue: Weak<Queue>, post: Post) {
    let Post { standing, mut watch } = post;
    while standing.fate.end_reason().is_none() {
        let heard = match watch.take() {
            Some(watch) => news(&watch.await),
            None => Ok(News::Changed),
        };
        let Some(queue) = queue.upgrade() else { return };
        let armed = match heard {
            Ok(_) => queue.watch_holder(&standing).await,
            Err(over) => Err(over),
        };
        match armed {
            Ok(armed) => watch = armed,
            Err(error) => {
                tracing::debug!(claim = %standing.id, %error, "is not watched any more");
                return;
            }
        }
    }
}

impl Queue {
    /// Watches the node of a claim that holds, wherever it is now; `None` when the claim has ended.
    async fn watch_holder(&self, standing: &Standing) -> Result<Option<BoxFuture<'static, WatchedEvent>>> {
        // It may be on its way to another seat, or leaving.
        let mut work = standing.work.lock().await;
        if standing.fate.end_reason().is_some() {
            return Ok(None);
        }
        self.locate(standing, &mut work).await?;
        let Some(path) = standing.path(&work.seat) else { return Err(self.missing(standing).await) };
        let client = self.connection.client()?;
        match persist!(self.connection, client.get_and_watch_data(&path)) {
            Ok((_, stat, watch)) if is_its_own(standing, &work.seat, stat.czxid) => {
                Ok(Some(Box::pin(watch.changed())))
            }
            Ok(_) | Err(zk::Error::NoNode) => Err(self.missing(standing).await),
            Err(error) => Err(translated(error)),
        }
    }
}

/// Queues that are made anew use their names again.
fn is_its_own(standing: &Standing, seat: &Seat, czxid: i64) -> bool {
    !matches!(seat, Seat::Queue(_)) || czxid.cast_unsigned() == standing.place()
}
