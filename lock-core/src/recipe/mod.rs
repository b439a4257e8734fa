//! What users come for. Each recipe is written once, over the seam, and knows no store.

mod barrier;
mod cap;
#[cfg(feature = "testkit")]
mod claims;
pub(crate) mod delay;
mod election;
mod group;
mod latch;
mod multi;
#[cfg_attr(
    not(feature = "testkit"),
    expect(dead_code, unreachable_pub, reason = "tests break recipes, users do not")
)]
mod mutant;
mod mutex;
mod published;
mod reentrant;
mod rwlock;
mod semaphore;
mod task;
mod together;
mod watch;
mod written;

pub use barrier::{Barrier, DoubleBarrier, Inside, OnLoss};
#[cfg(feature = "testkit")]
pub use claims::Claims;
pub use election::{Election, Leader, Leadership, Observer, Standing};
pub use group::{Group, GroupWatch, Member, Members, Membership};
pub use latch::Latch;
pub use multi::{MultiGuard, MultiLock};
#[cfg(feature = "testkit")]
pub use mutant::Mutant;
#[cfg(not(feature = "testkit"))]
pub(crate) use mutant::Mutant;
pub use mutex::Mutex;
pub use reentrant::{ReentrantGuard, ReentrantMutex};
pub use rwlock::{RwLock, WriteGuard};
pub use semaphore::Semaphore;
pub use task::{Outcome, Task, Turn};
pub(crate) use watch::LineWatch;

use std::{sync::Arc, time::Duration};

use futures_core::stream::BoxStream;

use crate::{
    backend::{Cell, CellVersion, Line, SharedSession},
    claim::{Claim, ClaimId, Grant, Payload, Place, Via},
    coordinator::Shared,
    error::{Effect, Error, ErrorKind, Result},
    guard::Guard,
    line::Mode,
    name::LineId,
    runtime::{Moment, jitter},
    work,
};

/// One line, through one coordinator: what every recipe is made of.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    shared: Arc<Shared>,
    line: LineId,
}

/// How long a try asks a store that does not answer, at least.
const ASK_AGAIN_FOR: Duration = Duration::from_secs(1);

/// How long somebody is willing to wait.
#[derive(Clone, Copy, Debug)]
enum Patience {
    None,
    Until(Moment),
}

/// What is asked of a line.
#[derive(Clone, Debug)]
struct Request {
    mode: Mode,
    payload: Payload,
    terms: Terms,
}

/// What a user asks for beyond a turn.
#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    /// How long a guard lasts at most.
    max_hold: Option<Duration>,
    /// How long nobody is let in after a holder that did not end well.
    lock_delay: Option<Duration>,
    /// How many claims may be in line, this one among them.
    at_most_in_line: Option<usize>,
}

/// A turn that was just granted, and when.
type Taken = (Place, Grant, Moment);

/// What a change of a cell comes to; see [`Entrance::amend_cell`].
enum Amendment<T> {
    /// The cell says what it must already.
    Stands(T),
    /// These bytes are to be written.
    Write(Vec<u8>, T),
}

impl Request {
    fn new(mode: Mode) -> Self {
        Self { mode, payload: Payload::default(), terms: Terms::default() }
    }

    fn exclusive() -> Self {
        Self::new(Mode::Exclusive)
    }
}

