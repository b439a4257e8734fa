//! Cells: one durable value beside a line. A version is the revision at which the value was written.

use etcd_client::{KeyValue, Txn, TxnOp};
use lock_core::{
    Error, ErrorKind, LineId, Result, Ticket,
    backend::{Cell, CellVersion},
};

use crate::{
    connection::Connection,
    error::{not_granted, unknown_unless_refused},
    guarded::Seat,
    queue::Queue,
    request::{Reply, created_at, delete, get, untouched},
};

/// The cell that lies at this key.
pub(crate) fn read(key: Option<KeyValue>) -> Cell {
    key.map_or_else(Cell::absent, |kv| Cell {
        version: CellVersion::new(kv.mod_revision().cast_unsigned()),
        bytes: kv.value().into(),
    })
}

/// Writes the cell at that version, while the seat under which it is written is there.
pub(crate) fn put(key: &str, expected: CellVersion, bytes: &[u8], under: Option<&Seat>) -> Txn {
    let at_version = untouched(key, expected.get().cast_signed());
    let held = under.map(|(seat, created)| created_at(&**seat, *created));
    Txn::new()
        .when([at_version].into_iter().chain(held).collect::<Vec<_>>())
        .and_then(vec![TxnOp::put(key, bytes, None)])
        .or_else(under.map(|(seat, _)| get(&**seat)).into_iter().collect::<Vec<_>>())
}

/// What became of it.
pub(crate) fn written(mut reply: Reply, under: Option<&Seat>) -> Result<CellVersion> {
    if reply.succeeded {
        return Ok(CellVersion::new(reply.revision.cast_unsigned()));
    }
    let there = reply.key().map(|seat| seat.create_revision());
    Err(match under {
        Some((_, created)) if there != Some(*created) => not_granted(),
        _ => Error::new(ErrorKind::Conflict, "the cell is at another version"),
    })
}

/// Takes the cell away as it is read: one that is written later is another, which a request that comes late must
/// not take.
pub(crate) async fn forget(connection: &Connection, key: &str) -> Result<()> {
    loop {
        let read = connection.transact(Txn::new().and_then(vec![get(key)])).await?;
        let Some(cell) = Reply::from(read).key() else { return Ok(()) };
        let as_read = untouched(key, cell.mod_revision());
        let forget = Txn::new().when(vec![as_read]).and_then(vec![delete(key)]);
        if connection.transact(forget).await.map_err(unknown_unless_refused)?.succeeded() {
            return Ok(());
        }
    }
}

impl Queue {
    pub(crate) async fn cell(&self, line: &LineId) -> Result<Cell> {
        let key = self.namespace.line(line).cell();
        Ok(read(self.look(vec![get(key)]).await?.key()))
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
        self.lease.check()?;
        let key = self.namespace.line(line).cell();
        let seat = under.map(|ticket| self.seat(&*self.standing(ticket)?)).transpose()?;
        written(self.change(put(&key, expected, bytes, seat.as_ref())).await?, seat.as_ref())
    }

    pub(crate) async fn forget_cell(&self, line: &LineId) -> Result<()> {
        forget(&self.connection, &self.namespace.line(line).cell()).await
    }
}
