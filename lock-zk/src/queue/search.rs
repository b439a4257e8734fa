//! Finding claims: anybody's, and those of this session whose requests were not answered.
//!
//! The name of a new place is the server's choice, so a lost answer is looked for among what the session has
//! in the line, by the claim that each place names.

use futures_util::future::join_all;
use lock_core::{ClaimId, LineId, Mode, Result};
use zookeeper_client::Stat;

use super::{Queue, place::Place};
use crate::{
    claims::{At, Counted},
    connection::persist,
    error::{Said, is_unanswered, translated},
    paths::{LinePaths, holder, place, sequence},
};

impl Queue {
    /// Its nodes, in the order in which a claim moves.
    pub(super) async fn nodes_of_claim(&self, line: &LineId, claim: ClaimId) -> Result<Vec<String>> {
        let paths = self.namespace.line(line);
        let mut nodes = self.places_of(line, &paths, claim).await?;
        nodes.extend(self.seats_of(&paths, claim).await?);
        Ok(nodes)
    }

    async fn places_of(&self, line: &LineId, paths: &LinePaths, claim: ClaimId) -> Result<Vec<String>> {
        let client = self.connection.client()?;
        let Some(queue) = self.look_for_queue(line, paths).await? else { return Ok(Vec::new()) };
        let places: Vec<String> = self
            .names(&queue.path)
            .await?
            .iter()
            .filter_map(|name| sequence(name))
            .map(|at| place(&queue.path, at))
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

    /// What this session has in the line's queues.
    pub(super) async fn count_places(&self, paths: &LinePaths) -> Result<Counted> {
        let (client, queues) = (self.connection.client()?, paths.queues());
        let listed = persist!(self.connection, client.list_ephemerals(&queues)).map_err(translated)?;
        let places: Vec<(String, At)> =
            listed.into_iter().filter_map(|path| Some((path.clone(), place_at(&path)?))).collect();
        let read: Vec<Said<(Vec<u8>, Stat)>> = persist!(self.connection, async {
            let all = join_all(places.iter().map(|(path, _)| client.get_data(path))).await;
            match all.iter().find_map(|said| said.as_ref().err().filter(|error| is_unanswered(error))) {
                Some(error) => Err(error.clone()),
                None => Ok(all),
            }
        })
        .map_err(translated)?;
        let claims = places.into_iter().zip(read).filter_map(|((path, at), said)| {
            let (data, stat) = said.ok()?;
            Some((Place::read(&path, &data).ok()?.claim, (at, stat.czxid)))
        });
        Ok(claims.collect())
    }
}

/// The place that lies at this path.
fn place_at(path: &str) -> Option<At> {
    let (queue, name) = path.rsplit_once('/')?;
    Some(At { queue: queue.into(), name: name.into(), sequence: sequence(name)? })
}
