//! A line as people and observers see it: everybody who stands in it, Java's and Python's clients too.

use std::time::UNIX_EPOCH;

use lock_core::{ClaimId, FencingToken, Line, LineId, LinePlace, Mode, Payload, Result, backend::Record};
use zookeeper_client::Stat;

use super::{Queue, names::Contender};
use crate::{claims::Protocol, mirror::Mirror};

impl Queue {
    /// The line as this session's server has it.
    pub(super) async fn see(&self, id: &LineId, mirror: &mut Mirror) -> Result<Line> {
        let path = self.protocol.paths(id)?;
        let (names, mut revision) = mirror.list_one(&self.connection, &path).await?;
        let contender = |name: &String| Some((self.protocol.fleet.contender(name)?, name.clone()));
        let mut there: Vec<(Contender, String)> = names.iter().filter_map(contender).collect();
        there.sort_unstable_by_key(|(contender, _)| contender.sequence);
        let foreign = names.len() - there.len();
        let paths = there.iter().map(|(_, name)| format!("{path}/{name}")).collect();
        // The first holds, and may change what it says.
        let read = mirror.read(&self.connection, paths, |index| index == 0).await?;
        let mut places = Vec::new();
        for ((contender, _), (_, node)) in there.iter().zip(read) {
            // Who has gone meanwhile is told by another look.
            let Some((data, stat)) = node else { continue };
            places.push(place(contender.claim, &data, &stat)?);
        }
        if let Some(first) = places.first_mut() {
            first.token = Some(FencingToken::new(first.place)?);
        }
        revision = revision.max(mirror.last_write());
        Ok(Line { id: id.clone(), revision: revision.cast_unsigned(), places, foreign })
    }

    /// The nodes of anybody's claim.
    pub(super) async fn nodes_of_claim(&self, line: &LineId, claim: ClaimId) -> Result<Vec<String>> {
        let path = self.protocol.paths(line)?;
        let there = self.contenders(&path).await?.into_iter();
        Ok(there
            .filter(|(_, contender)| contender.claim == claim)
            .map(|(name, _)| format!("{path}/{name}"))
            .collect())
    }
}

fn place(claim: ClaimId, data: &[u8], stat: &Stat) -> Result<LinePlace> {
    let place = stat.czxid.cast_unsigned();
    let (owner, since, payload) = match Record::read(data) {
        Ok(Record { owner, since, payload, .. }) => (owner, since, payload),
        // One of others, or a candidate: as much of what it says as there is room for.
        Err(_) => {
            let payload = Payload::new(data.get(..Payload::MAX_BYTES).unwrap_or(data))?;
            (format!("ZooKeeper session {:#x}", stat.ephemeral_owner).into(), UNIX_EPOCH, payload)
        }
    };
    Ok(LinePlace { claim, place, mode: Mode::Exclusive, owner, payload, since, token: None })
}
