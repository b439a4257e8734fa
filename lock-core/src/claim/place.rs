//! One claim's life, from join to leave, whatever is dropped on the way (clauses C5, C9, C14).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::task::coop::consume_budget;

use super::{Claim, Grant, Ticket, Via};
use crate::{
    answer::Answer,
    backend::Session,
    error::{Effect, Error, Result},
    name::LineId,
    runtime::{BoxFuture, Moment},
};

/// A place in line. Dropping it leaves the line, in the background if that takes time;
/// [`leave`](Self::leave) waits for that.
#[derive(Debug)]
pub(crate) struct Place {
    via: Arc<Via>,
    ticket: Ticket,
    /// Whether the store still has to be told that the place is given up.
    owed: AtomicBool,
}

impl Place {
    fn new(via: Arc<Via>, ticket: Ticket) -> Self {
        tracing::debug!(line = %ticket.line, claim = %ticket.claim, place = ticket.place, "joined");
        Self { via, ticket, owed: AtomicBool::new(true) }
    }

    /// Takes a place at the end of the line. If the future is dropped, the join under way is finished in the
    /// background, and left.
    pub(crate) async fn join(via: Arc<Via>, line: &LineId, claim: Claim) -> Result<Self> {
        // A store that answers at once makes nobody wait: a loop over a free lock must let others run, the
        // renewals among them.
        consume_budget().await;
        match via.session.join(line, &claim) {
            Answer::Now(Ok(ticket)) => Ok(Self::new(via, ticket)),
            first => {
                let asked = Arc::new(Asked { via: via.clone(), line: line.clone(), claim });
                via.clone()
                    .finish(Box::pin(async move {
                        let ticket =
                            asked.hear(None, first, |session, line, claim| session.join(line, claim));
                        Ok(Self::new(via, ticket.await?))
                    }))
                    .await
            }
        }
    }

    /// Takes a place if it is granted at once, and none otherwise. Gives up at `end`, if there is one, when the
    /// store does not answer.
    pub(crate) async fn try_join(
        via: Arc<Via>,
        line: &LineId,
        claim: Claim,
        end: Option<Moment>,
    ) -> Result<Option<(Self, Grant, Moment)>> {
        consume_budget().await;
        let place = |via, taken: Option<_>| taken.map(|(ticket, grant)| (Self::new(via, ticket), grant));
        let lease = via.lease.clone();
        let taken = match via.session.try_join(line, &claim) {
            Answer::Now(Ok(taken)) => place(via, taken),
            first => {
                let asked = Arc::new(Asked { via: via.clone(), line: line.clone(), claim });
                via.clone()
                    .finish(Box::pin(async move {
                        let taken =
                            asked.hear(end, first, |session, line, claim| session.try_join(line, claim));
                        Ok(place(via, taken.await?))
                    }))
                    .await?
            }
        };
        let now = lease.check_now()?;
        Ok(taken.map(|(place, grant)| (place, grant, now)))
    }

    /// Waits for the turn, and tells when it came. When the session is lost meanwhile, so is the place:
    /// nothing is granted under a dead session (C10).
    pub(crate) async fn granted(&self) -> Result<(Grant, Moment)> {
        let call = || self.via.session.granted(&self.ticket);
        let grant = match call() {
            Answer::Now(Ok(grant)) => grant,
            first => self.via.hear(first, call).await?,
        };
        Ok((grant, self.via.lease.check_now()?))
    }

    /// Leaves the line. Dropping the future does not stop it. The place is void from then on.
    pub(crate) async fn leave(&self) -> Result<()> {
        self.disown();
        self.via.leave(&self.ticket.line, self.ticket.claim).await
    }

    /// Leaves it to somebody else to leave the line; tells whether that was still to be done.
    pub(crate) fn disown(&self) -> bool {
        self.owed.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    pub(crate) fn via(&self) -> &Arc<Via> {
        &self.via
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // With a session that is lost the claim is gone too; one that was abandoned says nothing more.
        if *self.owed.get_mut() && self.via.lease.check().is_ok() {
            self.via.leave_unheard(&self.ticket.line, self.ticket.claim);
        }
    }
}

/// What was asked of a store that does not answer at once.
struct Asked {
    via: Arc<Via>,
    line: LineId,
    claim: Claim,
}

impl Asked {
    /// Asks until there is an answer, or until `end` if there is one. What may have taken effect when that fails is
    /// undone in the background.
    async fn hear<T: Send + 'static>(
        self: Arc<Self>,
        end: Option<Moment>,
        first: Answer<T>,
        call: impl Fn(&dyn Session, &LineId, &Claim) -> Answer<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let asked = self.clone();
        let mut asking: BoxFuture<Result<T>> = Box::pin(async move {
            let Self { via, line, claim } = &*asked;
            via.repeat(end, first, || call(&*via.session, line, claim)).await
        });
        let outcome = tokio::select! { biased;
            outcome = &mut asking => outcome,
            // A store may keep a call for as long as it cannot be reached.
            () = self.until(end) => {
                self.via.runtime.clone().spawn(Box::pin(async move {
                    drop(asking.await);
                    self.undo();
                }));
                return Err(Error::no_answer());
            }
        };
        if outcome.as_ref().is_err_and(|error| error.effect() == Effect::Unknown) {
            self.undo();
        }
        outcome
    }

    async fn until(&self, end: Option<Moment>) {
        match end {
            Some(end) => self.via.runtime.sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    fn undo(&self) {
        if self.via.lease.check().is_ok() {
            self.via.leave_unheard(&self.line, self.claim.id);
        }
    }
}
