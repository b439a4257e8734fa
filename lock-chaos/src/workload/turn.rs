//! One turn after the other.

use std::{
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use yourturn::{Error, ErrorKind, Kind, LostReason};

use super::{PAUSE, Shared, held::Held};
use crate::{
    dice::Dice,
    record::{Fate, Line, Way, What, Wish},
    register::{Pen, Question, Write},
};

/// How many permits the semaphores have.
const PERMITS: u32 = 3;

/// How often a holder looks at the clock while it works.
const STEP: Duration = Duration::from_millis(20);

/// Who comes this much late after a step was stopped.
const STOPPED: Duration = Duration::from_millis(300);

/// Takes one turn at a time.
pub(super) struct Worker {
    shared: Arc<Shared>,
    dice: Dice,
    pen: Pen,
    number: u64,
    writes: u64,
}

/// One turn as it is taken.
struct Turn {
    number: u64,
    line: Line,
    wish: Wish,
}

impl Worker {
    pub(super) async fn new(shared: Arc<Shared>, number: u64) -> io::Result<Self> {
        let job = &shared.job;
        let stream = [job.client.number as u64, job.client.life.into(), number];
        let dice = Dice::new(job.seed, &stream);
        let pen = Pen::new(job.registers).await?;
        Ok(Self { shared, dice, pen, number, writes: 0 })
    }

    pub(super) async fn work(mut self) {
        while !self.shared.stopping.load(Ordering::Relaxed) {
            let line = Line(self.dice.index(self.shared.job.lines));
            let turn = Turn {
                number: self.shared.turns.fetch_add(1, Ordering::Relaxed),
                line,
                wish: self.wish(line.kind()),
            };
            if let Err(error) = self.take(&turn).await {
                self.shared.note(What::Failed {
                    turn: turn.number,
                    kind: format!("{:?}", error.kind()),
                    said: error.to_string(),
                });
                if error.kind() == ErrorKind::Closed {
                    return;
                }
                self.shared.sleep(PAUSE).await;
            }
        }
    }

    fn wish(&mut self, kind: Kind) -> Wish {
        match kind {
            Kind::RwLock if self.dice.percent(60) => Wish::Shared,
            Kind::Semaphore => {
                Wish::Permits { count: if self.dice.percent(70) { 1 } else { 2 }, limit: PERMITS }
            }
            _ => Wish::Exclusive,
        }
    }

    async fn take(&mut self, turn: &Turn) -> Result<(), Error> {
        let number = turn.number;
        let way = match self.dice.below(100) {
            0..60 => Way::Wait,
            60..75 => Way::Cancel,
            // Who campaigns does not try.
            _ if turn.line.kind() == Kind::Election => Way::Wait,
            75..88 => Way::Try,
            _ => Way::TryFor,
        };
        let patience = self.dice.millis(0..800);
        let shared = Arc::clone(&self.shared);
        shared.note(What::Sent { turn: number, line: turn.line, mode: turn.wish, way });
        let acquire = shared.store.acquire(turn.line, turn.wish, way, patience);
        let acquired = tokio::select! { biased;
            acquired = acquire => acquired?,
            () = shared.sleep(patience), if way == Way::Cancel => {
                shared.note(What::Cancelled { turn: number });
                return Ok(());
            }
        };
        let Some(held) = acquired else {
            shared.note(What::Busy { turn: number });
            return Ok(());
        };
        let (claim, token) = (held.claim().to_string(), held.token().get());
        shared.note(What::Granted { turn: number, claim, token, deadline: held.deadline().since_zero() });
        let lost = if self.look(turn, &held, Duration::ZERO) {
            self.hold(turn, &held).await
        } else {
            Some(held.lost().await)
        };
        let deadline = held.deadline().since_zero();
        shared.note(What::Ended { turn: number, deadline, lost: lost.map(|reason| format!("{reason:?}")) });
        if lost.is_some() && turn.wish == Wish::Exclusive {
            self.be_late(turn, &held).await;
        }
        if shared.job.broken || self.dice.percent(60) {
            let error = held.release().await.err().map(|error| format!("{:?}", error.kind()));
            shared.note(What::Released { turn: number, error });
        }
        Ok(())
    }

    /// Works until it has done what it came for, or the guard says that it is over.
    async fn hold(&mut self, turn: &Turn, held: &Held) -> Option<LostReason> {
        let shared = Arc::clone(&self.shared);
        let long = if shared.job.long_holds { 60 } else { 6 };
        let time =
            if self.dice.percent(long) { self.dice.millis(300..1500) } else { self.dice.millis(0..30) };
        if shared.job.broken {
            // Without a look at the guard, for longer than the ttl now and then.
            let read = self.read(turn, held).await;
            let longer = if self.dice.percent(30) { shared.job.ttl * 2 } else { time };
            shared.sleep(longer).await;
            self.write(turn, held, read).await;
            return None;
        }
        if turn.wish != Wish::Exclusive {
            return self.work_on(turn, held, time).await;
        }
        let read = self.read(turn, held).await;
        if let Some(reason) = self.work_on(turn, held, time / 2).await {
            return Some(reason);
        }
        // The careful look first; the others show why that is not enough, nor none at all.
        if self.dice.percent(50) && !self.look(turn, held, Duration::ZERO) {
            return Some(held.lost().await);
        }
        self.write(turn, held, read).await;
        self.write_under_guard(turn, held).await;
        self.work_on(turn, held, time / 2).await
    }

    /// Does what one would who was stopped before his last step, and does not know that he is too late.
    async fn be_late(&mut self, turn: &Turn, held: &Held) {
        if self.shared.job.broken || self.dice.percent(30) {
            let late = self.dice.millis(0..200);
            self.shared.sleep(late).await;
            self.write(turn, held, None).await;
        }
        let id = self.id();
        if let Some(fate) = self.shared.store.write(held, turn.line, id).await {
            self.shared.note(What::Guarded { turn: turn.number, id, fate });
        }
    }

    /// Writes to the store itself; for as long as it holds.
    async fn write_under_guard(&mut self, turn: &Turn, held: &Held) {
        let id = self.id();
        let fate = {
            let mut write = pin!(self.shared.store.write(held, turn.line, id));
            tokio::select! { biased;
                fate = &mut write => fate,
                _ = held.lost() => Some(Fate::Unknown),
            }
        };
        if let Some(fate) = fate {
            self.shared.note(What::Guarded { turn: turn.number, id, fate });
        }
    }

    /// Time passes; whoever was stopped meanwhile looks at the guard before anything else.
    async fn work_on(&self, turn: &Turn, held: &Held, time: Duration) -> Option<LostReason> {
        let shared = &self.shared;
        let end = shared.now() + time;
        let mut lost = pin!(held.lost());
        loop {
            let now = shared.now();
            let step = STEP.min(end.checked_sub(now)?);
            let reason = tokio::select! { biased;
                () = shared.sleep(step) => None,
                reason = &mut lost => Some(reason),
            };
            let late = shared.now().saturating_sub(now + step);
            if late > STOPPED {
                self.look(turn, held, late);
            }
            if reason.is_some() {
                return reason;
            }
        }
    }

    /// What the guard says.
    fn look(&self, turn: &Turn, held: &Held, late: Duration) -> bool {
        let at = self.shared.now();
        let valid = held.is_valid();
        let took = self.shared.now().saturating_sub(at);
        self.shared.note_at(at, What::Looked { turn: turn.number, valid, took, late });
        valid
    }

    /// The versions that both registers have.
    async fn read(&mut self, turn: &Turn, held: &Held) -> Option<(u64, u64)> {
        let question = Question { line: turn.line, token: held.token().get(), write: None };
        let answer = self.pen.ask(question).await.ok()?;
        Some((answer.fenced?, answer.unfenced?))
    }

    /// Writes what follows what was read, or what it reads now.
    async fn write(&mut self, turn: &Turn, held: &Held, read: Option<(u64, u64)>) {
        let read = match read {
            None => self.read(turn, held).await,
            read => read,
        };
        let id = self.id();
        let (fenced, unfenced) = match read {
            Some((fenced, unfenced)) => {
                let write = Some(Write { id, fenced, unfenced });
                let question = Question { line: turn.line, token: held.token().get(), write };
                match self.pen.ask(question).await {
                    Ok(answer) => (fate(answer.fenced), fate(answer.unfenced)),
                    Err(_) => (Fate::Unknown, Fate::Unknown),
                }
            }
            // It was too late to read, even.
            None => (Fate::Refused, Fate::Refused),
        };
        self.shared.note(What::Wrote { turn: turn.number, id, fenced, unfenced });
    }

    /// An id that is used once in a run.
    fn id(&mut self) -> u64 {
        self.writes += 1;
        let client = self.shared.job.client;
        ((client.number as u64) << 52) | (u64::from(client.life) << 40) | (self.number << 32) | self.writes
    }
}

fn fate(version: Option<u64>) -> Fate {
    version.map_or(Fate::Refused, Fate::Done)
}
