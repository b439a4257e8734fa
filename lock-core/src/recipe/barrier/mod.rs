//! Barriers: processes that go on when all of them have come.
//!
//! | file | what is in it |
//! |---|---|
//! | `rounds` | which rounds have been settled, and what follows for each participant; pure |
//! | `single` | the barrier: all come, then all go on |
//! | `double` | the double barrier: all come, work, and leave together |
//!
//! Participants are claims that are present in one line, in the order in which they came. Whoever sees that a
//! round is complete writes so into the line's cell, before anybody leaves. So one that is slow is woken by
//! those who leave, and finds there what they found; also when it was lost meanwhile, if it was counted.

mod double;
mod rounds;
mod single;

pub use double::{DoubleBarrier, Inside};
pub use single::Barrier;

use rounds::{Card, Participant, Rounds, State, Verdict, participants};

use crate::{
    backend::Cell,
    error::{Error, ErrorKind, Result},
    guard::Guard,
    line::Mode,
    recipe::{Amendment, Entrance, LineWatch, Mutant, Request, written},
};

/// What becomes of a barrier's round when a participant goes before it should: because it crashed, lost its
/// session, was evicted, or withdrew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnLoss {
    /// All of the round are told, by [`ErrorKind::Broken`].
    #[default]
    Fail,
    /// The others go on: they wait for somebody else to come instead, or leave without the one who has gone.
    GoOn,
}

/// Where participants meet: what both barriers are made of.
#[derive(Clone, Debug)]
struct Meeting {
    entrance: Entrance,
    /// How many make up a round.
    of: u32,
    on_loss: OnLoss,
}

impl Meeting {
    fn new(operation: &'static str, entrance: Entrance, of: u32) -> Result<Self> {
        if of == 0 {
            let error = Error::new(ErrorKind::InvalidOption, "a barrier of nobody has nothing to wait for");
            return Err(entrance.context(operation)(error));
        }
        Ok(Self { entrance, of, on_loss: OnLoss::default() })
    }

    /// Comes, and waits until the round is settled. When the session is lost first, comes again, at the back.
    async fn gather(&self, operation: &'static str) -> Result<(Guard, State)> {
        let card = Card { of: self.of, leaving: false };
        let payload = card.payload().map_err(self.entrance.context(operation))?;
        let request = Request { payload, ..Request::new(Mode::Present) };
        loop {
            let guard = self.entrance.acquire(operation, &request).await?;
            let place = guard.place().ticket().place;
            let arrive = |rounds: &Rounds, there: &[Participant], seen: &[u64]| {
                rounds.arrive(there, place, self.of, self.on_loss, seen)
            };
            match self.settled(operation, &guard, arrive).await {
                Ok(state) => return Ok((guard, state)),
                Err(error) if error.kind() == ErrorKind::SessionLost => {
                    tracing::warn!(line = %self.entrance.line, %error, "the session was lost; comes again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at the line and at the cell, again and again, until `judge` finds the round of this participant
    /// settled, by whomever.
    ///
    /// The cell is read at each look, not only when somebody seems to have gone: those who make up a round
    /// may come, settle it and leave between two looks.
    async fn settled(
        &self,
        operation: &'static str,
        guard: &Guard,
        judge: impl Fn(&Rounds, &[Participant], &[u64]) -> Verdict,
    ) -> Result<State> {
        let context = self.entrance.context(operation);
        // Opened with the place taken: a line without it is one that it has been taken out of.
        let mut watch = LineWatch::new(self.entrance.clone());
        let mut seen = Vec::new();
        loop {
            let there = participants(&watch.next(operation).await?).map_err(&context)?;
            let write_down =
                |cell: &Cell, _| self.settle(cell, &there, |rounds| judge(rounds, &there, &seen));
            match self.entrance.amend_cell(operation, None, write_down).await {
                Ok(Verdict::Settled(state)) => return Ok(state),
                Ok(Verdict::Gone) => {
                    let reason = guard.lost().await;
                    return Err(context(Error::lost(reason)));
                }
                Ok(Verdict::Disagree(others)) => {
                    let message = format!("others meet here by {others}, this one by {}", self.of);
                    return Err(context(Error::new(ErrorKind::Disagreement, message)));
                }
                Ok(Verdict::Wait | Verdict::Settle(_)) => {}
                // The watch goes on under the next one, with a new look.
                Err(error) if error.kind() == ErrorKind::SessionLost => {}
                Err(error) => return Err(error),
            }
            let alike = there.iter().filter(|who| who.card.of == self.of);
            seen = alike.map(|who| who.place).collect();
        }
    }

    /// Settles what is to be settled, until `judge` finds no more of it.
    fn settle(
        &self,
        cell: &Cell,
        there: &[Participant],
        judge: impl Fn(&Rounds) -> Verdict,
    ) -> Result<Amendment<Verdict>> {
        let before: Rounds = written::read(cell, "rounds of a barrier")?.unwrap_or_default();
        let mut rounds = before.clone();
        let verdict = loop {
            match judge(&rounds) {
                Verdict::Settle(round) => rounds.settle(round, there),
                verdict => break verdict,
            }
        };
        if rounds == before || self.entrance.is(Mutant::NotReady) {
            return Ok(Amendment::Stands(verdict));
        }
        Ok(Amendment::Write(rounds.write()?, verdict))
    }
}
