//! An operator's force-release.

use lock_core::{ClaimId, Error, LineId, Result};
use zookeeper_client as zk;

use super::{Claims, Protocol};
use crate::error::{is_unanswered, of_change};

impl<P: Protocol> Claims<P> {
    /// Removes anybody's claim; tells whether it was there. Its session notices by its watch, whoever is
    /// next by its own.
    pub(crate) async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let mut removed = false;
        let outcome = self.remove_all(line, claim, &mut removed).await;
        outcome.map_err(|error| if removed { error.with_unknown_effect() } else { error })?;
        Ok(removed)
    }

    async fn remove_all(&self, line: &LineId, claim: ClaimId, removed: &mut bool) -> Result<()> {
        loop {
            self.connection.sync(self.namespace.root()).await?;
            // One that moves meanwhile is met again.
            let nodes = P::nodes_of(self, line, claim).await?;
            if nodes.is_empty() {
                return Ok(());
            }
            for node in nodes {
                *removed |= self.remove(&node).await?;
            }
        }
    }

    /// Whether the node was there.
    async fn remove(&self, path: &str) -> Result<bool> {
        let client = self.connection.client()?;
        let mut unanswered = false;
        loop {
            match client.delete(path, None).await {
                Ok(()) => return Ok(true),
                Err(zk::Error::NoNode) => return Ok(unanswered),
                Err(error) if is_unanswered(&error) => {
                    unanswered = true;
                    self.connection.go_on(error).await.map_err(Error::with_unknown_effect)?;
                }
                Err(error) => return Err(of_change(error)),
            }
        }
    }
}
