//! The scheduled task: each tick completes once, whoever runs it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    backend::{CellVersion, Line},
    claim::ClaimId,
    error::{Error, ErrorKind, Result},
    guard::Guard,
    recipe::{Entrance, Request, Terms, release},
    runtime::Moment,
    token::FencingToken,
};

/// Work that is due at certain ticks, and that any of several processes may do. Cheap to clone.
///
/// Every process calls [`run`](Self::run) for each tick when it is due. One of them runs the work; the others
/// wait in line and find it done. If the one who runs it dies, the next in line starts it again.
///
/// **It guarantees** that a tick is recorded as completed at most once; that it is completed if a caller goes
/// on asking for it until the outcome is neither an error nor [`Interrupted`](Outcome::Interrupted), unless a
/// later tick takes its place (see [`in_order`](Self::in_order)); that no two callers work on the task at a
/// time, with the limits of every guard (see [`Guard`]); that one who finishes too late is refused (clause
/// C17).
///
/// **It does not guarantee** that the *effects* of an interrupted tick did not happen: its work was dropped,
/// or died with its process, at some step, and is started again from the beginning. Make it idempotent, or
/// have the resource check the [token](Turn::token). Nor does it look at what the work returns: work that
/// fails has completed its tick.
///
/// A tick is a number that rises, such as the scheduled time in seconds since 1970. The last one is
/// remembered in the line's cell, which outlives every session.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options, Outcome};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let report = coordinator.task("reports/daily")?;
/// assert_eq!(report.run(20_261_123, async { "sent" }).await?, Outcome::Completed("sent"));
/// assert_eq!(report.run(20_261_123, async { "sent again" }).await?, Outcome::AlreadyDone);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Task {
    entrance: Entrance,
    at_most_for: Option<Duration>,
    at_least_for: Duration,
    in_order: bool,
}

/// What became of a call of [`Task::run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the tick may not have been run"]
#[non_exhaustive]
pub enum Outcome<T> {
    /// This call ran the work to its end, and that is recorded.
    Completed(T),
    /// The tick had been completed before.
    AlreadyDone,
    /// A later tick has been started; this one will not be run any more. Whether it ever was is not
    /// remembered.
    Superseded,
    /// An earlier tick was started and never completed; nothing was run. Only with [`Task::in_order`].
    Interrupted {
        /// The tick to run first.
        earlier: u64,
    },
}

/// The turn in which work is done; see [`Task::run_with`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// The tick that is run.
    pub tick: u64,
    /// What a resource can tell a late runner by.
    pub token: FencingToken,
    /// How long it took from the call to the turn.
    pub waited: Duration,
    /// The token of the last runner who started this tick and did not complete it.
    pub interrupted: Option<FencingToken>,
}

/// What the cell remembers: the last tick that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    tick: u64,
    state: State,
    token: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Started,
    Done,
}

const RUN: &str = "run";

