//! What a holder may change, and cells.

use lock_core::{
    Error, ErrorKind, LineId, Mode, Payload, Result, Ticket,
    backend::{Cell, CellVersion, Record},
};

use super::{
    Go,
    standing::{Phase, Standing},
    txn,
};
use crate::{cell, error::not_granted, guarded::Seat, request::get};

impl Go {
    /// When the claim came into line, if it holds.
    fn held_since(&self, standing: &Standing) -> Result<i64> {
        self.lease.check()?;
        match standing.state.read(|state| state.phase) {
            Phase::Holding(created) => Ok(created),
            Phase::Outside | Phase::Waiting(_) | Phase::Gone => Err(not_granted()),
        }
    }

    /// The key that says that the claim holds, and the revision at which it was created.
    pub(super) fn seat(&self, standing: &Standing) -> Result<Seat> {
        Ok((standing.key.clone(), self.held_since(standing)?))
    }

    /// Replaces the payload; see [`Session::update`](lock_core::backend::Session::update).
    pub(super) async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        let standing = self.standing(ticket)?;
        loop {
            let created = self.held_since(&standing)?;
            let (record, written) = standing.state.read(|state| (state.record.clone(), state.written));
            let record = Record { payload: payload.clone(), ..record };
            let value = standing.value_of(record.clone());
            // Against an earlier request that lands late.
            let request = txn::rewrite(&standing, created, written, value.clone(), self.session);
            let mut reply = self.change(request).await?;
            let (revision, done) = match reply.key().filter(|_| !reply.succeeded) {
                None if reply.succeeded => (reply.revision, true),
                Some(there) if there.create_revision() == created => {
                    (there.mod_revision(), there.value() == value)
                }
                _ => return Err(not_granted()),
            };
            standing.state.update_silently(|state| {
                state.written = state.written.max(revision);
                if done {
                    (state.record, state.shows_token) = (record, true);
                }
            });
            if done {
                return Ok(());
            }
        }
    }

    /// There is nothing weaker in this layout.
    pub(super) fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        weaker.validate()?;
        self.held_since(&*self.standing(ticket)?)?;
        if weaker == Mode::Exclusive {
            return Ok(());
        }
        let message = format!("there are no {weaker} claims in the layout of Go");
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    pub(super) async fn cell(&self, line: &LineId) -> Result<Cell> {
        let keys = self.room.line(line)?;
        Ok(cell::read(self.look(vec![get(keys.cell())]).await?.key()))
    }

    /// Writes the cell at that version, while the ticket is granted.
    pub(super) async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        Cell::check_size(bytes)?;
        self.lease.check()?;
        let keys = self.room.line(line)?;
        let seat = under.map(|ticket| self.seat(&*self.standing(ticket)?)).transpose()?;
        cell::written(
            self.change(cell::put(keys.cell(), expected, bytes, seat.as_ref())).await?,
            seat.as_ref(),
        )
    }

    pub(super) async fn forget_cell(&self, line: &LineId) -> Result<()> {
        cell::forget(&self.connection, self.room.line(line)?.cell()).await
    }
}
