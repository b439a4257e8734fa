//! An operator's force-release.

use futures_util::future::join_all;
use lock_core::{ClaimId, LineId, Result};
use zookeeper_client as zk;

use super::Queue;
use crate::{
    connection::persist,
    error::of_change,
    paths::{LinePaths, holder, place, sequence},
    place::Place,
};

impl Queue {
    /// Removes anybody's claim; tells whether it was there. Its session notices by its watch, whoever is
    /// next by its own.
    pub(crate) async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let paths = self.namespace.line(line);
        self.connection.sync(paths.line()).await?;
        // In the order in which a claim moves: one that does so meanwhile is met again.
        let queued = self.remove(self.places_of(line, &paths, claim).await?).await?;
        let held = self.remove(self.seats_of(&paths, claim).await?).await?;
        Ok(queued || held)
    }

    async fn remove(&self, nodes: Vec<String>) -> Result<bool> {
        let client = self.connection.client()?;
        let mut removed = false;
        for path in nodes {
            match persist!(self.connection, client.delete(&path, None)) {
                Ok(()) => removed = true,
                Err(zk::Error::NoNode) => {}
                Err(error) => return Err(of_change(error)),
            }
        }
        Ok(removed)
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
        let holders = self.names(&paths.holders()).await?;
        let mine = holders.iter().filter(|name| holder(name).is_some_and(|(whose, _)| whose == claim));
        let mut seats: Vec<String> = mine.map(|name| format!("{}/{name}", paths.holders())).collect();
        seats.extend(paths.seat(lock_core::Mode::Present, claim));
        Ok(seats)
    }
}