impl Terms {
    fn check(&self) -> Result<()> {
        if self.max_hold.is_some_and(|max_hold| max_hold.is_zero()) {
            return Err(Error::new(ErrorKind::InvalidOption, "a hold of no time at all is not a hold"));
        }
        if self.lock_delay.is_some_and(|delay| delay.is_zero()) {
            return Err(Error::new(ErrorKind::InvalidOption, "a delay of no time at all is not a delay"));
        }
        if self.at_most_in_line == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidOption,
                "a line without room for anybody is not a line",
            ));
        }
        Ok(())
    }
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

    /// Waits for a turn, however long that takes.
    async fn acquire(&self, operation: &'static str, request: &Request) -> Result<Guard> {
        work::check(&self.shared, &self.line, request.mode).map_err(self.context(operation))?;
        let claimed = self.now();
        let attempt = |via| self.wait_under(via, request, claimed);
        self.under_a_session(operation, request, None, claimed, attempt).await
    }

    /// Waits for a turn while one session lives.
    async fn wait_under(&self, via: Arc<Via>, request: &Request, claimed: Moment) -> Result<Guard> {
        let taken = self.turn(via, request).await?;
        match request.terms.lock_delay {
            None => Ok(self.guard(taken, claimed, request)),
            Some(delay) => Box::pin(self.after_delay(taken, claimed, request, delay)).await,
        }
    }

    /// Waits for a turn as long as `patience` lasts.
    async fn try_acquire(
        &self,
        operation: &'static str,
        request: &Request,
        patience: Patience,
    ) -> Result<Option<Guard>> {
        let claimed = self.now();
        let attempt = |via| self.try_under(via, request, patience, claimed);
        self.under_a_session(operation, request, Some(patience), claimed, attempt).await
    }

    /// The same while one session lives.
    async fn try_under(
        &self,
        via: Arc<Via>,
        request: &Request,
        patience: Patience,
        claimed: Moment,
    ) -> Result<Option<Guard>> {
        let Some(taken) = self.try_turn(via, request, patience).await? else { return Ok(None) };
        match request.terms.lock_delay {
            None => Ok(Some(self.guard(taken, claimed, request))),
            Some(delay) => Box::pin(self.try_after_delay(taken, claimed, request, delay, patience)).await,
        }
    }

    async fn turn(&self, via: Arc<Via>, request: &Request) -> Result<Taken> {
        // Nobody needs to be counted where there is nobody in the way.
        if request.terms.at_most_in_line.is_some()
            && let Some(taken) = Box::pin(self.turn_now(&via, request, None)).await?
        {
            return Ok(taken);
        }
        let place = self.join(&via, request).await?;
        let (grant, now) = place.granted().await?;
        Ok((place, grant, now))
    }

    async fn try_turn(&self, via: Arc<Via>, request: &Request, patience: Patience) -> Result<Option<Taken>> {
        // Also for those who would wait: if it fails, a conflicting claim was in line, and giving up later is
        // right however slow the store is (C6).
        let taken = self.turn_now(&via, request, Some(patience)).await?;
        let end = match patience {
            Patience::Until(end) if taken.is_none() && self.now() < end => end,
            Patience::Until(_) | Patience::None => return Ok(taken),
        };
        let runtime = &self.shared.runtime;
        let place = tokio::select! { biased;
            place = self.join(&via, request) => place?,
            // The join that is under way is withdrawn in the background.
            () = runtime.sleep_until(end) => return Ok(None),
        };
        let (grant, now) = tokio::select! { biased;
            granted = place.granted() => granted?,
            () = runtime.sleep_until(end) => {
                self.give_up(patience, place.leave()).await?;
                return Ok(None);
            }
        };
        Ok(Some((place, grant, now)))
    }

    /// Leaves what has not come in time, or not in full.
    async fn give_up(&self, patience: Patience, leaving: impl Future<Output = Result<()>>) -> Result<()> {
        match self.ask(Some(patience), leaving).await {
            // It goes on in the background, or was done by the end of the session.
            Err(error) if error.is_retryable() => Ok(()),
            outcome => outcome,
        }
    }

    fn guard(&self, (place, grant, now): Taken, claimed: Moment, request: &Request) -> Guard {
        let Request { mode, terms, .. } = request;
        Guard::new(self.shared.clone(), place, grant, *mode, (claimed, now), terms.max_hold)
    }

    /// A turn, if it is granted at once.
    async fn turn_now(
        &self,
        via: &Arc<Via>,
        request: &Request,
        patience: Option<Patience>,
    ) -> Result<Option<Taken>> {
        let (claim, end) = (self.claim(via, request), patience.map(|patience| self.asked_until(patience)));
        let taken = Place::try_join(via.clone(), &self.line, claim, end).await?;
        // An exclusive claim that is granted is alone.
        if let (Some((place, ..)), Some(most)) = (&taken, request.terms.at_most_in_line)
            && request.mode != Mode::Exclusive
        {
            self.ask(patience, Box::pin(self.stay_among(place, most))).await?;
        }
        Ok(taken)
    }

    /// A place at the end of the line.
    async fn join(&self, via: &Arc<Via>, request: &Request) -> Result<Place> {
        match request.terms.at_most_in_line {
            None => Place::join(via.clone(), &self.line, self.claim(via, request)).await,
            Some(most) => Box::pin(self.join_among(via, request, most)).await,
        }
    }

    /// A store that does not answer is asked again for a little while, or for as long as the caller would
    /// wait anyway.
    fn asked_until(&self, patience: Patience) -> Moment {
        let soon = self.now() + ASK_AGAIN_FOR;
        if let Patience::Until(end) = patience { end.max(soon) } else { soon }
    }

    /// What somebody needs from the store beside the turn. One who tries does not ask for it any longer than
    /// for the turn itself.
    async fn ask<T>(&self, patience: Option<Patience>, call: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(patience) = patience else { return call.await };
        tokio::select! { biased;
            outcome = call => outcome,
            () = self.shared.runtime.sleep_until(self.asked_until(patience)) => {
                Err(Error::no_answer())
            }
        }
    }

    fn claim(&self, via: &Via, request: &Request) -> Claim {
        self.shared.claim(via, request.mode, request.payload.clone())
    }

    /// Makes attempts under as many sessions as that takes. With each new one a waiter queues anew, at the
    /// back.
    async fn under_a_session<T, A: Future<Output = Result<T>>>(
        &self,
        operation: &'static str,
        request: &Request,
        patience: Option<Patience>,
        claimed: Moment,
        attempt: impl Fn(Arc<Via>) -> A,
    ) -> Result<T> {
        let context = self.context(operation);
        let mut now = claimed;
        loop {
            let via = self.prepare(operation, request, patience, now).await?;
            match attempt(via).await {
                Err(error) if error.kind() == ErrorKind::SessionLost => {
                    tracing::warn!(line = %self.line, %error, "the session was lost; once more, at the back");
                    now = self.now();
                }
                outcome => return outcome.map_err(&context),
            }
        }
    }

    /// A session that can be asked for this; what cannot be asked for is refused before any I/O.
    async fn prepare(
        &self,
        operation: &'static str,
        request: &Request,
        patience: Option<Patience>,
        now: Moment,
    ) -> Result<Arc<Via>> {
        let context = self.context(operation);
        request.terms.check().and_then(|()| request.mode.validate()).map_err(&context)?;
        let via = self.session(patience, now).await.map_err(&context)?;
        if !via.session.capabilities().modes.include(self.line.kind(), request.mode) {
            let message = format!("the store has no {} claims", request.mode);
            return Err(context(Error::new(ErrorKind::Unsupported, message)));
        }
        Ok(via)
    }

    /// The session to use at this moment: a new one when the last was lost. One who tries waits for that as long as for
    /// the turn itself, beside the pause that everybody makes first.
    async fn session(&self, patience: Option<Patience>, now: Moment) -> Result<Arc<Via>> {
        if let Some(open) = self.shared.usable(now)? {
            return Ok(open);
        }
        let pause = self.shared.longest_pause();
        let patience = patience.map(|patience| Patience::Until(self.asked_until(patience) + pause));
        self.ask(patience, self.shared.replaced()).await
    }

    async fn inspect(&self) -> Result<Line> {
        let call = |session: SharedSession, line: LineId| async move { session.inspect(&line).await };
        self.look("inspect", call).await
    }

    async fn changes(&self, operation: &'static str) -> Result<BoxStream<'static, Result<Line>>> {
        let call = |session: SharedSession, line: LineId| async move { session.changes(&line).await };
        self.look(operation, call).await
    }

    async fn cell(&self, operation: &'static str) -> Result<Cell> {
        let call = |session: SharedSession, line: LineId| async move { session.cell(&line).await };
        self.look(operation, call).await
    }

    async fn evict(&self, claim: ClaimId) -> Result<bool> {
        let call =
            move |session: SharedSession, line: LineId| async move { session.evict(&line, claim).await };
        let evicted = self.change("evict", call).await?;
        if evicted {
            tracing::warn!(line = %self.line, %claim, "evicted");
        }
        Ok(evicted)
    }

    async fn forget(&self) -> Result<()> {
        let call = |session: SharedSession, line: LineId| async move { session.forget(&line).await };
        self.change("forget", call).await
    }

    /// A call that may be dropped at any time.
    async fn look<T, F: Future<Output = Result<T>> + Send>(
        &self,
        operation: &'static str,
        call: impl Fn(SharedSession, LineId) -> F,
    ) -> Result<T> {
        let context = self.context(operation);
        let via = self.session(None, self.now()).await.map_err(&context)?;
        via.look(|| call(via.session.clone(), self.line.clone())).await.map_err(&context)
    }

    /// A call that is finished whatever the caller does.
    async fn change<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        operation: &'static str,
        call: impl Fn(SharedSession, LineId) -> F + Send + Sync + 'static,
    ) -> Result<T> {
        let context = self.context(operation);
        let via = self.session(None, self.now()).await.map_err(&context)?;
        let line = self.line.clone();
        via.change(move |session| call(session, line.clone())).await.map_err(&context)
    }

    /// Writes the cell while `guard` holds. `bytes` must differ from all other writes of this cell: that is
    /// how a write whose reply was lost is told from somebody else's (C9).
    async fn put_cell(
        &self,
        operation: &'static str,
        expected: CellVersion,
        bytes: &[u8],
        guard: &Guard,
    ) -> Result<CellVersion> {
        let context = self.context(operation);
        let (via, under) = (guard.place().via(), Some(guard.place().ticket()));
        let put = via.guarded(|| via.session.put_cell(&self.line, expected, bytes, under)).await;
        match put {
            Err(error) if error.kind() == ErrorKind::Conflict && error.effect() == Effect::Unknown => {
                let cell = via.look(|| via.session.cell(&self.line)).await;
                let cell = cell.map_err(|look| context(look.after(error.effect())))?;
                if *cell.bytes == *bytes {
                    return Ok(cell.version);
                }
                let why = "the reply to a write was lost, and another holder has written since";
                Err(context(Error::new(ErrorKind::NotHeld, why).with_unknown_effect()))
            }
            put => put.map_err(&context),
        }
    }

    /// Changes the cell until it says what it must, whoever else writes: `amend` looks at it, knowing what
    /// effect earlier writes had, and says what is to be written. It must find its own change when it looks
    /// again, for the reply to a write may be lost (C9). With `guard`, only while that holds (C17).
    async fn amend_cell<T>(
        &self,
        operation: &'static str,
        guard: Option<&Guard>,
        amend: impl Fn(&Cell, Effect) -> Result<Amendment<T>>,
    ) -> Result<T> {
        let mut effect = Effect::None;
        loop {
            let outcome = self.amend_once(operation, guard, |cell| amend(cell, effect)).await;
            match outcome.map_err(|error| error.after(effect)) {
                // Somebody else was faster, or the reply to our own write was lost.
                Err(error) if error.kind() == ErrorKind::Conflict => effect = error.effect(),
                outcome => return outcome.map_err(self.context(operation)),
            }
        }
    }

    async fn amend_once<T>(
        &self,
        operation: &'static str,
        guard: Option<&Guard>,
        amend: impl Fn(&Cell) -> Result<Amendment<T>>,
    ) -> Result<T> {
        let cell = self.cell(operation).await?;
        let (bytes, then) = match amend(&cell)? {
            Amendment::Stands(value) => return Ok(value),
            Amendment::Write(bytes, then) => (bytes, then),
        };
        let (via, under) = match guard {
            Some(guard) => (guard.place().via().clone(), Some(guard.place().ticket())),
            None => (self.session(None, self.now()).await?, None),
        };
        via.guarded(|| via.session.put_cell(&self.line, cell.version, &bytes, under)).await.map(|_| then)
    }

    /// Whether the recipe is broken in this way, on purpose.
    fn is(&self, mutant: Mutant) -> bool {
        self.shared.is(mutant)
    }

    /// Lets a random part of a tenth of the ttl pass, and no more than a second.
    async fn pause(&self) {
        jitter(&*self.shared.runtime, self.shared.longest_pause()).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.runtime.spawn(Box::pin(task));
    }
}

/// Gives up a turn whose work is done: a release that fails is one that the store has already made.
async fn release(guard: Guard) {
    if let Err(error) = guard.release().await {
        tracing::debug!(%error, "the turn had ended before it was released");
    }
}
