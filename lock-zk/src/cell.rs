//! Cells: one durable value beside a line. A version is the transaction that wrote the value.
//!
//! ZooKeeper's own versions begin again when a node does, so a cell has a child with a number drawn at
//! random: every write checks that it is still that cell. And every write leaves its number in the
//! session's own node, so one that was not answered can be told from one that was never done.

use futures_util::future::join;
use lock_core::{
    Error, ErrorKind, LineId, Result, SessionId, Ticket,
    backend::{Cell, CellVersion},
};
use zookeeper_client::{self as zk, CreateMode, Stat};

use crate::{
    claims::{Claims, Protocol},
    connection::{Connection, Failed, Step, persist},
    error::{denied, not_granted, of_change, translated},
    paths::{LinePaths, Namespace},
};

/// A cell that is there.
struct There {
    stat: Stat,
    incarnation: String,
}

impl<P: Protocol> Claims<P> {
    pub(crate) async fn cell(&self, line: &LineId) -> Result<Cell> {
        let (client, cell) = (self.connection.client()?, self.namespace.line(line).cell());
        let said = persist!(self.connection, async {
            let (synced, read) = join(client.sync(&cell), client.get_data(&cell)).await;
            synced.and(read)
        });
        match said {
            Ok((bytes, stat)) => {
                Ok(Cell { version: CellVersion::new(stat.mzxid.cast_unsigned()), bytes: bytes.into() })
            }
            Err(zk::Error::NoNode) => Ok(Cell::absent()),
            Err(error) => Err(translated(error)),
        }
    }

    /// Writes the cell at that version, while the ticket is granted.
    pub(crate) async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        Cell::check_size(bytes)?;
        self.connection.lease.check()?;
        let standing = under.map(|ticket| self.standing(ticket)).transpose()?;
        let _alone = self.writing.lock().await;
        let seat = match &standing {
            Some(standing) => Some(self.holding_at(standing).await?),
            None => None,
        };
        let paths = self.namespace.line(line);
        let number = self.connection.runtime.random_u64();
        loop {
            let tried = self.try_put(&paths, number, expected, bytes, seat.as_deref()).await?;
            if let Some(version) = tried {
                return Ok(version);
            }
            if let Some(stat) = self.last_write(number).await? {
                return Ok(CellVersion::new(stat.mzxid.cast_unsigned()));
            }
        }
    }

    /// `None`: it was not answered, or something that it needs has to be made first, and now is.
    async fn try_put(
        &self,
        paths: &LinePaths,
        number: u64,
        expected: CellVersion,
        bytes: &[u8],
        seat: Option<&str>,
    ) -> Result<Option<CellVersion>> {
        let conflict = || Error::new(ErrorKind::Conflict, "the cell is at another version");
        let (cell, own, mark) = (paths.cell(), self.namespace.session(self.session), number.to_string());
        let new = paths.incarnation(number);
        let there = self.read_cell(paths).await?;
        let mut steps = vec![Step::SetData(&own, mark.as_bytes(), None)];
        steps.extend(seat.map(Step::Check));
        match &there {
            None if expected == CellVersion::ABSENT => steps.extend([
                Step::Create(&cell, bytes, CreateMode::Persistent),
                Step::Create(&new, b"", CreateMode::Persistent),
            ]),
            Some(there) if there.stat.mzxid.cast_unsigned() == expected.get() => steps.extend([
                Step::Check(&there.incarnation),
                Step::SetData(&cell, bytes, Some(there.stat.version)),
            ]),
            _ => return Err(conflict()),
        }
        let Failed { at, error } = match self.connection.commit(&steps).await? {
            Ok(results) => return Ok(version(&results)),
            Err(failed) if failed.is_unanswered() => {
                self.connection.go_on(failed.error).await.map_err(Error::with_unknown_effect)?;
                return Ok(None);
            }
            Err(failed) => failed,
        };
        match (at.and_then(|at| steps.get(at)), error) {
            (Some(Step::SetData(path, ..)), zk::Error::NoNode) if *path == own => {
                self.make_own_node().await?;
                Ok(None)
            }
            (Some(Step::Check(path)), zk::Error::NoNode) if Some(*path) == seat => Err(not_granted()),
            (Some(Step::Create(..)), zk::Error::NoNode) => {
                self.make_room(paths, paths.line()).await?;
                Ok(None)
            }
            (Some(_), zk::Error::NoNode | zk::Error::NodeExists | zk::Error::BadVersion) => Err(conflict()),
            (_, error) => Err(of_change(error)),
        }
    }

    async fn read_cell(&self, paths: &LinePaths) -> Result<Option<There>> {
        let (client, cell) = (self.connection.client()?, paths.cell());
        let said = persist!(self.connection, async {
            // Both in one answer: in two they could be of two cells, and a write would hit the other one.
            let (synced, read) = join(client.sync(&cell), client.get_children(&cell)).await;
            synced.and(read)
        });
        match said {
            Ok((names, stat)) => {
                let name = names.iter().find(|name| name.starts_with("i-")).map_or("i-", String::as_str);
                Ok(Some(There { stat, incarnation: format!("{cell}/{name}") }))
            }
            Err(zk::Error::NoNode) => Ok(None),
            Err(error) => Err(translated(error)),
        }
    }

    /// The write with this number, when it was this session's last.
    async fn last_write(&self, number: u64) -> Result<Option<Stat>> {
        let (client, own) = (self.connection.client()?, self.namespace.session(self.session));
        // Afterwards no earlier write can come any more.
        self.connection.settle().await?;
        match persist!(self.connection, client.get_data(&own)) {
            Ok((data, stat)) => Ok((data == number.to_string().as_bytes()).then_some(stat)),
            Err(zk::Error::NoNode) => Ok(None),
            Err(error) => Err(translated(error)),
        }
    }

    pub(crate) async fn forget_cell(&self, line: &LineId) -> Result<()> {
        let paths = self.namespace.line(line);
        let cell = paths.cell();
        // Another one that is made meanwhile is not this one.
        let Some(There { incarnation, .. }) = self.read_cell(&paths).await? else { return Ok(()) };
        loop {
            match self.connection.commit(&[Step::Delete(&incarnation), Step::Delete(&cell)]).await? {
                Err(failed) if failed.is_unanswered() => {
                    self.connection.go_on(failed.error).await.map_err(Error::with_unknown_effect)?;
                }
                Ok(_) | Err(Failed { error: zk::Error::NoNode, .. }) => return Ok(()),
                Err(failed) => return Err(of_change(failed.error)),
            }
        }
    }

    /// The session's own node: shows people who is there, and counts its writes.
    pub(crate) async fn make_own_node(&self) -> Result<()> {
        make_own_node(&self.connection, &self.namespace, self.session).await
    }
}

