//! The lock-delay (C25): after an unclean end of a holder nobody is let in for a while.
//!
//! A holder says in the line's cell that it holds, under its own ticket, and says so again when it ends well.
//! Whoever is granted and finds an earlier holder there that did not knows that this one was lost, and waits
//! before it acts; meanwhile it stands in line as a holder, so everybody else waits too.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    backend::{Cell, CellVersion},
    claim::{Grant, Place, Ticket, Via},
    coordinator::Shared,
    error::{Effect, Error, ErrorKind, Result},
    guard::Guard,
    line::Mode,
    name::LineId,
    recipe::{Entrance, Mutant, Patience, Request, Taken, written},
    runtime::{BoxFuture, Moment},
    session::LostReason,
    sync::{Signal, locked},
};

/// What the cell remembers of those who hold alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Record {
    /// This one holds, or did not end well.
    Held { token: u64, delay_ms: u64 },
    /// This one has ended well, or others have waited long enough after it.
    Released(u64),
}

/// When this coordinator first learned, by being granted itself, that a holder was gone, for each line where
/// one had not ended well. So the delay passes also for those who try again and again. An entry stays until
/// this coordinator is let in, or another holder is lost there; few lines ever have one.
#[derive(Debug, Default)]
pub(crate) struct UncleanEnds(Mutex<FxHashMap<LineId, (u64, Moment)>>);

impl UncleanEnds {
    fn first_seen(&self, line: &LineId, token: u64, now: Moment) -> Moment {
        let mut seen = locked(&self.0);
        let entry = seen.entry(line.clone()).or_insert((token, now));
        if entry.0 != token {
            *entry = (token, now);
        }
        entry.1
    }

    fn is_over(&self, line: &LineId) {
        locked(&self.0).remove(line);
    }
}

/// What one who was granted finds in the cell.
#[derive(Clone, Copy)]
struct Found {
    version: CellVersion,
    /// The token of a holder that did not end well, and when nobody needs to wait for it any more.
    lost: Option<(u64, Moment)>,
}

impl Entrance {
    /// The guard for a turn, once no holder that was lost can be at work any more.
    pub(super) async fn after_delay(
        &self,
        taken: Taken,
        claimed: Moment,
        request: &Request,
        delay: Duration,
    ) -> Result<Guard> {
        let found = self.find(&taken).await?;
        if let Some((_, over)) = found.lost {
            stand_until(&taken, over).await?;
        }
        self.marked(taken, claimed, request, delay, found).await
    }

    /// The same for those who try: `None` when that is later than their patience lasts.
    pub(super) async fn try_after_delay(
        &self,
        taken: Taken,
        claimed: Moment,
        request: &Request,
        delay: Duration,
        patience: Patience,
    ) -> Result<Option<Guard>> {
        let found = self.ask(Some(patience), self.find(&taken)).await?;
        if let Some((_, over)) = found.lost {
            if let Patience::Until(end) = patience {
                stand_until(&taken, over.min(end)).await?;
            }
            if self.now() < over {
                self.give_up(patience, taken.0.leave()).await?;
                return Ok(None);
            }
        }
        self.ask(Some(patience), self.marked(taken, claimed, request, delay, found)).await.map(Some)
    }

    async fn find(&self, (place, _, now): &Taken) -> Result<Found> {
        let via = place.via();
        let cell = via.look(|| via.session.cell(&self.line)).await?;
        let lost = Record::read(&cell)?.and_then(Record::lost).filter(|_| !self.is(Mutant::NoDelay));
        let lost = lost.map(|(token, delay)| {
            let gone = self.shared.unclean_ends.first_seen(&self.line, token, *now);
            tracing::info!(line = %self.line, token, ?delay, "an earlier holder did not end well");
            (token, gone + delay)
        });
        Ok(Found { version: cell.version, lost })
    }

