//! Joining and trying.

use std::sync::Arc;

use lock_core::{Claim, Effect, Error, ErrorKind, Grant, LineId, Result, Ticket, bug::Bug};
use zookeeper_client as zk;

use super::{At, Claims, Protocol, Seat, Standing, Work};
use crate::error::{has_left, is_unanswered, of_change};

impl<P: Protocol> Standing<P> {
    /// The claim has come into the queue at this place.
    ///
    /// # Errors
    ///
    /// ZooKeeper counts in an `i32` (ZOOKEEPER-2944). Beyond its end, creates that are under way get names
    /// with negative numbers, and nobody would know their order.
    pub(crate) fn queues_at(&self, work: &mut Work<P>, at: At, place: i64) -> Result<()> {
        let counted = at.sequence >= 0;
        let place = if Bug::TokenFromSequence.is_seeded() { at.sequence + 1 } else { place };
        self.sits(work, Seat::Queue(at), place);
        if counted { Ok(()) } else { Err(used_up().with_unknown_effect()) }
    }
}

impl<P: Protocol> Claims<P> {
    /// Takes a place in the line; see [`Session::join`](lock_core::backend::Session::join).
    pub(crate) async fn join(&self, line: &LineId, claim: &Claim) -> Result<Ticket> {
        let standing = self.enrol(line, claim)?.ok_or_else(has_left)?;
        let entered = self.enter(&standing).await;
        entered.inspect_err(|error| self.forget_unless_sent(&standing, error))?;
        self.set_off(&standing);
        standing.ticket().ok_or_else(|| self.ended(&standing))
    }

    /// In line without waiting, or not at all; see
    /// [`Session::try_join`](lock_core::backend::Session::try_join).
    ///
    /// ZooKeeper has no transaction that joins a line only if it is free in every mode. So whoever tries
    /// joins, when it looks free, and withdraws when it was not.
    pub(crate) async fn try_join(&self, line: &LineId, claim: &Claim) -> Result<Option<(Ticket, Grant)>> {
        if let Some(standing) = self.enrol(line, claim)? {
            let in_line =
                |error: Error| if standing.place() > 0 { error.with_unknown_effect() } else { error };
            let tried = self.enter_if_free(&standing).await.map_err(in_line);
            if tried.inspect_err(|error| self.forget_unless_sent(&standing, error))? {
                let ticket = standing.ticket().ok_or_else(|| self.ended(&standing))?;
                return Ok(Some((ticket, self.granted(&standing).await?)));
            }
        }
        self.leave(line, claim.id).await?;
        Ok(None)
    }

    /// A claim that the store cannot know of need not be remembered.
    fn forget_unless_sent(&self, standing: &Standing<P>, error: &Error) {
        if standing.place() == 0 && error.effect() == Effect::None {
            self.forget(standing, !error.is_retryable());
        }
    }

    /// Makes the claim's node, unless it is there. What need not wait is granted in the same breath.
    async fn enter(&self, standing: &Standing<P>) -> Result<()> {
        if standing.place() > 0 {
            return Ok(());
        }
        let mut work = standing.work.lock().await;
        while standing.place() == 0 {
            if work.doubt.is_some() {
                self.locate(standing, &mut work).await.map_err(Error::with_unknown_effect)?;
                continue;
            }
            self.connection.lease.check()?;
            if standing.fate.end_reason().is_some() {
                return Err(has_left());
            }
            match P::come_in(self, standing, &mut work).await? {
                // A container that is missing is made by the next attempt.
                Ok(()) | Err(zk::Error::NoNode) => work.doubt = None,
                Err(error) if is_unanswered(&error) => {
                    if Bug::CreateRepeated.is_seeded() {
                        work.doubt = None;
                    }
                    self.connection.go_on(error).await.map_err(Error::with_unknown_effect)?;
                }
                Err(error) => {
                    work.doubt = None;
                    return Err(refused(error));
                }
            }
        }
        if P::holds(&work) {
            self.connection.lease.check()?;
            standing.grant()?;
        }
        Ok(())
    }

    /// Enters unless a conflicting claim is in line (C6). When that has been tried before, the claim may be
    /// in line already.
    async fn enter_if_free(&self, standing: &Arc<Standing<P>>) -> Result<bool> {
        if standing.is_driven() {
            return Ok(true);
        }
        if standing.place() == 0 {
            let (mode, doubt) = {
                let work = standing.work.lock().await;
                (work.record.mode, work.doubt.is_some())
            };
            if !doubt && !P::looks_free(self, standing, mode).await? {
                return Ok(false);
            }
            self.enter(standing).await?;
        }
        let free = standing.fate.token().is_some() || P::passes_soon(self, standing).await?;
        if free {
            self.set_off(standing);
        }
        Ok(free)
    }
}

fn refused(error: zk::Error) -> Error {
    if error == zk::Error::NodeExists { used_up().with_source(error) } else { of_change(error) }
}

fn used_up() -> Error {
    let full = "this line has used up ZooKeeper's 2147483647 sequences: once it is empty, remove it, or wait until the server does";
    Error::new(ErrorKind::Full, full)
}