impl Task {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance, at_most_for: None, at_least_for: Duration::ZERO, in_order: false }
    }

    /// Drops work that takes longer than this; then the next in line starts the tick again. More than zero.
    pub const fn at_most_for(mut self, longest: Duration) -> Self {
        self.at_most_for = Some(longest);
        self
    }

    /// Keeps the turn for at least this long after the work began, even if it is done sooner, so that ticks
    /// do not follow each other faster. A crash, or closing the coordinator, ends it sooner. At most
    /// [`at_most_for`](Self::at_most_for).
    pub const fn at_least_for(mut self, shortest: Duration) -> Self {
        self.at_least_for = shortest;
        self
    }

    /// Never leaves a tick behind that was interrupted: a call for a later one answers
    /// [`Outcome::Interrupted`] until the earlier one has been run. Without this, a later tick that gets
    /// its turn first takes the place of the interrupted one.
    pub const fn in_order(mut self) -> Self {
        self.in_order = true;
        self
    }

    /// Waits for the turn, and runs `work` unless `tick` is done by then.
    ///
    /// # Errors
    ///
    /// What [`Mutex::lock`](crate::Mutex::lock) fails with, without effect: `work` was not begun. With an
    /// unknown effect, the turn was lost after that: `work` was dropped, or ended too late to be
    /// recorded, and `tick` is started again by the next in line. Call again to be in line yourself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work` and leaves the line in the background. `tick` then counts as
    /// interrupted.
    pub async fn run<F: Future>(&self, tick: u64, work: F) -> Result<Outcome<F::Output>> {
        self.run_with(tick, |_| work).await
    }

    /// As [`run`](Self::run), for work that needs to know its [`Turn`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_with<F: Future>(
        &self,
        tick: u64,
        work: impl FnOnce(Turn) -> F,
    ) -> Result<Outcome<F::Output>> {
        self.check_options().map_err(self.entrance.context(RUN))?;
        // Most callers come too late, and need not queue to learn it.
        if let Some(outcome) = settled(self.last().await?.1, tick) {
            return Ok(outcome);
        }
        let guard = self.turn().await?;
        let (version, last) = self.last().await?;
        if let Some(outcome) = settled(last, tick).or_else(|| self.interrupted_before(last, tick)) {
            release(guard).await;
            return Ok(outcome);
        }
        let interrupted =
            last.filter(|last| last.tick == tick).map(|last| FencingToken::new(last.token)).transpose()?;
        let version = self.record(&guard, version, tick, State::Started).await?;
        let began = guard.now();
        let turn = Turn { tick, token: guard.token(), waited: guard.waited(), interrupted };
        tracing::info!(line = %self.entrance.line, tick, token = %turn.token, ?interrupted, "tick started");
        // From here on something has been done: the tick is on record as started, and so is what the work
        // did.
        let half_done = |error: Error| self.entrance.context(RUN)(error).with_unknown_effect();
        let value = guard.run(work(turn)).await.map_err(Error::from).map_err(half_done)?;
        self.record(&guard, version, tick, State::Done).await.map_err(half_done)?;
        tracing::info!(line = %self.entrance.line, tick, token = %turn.token, "tick done");
        if self.at_least_for.is_zero() {
            release(guard).await;
        } else {
            self.entrance.spawn(release_at(guard, began + self.at_least_for));
        }
        Ok(Outcome::Completed(value))
    }

    /// Who works on the task, who waits, since when.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn inspect(&self) -> Result<Line> {
        self.entrance.inspect().await
    }

    /// Removes somebody's claim by force; see [`Mutex::evict`](crate::Mutex::evict). The tick that it ran is
    /// started again, except in memory perhaps before its runner has heard.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.entrance.evict(claim).await
    }

    /// Forgets the last tick, for a task that will not run again: all that it left in the store.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn forget(&self) -> Result<()> {
        self.entrance.forget().await
    }

    fn check_options(&self) -> Result<()> {
        self.terms().check()?;
        match self.at_most_for {
            Some(longest) if self.at_least_for > longest => {
                let shortest = self.at_least_for;
                let message = format!("at_least_for ({shortest:?}) is longer than at_most_for ({longest:?})");
                Err(Error::new(ErrorKind::InvalidOption, message))
            }
            _ => Ok(()),
        }
    }

    async fn turn(&self) -> Result<Guard> {
        let request = Request { terms: self.terms(), ..Request::exclusive() };
        self.entrance.acquire(RUN, &request).await
    }

    fn terms(&self) -> Terms {
        Terms { max_hold: self.at_most_for, ..Terms::default() }
    }

    /// The last tick that was started, and the version of the cell that says so.
    async fn last(&self) -> Result<(CellVersion, Option<Record>)> {
        let cell = self.entrance.cell(RUN).await?;
        if cell.version == CellVersion::ABSENT {
            return Ok((cell.version, None));
        }
        let record = serde_json::from_slice(&cell.bytes).map_err(|source| {
            let error = Error::new(
                ErrorKind::Garbled,
                "the cell holds no record of a tick that this version can read",
            );
            self.entrance.context(RUN)(error.with_source(source))
        })?;
        Ok((cell.version, Some(record)))
    }

    /// Under the guard: an earlier tick that is not done has no runner any more.
    fn interrupted_before<T>(&self, last: Option<Record>, tick: u64) -> Option<Outcome<T>> {
        let earlier = last.filter(|last| last.tick < tick && last.state == State::Started)?.tick;
        if self.in_order {
            return Some(Outcome::Interrupted { earlier });
        }
        tracing::warn!(line = %self.entrance.line, earlier, tick, "takes the place of a tick that was interrupted");
        None
    }

    async fn record(
        &self,
        guard: &Guard,
        expected: CellVersion,
        tick: u64,
        state: State,
    ) -> Result<CellVersion> {
        let record = Record { tick, state, token: guard.token().get() };
        let bytes = serde_json::to_vec(&record).map_err(|source| {
            Error::new(ErrorKind::Garbled, "the record of a tick could not be written").with_source(source)
        })?;
        self.entrance.put_cell(RUN, expected, &bytes, guard).await
    }
}

/// What there is to say about `tick` without its turn.
fn settled<T>(last: Option<Record>, tick: u64) -> Option<Outcome<T>> {
    match last? {
        last if last.tick > tick => Some(Outcome::Superseded),
        last if last.tick == tick && last.state == State::Done => Some(Outcome::AlreadyDone),
        _ => None,
    }
}

async fn release_at(guard: Guard, end: Moment) {
    let runtime = guard.place().via().runtime.clone();
    tokio::select! { biased;
        _ = guard.lost() => {}
        () = runtime.sleep_until(end) => release(guard).await,
    }
}
