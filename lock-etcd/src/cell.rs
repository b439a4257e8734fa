//! Cells: one durable value beside a line. A version is the revision at which the value was written.

use etcd_client::Txn;
use lock_core::{
    Error, ErrorKind, LineId, Result, Ticket,
    backend::{Cell, CellVersion},
};

use crate::{
    queue::{Queue, not_granted},
    request::{created_at, delete, get, untouched},
};

impl Queue {
    pub(crate) async fn cell(&self, line: &LineId) -> Result<Cell> {
        let key = self.namespace.line(line).cell();
        let mut reply = self.look(vec![get(key)]).await?;
        Ok(reply.key().map_or_else(Cell::absent, |kv| Cell {
            version: CellVersion::new(kv.mod_revision().cast_unsigned()),
            bytes: kv.value().into(),
        }))
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
        let mut when = vec![untouched(&*key, expected.get().cast_signed())];
        let mut look = Vec::new();
        if let Some(ticket) = under {
            let (seat, created) = self.seat(&*self.standing(ticket)?)?;
            when.push(created_at(&*seat, created));
            look.push(get(seat));
        }
        let write = etcd_client::TxnOp::put(key, bytes, None);
        let request = Txn::new().when(when).and_then(vec![write]).or_else(look);
        let mut reply = self.change(request).await?;
        if reply.succeeded {
            return Ok(CellVersion::new(reply.revision.cast_unsigned()));
        }
        Err(match under {
            Some(_) if reply.key().is_none() => not_granted(),
            _ => Error::new(ErrorKind::Conflict, "the cell is at another version"),
        })
    }

    pub(crate) async fn forget_cell(&self, line: &LineId) -> Result<()> {
        let key = self.namespace.line(line).cell();
        self.change(Txn::new().and_then(vec![delete(key)])).await.map(drop)
    }
}
