//! Joining and trying.

use std::collections::HashMap;

use futures_util::future::join;
use lock_core::{Error, ErrorKind, Mode, Result};
use zookeeper_client::{self as zk, CreateMode};

use super::{Ahead, Classic, Lock, Queue, Standing, Work, names::Contender};
use crate::{
    claims::{At, Counted, Doubt, Protocol, Seat},
    connection::persist,
    error::{Said, translated},
};

impl Queue {
    /// A place at the end of the line, and in the same breath who stands before it.
    pub(super) async fn queue_up(&self, standing: &Standing, work: &mut Work) -> Result<Said<()>> {
        let (client, Lock { path, names }) = (self.connection.client()?, &standing.paths);
        let mode = work.record.mode;
        let prefix = names.prefix(standing.id, mode).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("no node of this line is called {mode}"))
        })?;
        let new = format!("{path}/{prefix}");
        let data = Classic::data(standing, &Seat::Nowhere, &work.record);
        let options = CreateMode::EphemeralSequential.with_acls(self.connection.acls);
        let (create, list) = (client.create(&new, &data, &options), client.list_children(path));
        work.doubt = Some(Doubt::of_what_is_queued(&self.connection));
        let (made, listed) = join(create, list).await;
        match made {
            Ok((stat, sequence)) => {
                let sequence = sequence.into_i64();
                let name = format!("{prefix}{sequence:010}").into();
                let at = At { queue: path.as_str().into(), name, sequence };
                let ahead = listed.ok().and_then(|listed| Ahead::of(&at, mode, *names, listed));
                standing.queues_at(work, at, stat.czxid)?;
                // Who is not in it has been evicted meanwhile.
                work.way = ahead.unwrap_or(Ahead::Unknown);
                Ok(Ok(()))
            }
            Err(error) => {
                if error == zk::Error::NoNode {
                    work.doubt = None;
                    self.make_line(path).await?;
                }
                Ok(Err(error))
            }
        }
    }

    /// Makes the lock's node, and those above it.
    async fn make_line(&self, path: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        self.connection.make_all(self.protocol.room(), ends.filter_map(|end| path.get(..end))).await
    }

    /// Whether nobody is in line for whom a claim in this mode would have to wait.
    pub(super) async fn nobody_is_in_the_way(&self, standing: &Standing, mode: Mode) -> Result<bool> {
        self.connection.sync(&standing.paths.path).await?;
        let there = self.contenders(&standing.paths).await?;
        Ok(!there.values().any(|other| other.is_in_the_way_of(mode)))
    }

    /// Whether whoever came before the claim, and is in its way, has gone since.
    pub(super) async fn nobody_was_before(&self, standing: &Standing) -> Result<bool> {
        let (at, mode) = {
            let work = standing.work.lock().await;
            let Seat::Queue(at) = &work.seat else { return Ok(false) };
            (at.clone(), work.record.mode)
        };
        let there = self.contenders(&standing.paths).await?;
        Ok(!there.values().any(|other| other.sequence < at.sequence && other.is_in_the_way_of(mode)))
    }

    /// Who is in line, by the names of their nodes.
    pub(super) async fn contenders(&self, lock: &Lock) -> Result<HashMap<String, Contender>> {
        let client = self.connection.client()?;
        let names = match persist!(self.connection, client.list_children(&lock.path)) {
            Err(zk::Error::NoNode) => Vec::new(),
            said => said.map_err(translated)?,
        };
        let contender = |name: String| {
            let contender = lock.names.contender(&name)?;
            Some((name, contender))
        };
        Ok(names.into_iter().filter_map(contender).collect())
    }

    /// What this session has in the line, by the claims that the names of nodes name.
    pub(super) async fn count_nodes(&self, lock: &Lock) -> Result<Counted> {
        let client = self.connection.client()?;
        let mut counted = Counted::new();
        for (name, Contender { sequence, claim, .. }) in self.contenders(lock).await? {
            if claim.session != self.session {
                continue;
            }
            let at = At { queue: lock.path.as_str().into(), name: name.into(), sequence };
            let stat = persist!(self.connection, client.check_stat(&at.path())).map_err(translated)?;
            if let Some(stat) = stat.filter(|stat| stat.ephemeral_owner == self.connection.owner) {
                counted.insert(claim, (at, stat.czxid));
            }
        }
        Ok(counted)
    }
}