/// The transaction: that of the session's own node, because a node that was made tells none (ZOOKEEPER-4026).
fn version(results: &[zk::MultiWriteResult]) -> Option<CellVersion> {
    match results.first() {
        Some(zk::MultiWriteResult::SetData { stat }) => Some(CellVersion::new(stat.mzxid.cast_unsigned())),
        _ => None,
    }
}

/// Takes the session's own node away.
pub(crate) async fn remove_own_node(
    connection: &Connection,
    namespace: &Namespace,
    session: SessionId,
) -> Result<()> {
    let (client, own) = (connection.client()?, namespace.session(session));
    match persist!(connection, client.delete(&own, None)) {
        Ok(()) | Err(zk::Error::NoNode | zk::Error::SessionExpired) => Ok(()),
        Err(error) => Err(of_change(error)),
    }
}

/// Makes the session's own node, if it is not there.
pub(crate) async fn make_own_node(
    connection: &Connection,
    namespace: &Namespace,
    session: SessionId,
) -> Result<()> {
    let (client, own, sessions) = (connection.client()?, namespace.session(session), namespace.sessions());
    let options = CreateMode::Ephemeral.with_acls(connection.acls);
    loop {
        match persist!(connection, client.create(&own, b"", &options)) {
            Ok(_) | Err(zk::Error::NodeExists) => return Ok(()),
            Err(zk::Error::NoNode) => {
                let containers = namespace.chain().chain([sessions.as_str()]);
                connection.make_containers(containers).await?;
            }
            Err(zk::Error::NoAuth) => return Err(denied(&own)),
            Err(error) => return Err(of_change(error)),
        }
    }
}
