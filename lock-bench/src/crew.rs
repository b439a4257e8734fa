//! The clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout_at,
};
use yourturn::{ClaimId, Error, FencingToken, Guard, Mutex};

use crate::Result;

/// One turn of a client.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) asked: Instant,
    pub(crate) granted: Instant,
    /// When the release was confirmed.
    pub(crate) done: Instant,
    pub(crate) token: FencingToken,
    pub(crate) claim: ClaimId,
}

/// A client's turns, and how it ended.
type Worked = (Vec<Turn>, Result<(), Error>);

/// Clients at work, each on its lock.
pub(crate) struct Crew {
    clients: Vec<JoinHandle<Worked>>,
    common: Arc<Common>,
    events: UnboundedReceiver<Event>,
}

struct Common {
    stopping: AtomicBool,
    grants: AtomicU64,
    events: UnboundedSender<Event>,
}

#[derive(PartialEq)]
enum Event {
    /// A client has had its first turn.
    Served,
    /// A client has met an error and is gone.
    Failed,
}

/// A client has failed; [`Crew::drain`] tells how.
#[derive(Debug)]
pub(crate) struct Failed;

impl Crew {
    /// One client for each of these, which may be the same lock.
    pub(crate) fn start(locks: Vec<Mutex>) -> Self {
        let (sender, events) = unbounded_channel();
        let common = Arc::new(Common {
            stopping: AtomicBool::default(),
            grants: AtomicU64::default(),
            events: sender,
        });
        let clients = locks.into_iter().map(|lock| tokio::spawn(work(lock, common.clone()))).collect();
        Self { clients, common, events }
    }

    /// Waits until each client has had a turn since it was started.
    pub(crate) async fn served(&mut self) -> Result<(), Failed> {
        for _ in 0..self.clients.len() {
            if self.events.recv().await != Some(Event::Served) {
                return Err(Failed);
            }
        }
        Ok(())
    }

    /// Waits until a client fails. To be called after [`served`](Self::served), or when nobody can be.
    pub(crate) async fn failed(&mut self) {
        while self.events.recv().await == Some(Event::Served) {}
    }

    /// How many turns have begun.
    pub(crate) fn grants(&self) -> u64 {
        self.common.grants.load(Ordering::Relaxed)
    }

    /// Lets each client finish the turn that it is in line for, and gives the turns of each. A client that
    /// has failed, or does not get its turn within `limit`, is a problem.
    pub(crate) async fn drain(self, limit: Duration, problems: &mut Vec<String>) -> Vec<Vec<Turn>> {
        self.common.stopping.store(true, Ordering::Relaxed);
        let end = tokio::time::Instant::now() + limit;
        let mut all = Vec::new();
        for (number, mut client) in self.clients.into_iter().enumerate() {
            let (turns, problem) = match timeout_at(end, &mut client).await {
                Ok(Ok((turns, outcome))) => (turns, outcome.err().map(|error| error.to_string())),
                Ok(Err(error)) => (Vec::new(), Some(error.to_string())),
                Err(_) => {
                    client.abort();
                    (Vec::new(), Some(format!("its turn did not come and end within {limit:?}")))
                }
            };
            problems.extend(problem.map(|problem| format!("client {number}: {problem}")));
            all.push(turns);
        }
        all
    }
}

async fn work(lock: Mutex, common: Arc<Common>) -> Worked {
    let mut turns = Vec::new();
    let outcome = take_turns(&lock, &common, &mut turns).await;
    if outcome.is_err() {
        let _nobody_listens = common.events.send(Event::Failed);
    }
    (turns, outcome)
}

async fn take_turns(lock: &Mutex, common: &Common, turns: &mut Vec<Turn>) -> Result<(), Error> {
    while !common.stopping.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let guard: Guard = lock.lock().await?;
        let granted = Instant::now();
        common.grants.fetch_add(1, Ordering::Relaxed);
        if turns.is_empty() {
            let _nobody_listens = common.events.send(Event::Served);
        }
        let (token, claim) = (guard.token(), guard.claim());
        guard.release().await?;
        turns.push(Turn { asked, granted, done: Instant::now(), token, claim });
    }
    Ok(())
}
