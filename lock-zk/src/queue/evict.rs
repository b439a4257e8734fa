//! An operator's force-release.

use futures_util::future::join_all;
use lock_core::{ClaimId, Error, LineId, Mode, Result};
use zookeeper_client as zk;

use super::Queue;
use crate::{
    connection::persist,
    error::{is_unanswered, of_change, translated},
    paths::{LinePaths, holder, place, sequence},
    place::Place,
};

impl Queue {
    /// Removes anybody's claim; tells whether it was there. Its session notices by its watch, whoever is
    /// next by its own.
    pub(crate) async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let paths = self.namespace.line(line);
        let mut removed = false;
        loop {
            self.connection.sync(paths.line()).await?;
            // In the order in which a claim moves: one that does so meanwhile is met again.
            let mut nodes = self.places_of(line, &paths, claim).await?;
            nodes.extend(self.seats_of(&paths, claim).await?);
            if nodes.is_empty() {
                return Ok(removed);
            }
            for node in nodes {
                removed |= self.remove(&node).await?;
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

    async fn places_of(&self, line: &LineId, paths: &LinePaths, claim: ClaimId) -> Result<Vec<String>> {
        let client = self.connection.client()?;
        let Some(queue) = self.look_for_queue(line, paths).await? else { return Ok(Vec::new()) };
        let places: Vec<String> = self
            .names(&queue)
            .await?
            .iter()
            .filter_map(|name| sequence(name))
            .map(|at| place(&queue, at))
            .collect();
        let read = join_all(places.iter().map(|path| async {
            let said = persist!(self.connection, client.get_data(path));
            Ok::<_, lock_core::Error>(said.ok().and_then(|(data, _)| Place::read(path, &data).ok()))
        }));
        let found = places.iter().zip(read.await).map(|(path, read)| Ok((path, read?)));
        let found: Result<Vec<_>> = found.collect();
        Ok(found?
            .into_iter()
            .filter(|(_, place)| place.as_ref().is_some_and(|place| place.claim == claim))
            .map(|(path, _)| path.clone())
            .collect())
    }

    async fn seats_of(&self, paths: &LinePaths, claim: ClaimId) -> Result<Vec<String>> {
        let client = self.connection.client()?;
        let holders = self.names(&paths.holders()).await?;
        let mine = holders.iter().filter(|name| holder(name).is_some_and(|(whose, _)| whose == claim));
        let mut seats: Vec<String> = mine.map(|name| format!("{}/{name}", paths.holders())).collect();
        if let Some(present) = paths.seat(Mode::Present, claim) {
            let there = persist!(self.connection, client.check_stat(&present)).map_err(translated)?;
            seats.extend(there.map(|_| present));
        }
        Ok(seats)
    }
}