    /// Says in the cell that the turn is in use: an exclusive one that it is held, another one that a lost
    /// holder has been waited for.
    async fn marked(
        &self,
        taken: Taken,
        claimed: Moment,
        request: &Request,
        delay: Duration,
        Found { version, lost }: Found,
    ) -> Result<Guard> {
        let (via, alone) = (taken.0.via().clone(), request.mode == Mode::Exclusive);
        let record = match lost {
            _ if alone => Some(Record::held(&taken.1, delay)),
            lost => lost.map(|(token, _)| Record::Released(token)),
        };
        let (entrance, request) = (self.clone(), request.clone());
        // When the caller goes away, the guard is made all the same, and ends as one that is dropped.
        let enter = async move {
            let (place, ..) = &taken;
            let version = match record {
                Some(record) => write(place.via(), place.ticket(), version, record).await?,
                None => version,
            };
            let now = place.via().lease.check_now()?;
            let guard = entrance.guard((taken.0, taken.1, now), claimed, &request);
            entrance.shared.unclean_ends.is_over(&entrance.line);
            Ok(if alone { guard.with_mark(version) } else { guard })
        };
        via.finish(Box::pin(enter)).await
    }
}

/// Keeps a turn without using it.
async fn stand_until((place, grant, _): &Taken, end: Moment) -> Result<()> {
    let via = place.via();
    tokio::select! { biased;
        reason = grant.fate.ended() => Err(Error::lost(via.first_reason(reason))),
        reason = via.lease.lost() => Err(Error::lost(reason)),
        () = via.runtime.sleep_until(end) => Ok(()),
    }
}

/// How many guards are ending well.
#[derive(Debug, Default)]
pub(crate) struct Endings(Signal<usize>);

/// One of them.
struct Ending(Arc<Shared>);

impl Endings {
    /// Waits until all have ended.
    pub(crate) async fn are_over(&self) {
        self.0.wait(|under_way| (*under_way == 0).then_some(())).await;
    }
}

impl Ending {
    fn begins(shared: Arc<Shared>) -> Self {
        shared.endings.0.update_silently(|under_way| *under_way += 1);
        Self(shared)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.endings.0.update(|under_way| *under_way -= 1);
    }
}

/// Says in the cell that a holder has ended well, and leaves.
pub(crate) fn end_well(
    shared: Arc<Shared>,
    place: &Place,
    grant: &Grant,
    marked: CellVersion,
) -> BoxFuture<Result<()>> {
    let (via, ticket, grant) = (place.via().clone(), place.ticket().clone(), grant.clone());
    let ending = Ending::begins(shared);
    Box::pin(async move {
        if !ending.0.is(Mutant::DelayAfterRelease)
            && let Err(error) = say_released(&via, &ticket, &grant, marked).await
        {
            tracing::warn!(%error, line = %ticket.line, "the next holder will wait for the delay");
        }
        grant.fate.end(LostReason::Released);
        let left = via.leave(&ticket.line, ticket.claim).await;
        // Not before: with its last handle the session is closed.
        drop(ending);
        left
    })
}

/// Says in the cell that a holder has ended well.
pub(crate) async fn say_released(
    via: &Via,
    ticket: &Ticket,
    grant: &Grant,
    marked: CellVersion,
) -> Result<CellVersion> {
    write(via, ticket, marked, Record::Released(grant.token.get())).await
}

/// Writes the cell under the ticket, whatever it says: nobody else who may write holds at the same time, but
/// readers who write the same.
async fn write(via: &Via, ticket: &Ticket, expected: CellVersion, record: Record) -> Result<CellVersion> {
    let (line, bytes, mut expected) = (&ticket.line, record.write()?, expected);
    let mut effect = Effect::None;
    loop {
        let written = via.guarded(|| via.session.put_cell(line, expected, &bytes, Some(ticket))).await;
        match written.map_err(|error| error.after(effect)) {
            // Also when the reply to the write was lost (C9).
            Err(error) if error.kind() == ErrorKind::Conflict => {
                effect = error.effect();
                let cell = via.look(|| via.session.cell(line)).await.map_err(|error| error.after(effect))?;
                if *cell.bytes == *bytes {
                    return Ok(cell.version);
                }
                expected = cell.version;
            }
            written => return written,
        }
    }
}

impl Record {
    fn held(grant: &Grant, delay: Duration) -> Self {
        // Rounded up: no delay is shorter than it was asked for.
        let delay_ms = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self::Held { token: grant.token.get(), delay_ms }
    }

    /// Who did not end well, and how long others wait after that.
    fn lost(self) -> Option<(u64, Duration)> {
        match self {
            Self::Held { token, delay_ms } => Some((token, Duration::from_millis(delay_ms))),
            Self::Released(_) => None,
        }
    }

    fn read(cell: &Cell) -> Result<Option<Self>> {
        written::read(cell, "record of a holder")
    }

    fn write(self) -> Result<Vec<u8>> {
        written::write(&self, "record of a holder")
    }
}
