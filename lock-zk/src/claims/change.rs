//! What a holder may change where it stands.

use lock_core::{Error, ErrorKind, Mode, Payload, Result, Ticket, backend::Record};
use tokio::sync::MutexGuard;
use zookeeper_client as zk;

use super::{Claims, Protocol, Standing, Work};
use crate::{
    connection::persist,
    error::{not_granted, of_change},
};

impl<P: Protocol> Claims<P> {
    /// The node that says that the claim holds.
    pub(crate) async fn holding_at(&self, standing: &Standing<P>) -> Result<String> {
        self.holder(standing).await.map(|(_, path)| path)
    }

    /// A claim that holds, and where; nobody else changes it meanwhile.
    async fn holder<'a>(&self, standing: &'a Standing<P>) -> Result<(MutexGuard<'a, Work<P>>, String)> {
        let holds = || {
            self.connection.lease.check()?;
            standing.fate.token().map(drop).ok_or_else(not_granted)
        };
        // One who waits is at work until its turn comes.
        holds()?;
        let mut work = standing.work.lock().await;
        holds()?;
        self.locate(standing, &mut work).await?;
        let path = work.seat.path().ok_or_else(not_granted)?;
        Ok((work, path))
    }

    /// Replaces the payload; see [`Session::update`](lock_core::backend::Session::update).
    pub(crate) async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        let standing = self.standing(ticket)?;
        let (mut work, path) = self.holder(&standing).await?;
        let record = Record { payload, ..work.record.clone() };
        let data = P::data(&standing, &work.seat, &record);
        let client = self.connection.client()?;
        // Before the session was over, it may have been carried out.
        let said = async { Ok::<_, Error>(persist!(self.connection, client.set_data(&path, &data, None))) };
        match said.await.map_err(Error::with_unknown_effect)? {
            Ok(_) => work.record = record,
            Err(zk::Error::NoNode) => return Err(not_granted()),
            Err(error) => return Err(of_change(error)),
        }
        Ok(())
    }

    /// Weakens the mode; see [`Session::set_mode`](lock_core::backend::Session::set_mode).
    pub(crate) async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        weaker.validate()?;
        let standing = self.standing(ticket)?;
        let (mut work, _) = self.holder(&standing).await?;
        let mode = work.record.mode;
        if mode == weaker {
            return Ok(());
        }
        if !mode.may_weaken_to(weaker) {
            let message = format!("a claim that is {mode} cannot become {weaker}");
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        let record = Record { mode: weaker, ..work.record.clone() };
        P::weaken(self, &standing, &mut work, record).await
    }
}
