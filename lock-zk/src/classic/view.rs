//! A line as people and observers see it: everybody who stands in it, Java's and Python's clients too.

use std::time::UNIX_EPOCH;

use lock_core::{
    ClaimId, FencingToken, Line, LineId, LinePlace, Mode, Payload, Result, backend::Record, line::Occupancy,
};
use zookeeper_client::Stat;

use super::{Lock, Queue, names::Contender};
use crate::{claims::Protocol, mirror::Mirror};

impl Queue {
    /// The line as this session's server has it.
    pub(super) async fn see(&self, id: &LineId, mirror: &mut Mirror) -> Result<Line> {
        let Lock { path, names: called } = self.protocol.paths(id)?;
        let (names, mut revision) = mirror.list_one(&self.connection, &path).await?;
        let contender = |name: &String| Some((called.contender(name)?, name.clone()));
        let mut there: Vec<(Contender, String)> = names.iter().filter_map(contender).collect();
        there.sort_unstable_by_key(|(contender, _)| contender.sequence);
        let foreign = names.len() - there.len();
        let paths = there.iter().map(|(_, name)| format!("{path}/{name}")).collect();
        // Those who hold may change what they say.
        let holding = holders(there.iter().map(|(contender, _)| contender.mode));
        let read = mirror.read(&self.connection, paths, |index| index < holding).await?;
        let mut places = Vec::new();
        for ((contender, _), (_, node)) in there.iter().zip(read) {
            // Who has gone meanwhile is told by another look.
            let Some((data, stat)) = node else { continue };
            places.push(place(contender, &data, &stat)?);
        }
        let holding = holders(places.iter().map(|place| place.mode));
        for holder in places.iter_mut().take(holding) {
            holder.token = Some(FencingToken::new(holder.place)?);
        }
        revision = revision.max(mirror.last_write());
        Ok(Line { id: id.clone(), revision: revision.cast_unsigned(), places, foreign })
    }

    /// The nodes of anybody's claim.
    pub(super) async fn nodes_of_claim(&self, line: &LineId, claim: ClaimId) -> Result<Vec<String>> {
        let lock = self.protocol.paths(line)?;
        let there = self.contenders(&lock).await?.into_iter();
        Ok(there
            .filter(|(_, contender)| contender.claim == claim)
            .map(|(name, _)| format!("{}/{name}", lock.path))
            .collect())
    }
}

/// How many of those in line, from its head, hold.
fn holders(modes: impl Iterator<Item = Mode>) -> usize {
    let mut ahead = Occupancy::default();
    modes
        .take_while(|mode| {
            let admitted = ahead.admits(*mode);
            ahead.add(*mode);
            admitted
        })
        .count()
}

fn place(contender: &Contender, data: &[u8], stat: &Stat) -> Result<LinePlace> {
    let place = stat.czxid.cast_unsigned();
    let (owner, since, payload) = match Record::read(data) {
        Ok(Record { owner, since, payload, .. }) => (owner, since, payload),
        // One of others, or a candidate: as much of what it says as there is room for.
        Err(_) => {
            let payload = Payload::new(data.get(..Payload::MAX_BYTES).unwrap_or(data))?;
            (format!("ZooKeeper session {:#x}", stat.ephemeral_owner).into(), UNIX_EPOCH, payload)
        }
    };
    let Contender { claim, mode, .. } = *contender;
    Ok(LinePlace { claim, place, mode, owner, payload, since, token: None })
}
