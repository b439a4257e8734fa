//! The scheduled task.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use lock_core::{ClaimId, Line, Outcome, Result, Turn};

use super::Driven;

/// Work that is due at certain ticks, and that any of several processes may do; see [`Task`](crate::Task).
/// Cheap to clone.
///
/// Unlike there, work cannot be dropped half way. When its turn is lost (its session, or the time that
/// [`at_most_for`](Self::at_most_for) allows), it runs to its end all the same, beside whoever starts the
/// tick again meanwhile; only then it is looked at whether it still counts. Let work end within its time, and
/// send the [token](Turn::token) along: the resource is what can stop it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Task(pub(super) Driven<crate::Task>);

impl Task {
    /// For how long the turn lasts at most: then the next in line starts the tick again. Work that takes
    /// longer is not stopped, and does not count. More than zero.
    pub fn at_most_for(self, longest: Duration) -> Self {
        Self(self.0.map(|task| task.at_most_for(longest)))
    }

    /// Keeps the turn for at least this long; see [`Task::at_least_for`](crate::Task::at_least_for).
    pub fn at_least_for(self, shortest: Duration) -> Self {
        Self(self.0.map(|task| task.at_least_for(shortest)))
    }

    /// Never leaves a tick behind that was interrupted; see [`Task::in_order`](crate::Task::in_order).
    pub fn in_order(self) -> Self {
        Self(self.0.map(crate::Task::in_order))
    }

    /// Waits for the turn, and runs `work` on this thread unless `tick` is done by then.
    ///
    /// # Errors
    ///
    /// As [`Task::run`](crate::Task::run): without effect, `work` was not begun; with an unknown effect it
    /// ran to its end, and too late, or that could not be recorded.
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync), without effect.
    pub fn run<T>(&self, tick: u64, work: impl FnOnce() -> T) -> Result<Outcome<T>> {
        self.run_with(tick, |_| work())
    }

    /// As [`run`](Self::run), for work that needs to know its [`Turn`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with<T>(&self, tick: u64, work: impl FnOnce(Turn) -> T) -> Result<Outcome<T>> {
        const RUN: &str = "run";
        let (begun, value) = (Cell::new(None), RefCell::new(None));
        // Stands for the work: it waits until that has been done.
        let done = poll_fn(|_| value.take().map_or(Poll::Pending, Poll::Ready));
        let mut running = pin!(self.0.inner.run_with(tick, |turn| {
            begun.set(Some(turn));
            done
        }));
        let until_begun = poll_fn(|context| match running.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map(Step::Ended)),
            Poll::Pending => begun.get().map_or(Poll::Pending, |turn| Poll::Ready(Ok(Step::Begun(turn)))),
        });
        match self.0.driver.wait(RUN, until_begun)? {
            Step::Ended(outcome) => Ok(outcome),
            Step::Begun(turn) => {
                // Outside the runtime: work may block, and lock for itself.
                value.replace(Some(work(turn)));
                self.0.driver.wait(RUN, running)
            }
        }
    }

    /// Who works on the task, who waits, since when.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn inspect(&self) -> Result<Line> {
        self.0.wait("inspect", crate::Task::inspect)
    }

    /// Removes somebody's claim by force; see [`Task::evict`](crate::Task::evict). The tick that it ran is
    /// started again, while whoever ran it goes on to the end of the work.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.0.wait("evict", |task| task.evict(claim))
    }

    /// Forgets the last tick; see [`Task::forget`](crate::Task::forget).
    ///
    /// # Errors
    ///
    /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn forget(&self) -> Result<()> {
        self.0.wait("forget", crate::Task::forget)
    }
}

/// How far a run has come.
enum Step<T> {
    /// It is over, without the work.
    Ended(Outcome<T>),
    /// The work is to be done.
    Begun(Turn),
}
