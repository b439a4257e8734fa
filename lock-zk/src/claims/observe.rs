//! Looking at a line, once or for as long as it changes.

use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::stream::unfold;
use lock_core::{Error, Line, LineId, Result};

use super::{Claims, Protocol};
use crate::mirror::Mirror;

/// Somebody who follows a line.
struct Observer<P: Protocol> {
    claims: Arc<Claims<P>>,
    id: LineId,
    mirror: Mirror,
    last: Option<Line>,
}

impl<P: Protocol> Claims<P> {
    /// The line as it is.
    pub(crate) async fn inspect(&self, id: &LineId) -> Result<Line> {
        self.connection.sync(self.namespace.root()).await?;
        P::see(self, id, &mut Mirror::of_a_moment()).await
    }

    /// The line as it is, and whenever it has changed.
    pub(crate) fn changes(self: &Arc<Self>, id: &LineId) -> BoxStream<'static, Result<Line>> {
        let observer =
            Observer { claims: self.clone(), id: id.clone(), mirror: Mirror::lasting(), last: None };
        Box::pin(unfold(Some(observer), |observer| async {
            Some(match observer?.next().await {
                Ok((line, observer)) => (Ok(line), Some(observer)),
                Err(error) => (Err(error), None),
            })
        }))
    }
}

impl<P: Protocol> Observer<P> {
    async fn next(self) -> Result<(Line, Self)> {
        let lease = self.claims.connection.lease.clone();
        tokio::select! { biased;
            reason = lease.lost() => Err(Error::lost(reason)),
            next = self.next_line() => next,
        }
    }

    async fn next_line(mut self) -> Result<(Line, Self)> {
        loop {
            if self.last.is_some() {
                self.mirror.changed().await?;
            }
            let connection = self.claims.connection.clone();
            let (mut line, observer) = connection.driven(self.look()).await?;
            self = observer;
            let Some(last) = &self.last else {
                self.last = Some(line.clone());
                return Ok((line, self));
            };
            line.revision = line.revision.max(last.revision);
            // A line that is as it was, at a later revision: somebody may have come and gone.
            let unchanged = last.revision == line.revision && last.places == line.places;
            self.last = Some(line.clone());
            if !unchanged {
                return Ok((line, self));
            }
        }
    }

    async fn look(mut self) -> Result<(Line, Self)> {
        if self.last.is_none() {
            // The first look is no older than the call.
            self.claims.connection.sync(self.claims.namespace.root()).await?;
        }
        let line = P::see(&self.claims, &self.id, &mut self.mirror).await?;
        Ok((line, self))
    }
}
