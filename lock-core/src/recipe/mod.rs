//! What users come for. Each recipe is written once, over the seam, and knows no store.

mod election;
mod mutex;
mod task;

pub use election::{Election, Leader, Leadership, Observer, Standing};
pub use mutex::Mutex;
pub use task::{Outcome, Task, Turn};

use std::{sync::Arc, time::Duration};

use futures_core::stream::BoxStream;

use crate::{
    backend::{Cell, CellVersion, Line},
    claim::{ClaimId, Grant, Payload, Place},
    coordinator::{Open, Shared},
    error::{Effect, Error, ErrorKind, Result},
    guard::Guard,
    line::Mode,
    name::LineId,
    runtime::{Moment, jitter},
    session::LostReason,
};

/// One line, through one coordinator: what every recipe is made of.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    shared: Arc<Shared>,
    line: LineId,
}

/// How long somebody is willing to wait.
#[derive(Clone, Copy, Debug)]
enum Patience {
    None,
    Until(Moment),
    Endless,
}

/// What is asked of a line.
#[derive(Clone, Debug)]
struct Request {
    mode: Mode,
    payload: Payload,
    patience: Patience,
    max_hold: Option<Duration>,
}

impl Entrance {
    pub(crate) fn new(shared: Arc<Shared>, line: LineId) -> Self {
        Self { shared, line }
    }

    fn now(&self) -> Moment {
        self.shared.runtime.now()
    }

    /// Adds to an error what was tried, and where.
    fn context(&self, operation: &'static str) -> impl Fn(Error) -> Error {
        move |error| error.during(operation).on(&self.line)
    }

    /// Waits for a turn, under as many sessions as that takes: with each new one it queues anew, at the back.
    async fn acquire(&self, operation: &'static str, request: Request) -> Result<Option<Guard>> {
        let context = self.context(operation);
        check_max_hold(request.max_hold).map_err(&context)?;
        let claimed = self.now();
        loop {
            let open = self.shared.session().await.map_err(&context)?;
            if !open.via.session.capabilities().modes.include(request.mode) {
                let message = format!("the store has no {} claims", request.mode);
                return Err(context(Error::new(ErrorKind::Unsupported, message)));
            }
            match self.take_turn(&open, &request).await {
                Ok(None) => return Ok(None),
                Ok(Some((place, grant))) => {
                    let guard = Guard::new(self.shared.clone(), place, grant, claimed, request.max_hold);
                    return Ok(Some(guard));
                }
                Err(error) if error.kind() == ErrorKind::SessionLost => {
                    // The store may know before the lease does; the first reason stands.
                    open.via.lease().lose(LostReason::Expired);
                    tracing::warn!(line = %self.line, %error, "queueing anew, at the back");
                }
                Err(error) => return Err(context(error)),
            }
        }
    }

    /// As [`acquire`](Self::acquire), for a request whose patience has no end.
    async fn acquire_patiently(&self, operation: &'static str, request: Request) -> Result<Guard> {
        debug_assert!(matches!(request.patience, Patience::Endless));
        loop {
            if let Some(guard) = self.acquire(operation, request.clone()).await? {
                return Ok(guard);
            }
        }
    }

    /// One attempt, under one session.
    async fn take_turn(&self, open: &Open, request: &Request) -> Result<Option<(Place, Grant)>> {
        let (via, line) = (|| open.via.clone(), &self.line);
        let claim = || self.shared.claim(open, request.mode, request.payload.clone());
        let end = match request.patience {
            Patience::Endless => {
                let place = Place::join(via(), line, claim()).await?;
                let grant = place.granted().await?;
                return Ok(Some((place, grant)));
            }
            Patience::None => return Place::try_join(via(), line, claim()).await,
            Patience::Until(end) => end,
        };
        // A try first: if it fails, a conflicting claim was in line, and giving up later is right however slow the store is (C6).
        let taken = Place::try_join(via(), line, claim()).await?;
        if taken.is_some() || self.now() >= end {
            return Ok(taken);
        }
        let place = Place::join(via(), line, claim()).await?;
        let grant = tokio::select! { biased;
            grant = place.granted() => grant?,
            () = self.shared.runtime.sleep_until(end) => {
                place.leave().await?;
                return Ok(None);
            }
        };
        Ok(Some((place, grant)))
    }

    async fn inspect(&self) -> Result<Line> {
        let context = self.context("inspect");
        let open = self.shared.session().await.map_err(&context)?;
        open.via.session.inspect(&self.line).await.map_err(&context)
    }

    async fn evict(&self, claim: ClaimId) -> Result<bool> {
        let context = self.context("evict");
        let open = self.shared.session().await.map_err(&context)?;
        let evicted =
            open.via.exactly_once(|| open.via.session.evict(&self.line, claim)).await.map_err(&context)?;
        if evicted {
            tracing::warn!(line = %self.line, %claim, "evicted");
        }
        Ok(evicted)
    }

    async fn changes(&self) -> Result<BoxStream<'static, Result<Line>>> {
        let context = self.context("observe");
        let open = self.shared.session().await.map_err(&context)?;
        open.via.exactly_once(|| open.via.session.changes(&self.line)).await.map_err(&context)
    }

    /// Lets a random part of a tenth of the ttl pass.
    async fn pause(&self) {
        jitter(&*self.shared.runtime, self.shared.ttl() / 10).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.runtime.spawn(Box::pin(task));
    }

    async fn forget(&self) -> Result<()> {
        let context = self.context("forget");
        let open = self.shared.session().await.map_err(&context)?;
        open.via.exactly_once(|| open.via.session.forget(&self.line)).await.map_err(&context)
    }

    async fn cell(&self, operation: &'static str) -> Result<Cell> {
        let context = self.context(operation);
        let open = self.shared.session().await.map_err(&context)?;
        open.via.exactly_once(|| open.via.session.cell(&self.line)).await.map_err(&context)
    }

    /// Writes the cell while `guard` holds. `bytes` must differ from all other writes of this cell: that is how a write whose reply was
    /// lost is told from somebody else's (C9).
    async fn put_cell(
        &self,
        operation: &'static str,
        expected: CellVersion,
        bytes: &[u8],
        guard: &Guard,
    ) -> Result<CellVersion> {
        let context = self.context(operation);
        let (via, under) = (guard.place().via(), Some(guard.place().ticket()));
        let put = via.exactly_once(|| via.session.put_cell(&self.line, expected, bytes, under)).await;
        match put {
            Err(error) if error.kind() == ErrorKind::Conflict && error.effect() == Effect::Unknown => {
                let cell = via.exactly_once(|| via.session.cell(&self.line)).await.map_err(&context)?;
                if *cell.bytes == *bytes { Ok(cell.version) } else { Err(context(error)) }
            }
            put => put.map_err(&context),
        }
    }
}

fn check_max_hold(max_hold: Option<Duration>) -> Result<()> {
    if max_hold.is_some_and(|max_hold| max_hold.is_zero()) {
        return Err(Error::new(ErrorKind::InvalidOption, "a hold of no time at all is not a hold"));
    }
    Ok(())
}
