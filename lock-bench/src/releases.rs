//! What a release costs in requests to the store, before many who wait: it must not depend on how many.

use std::{fmt, time::Duration};

use serde::Serialize;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};
use yourturn::{Coordinator, Guard, Line, RwLock, Semaphore};

use crate::{
    Result,
    meter::rounded,
    store::{Counters, Store},
};

/// How long a step may take; a line that stands still is a problem.
const LIMIT: Duration = Duration::from_secs(60);
/// For how long requests are counted once everybody who is granted by the release has been: those whom it woke
/// for nothing would ask by then.
const QUIET: Duration = Duration::from_secs(1);
/// How long the line is let alone, at least, between two looks at it.
const GLANCE: Duration = Duration::from_millis(50);
/// How many requests in a quarter of that count as silence.
const FEW: f64 = 2.0;
const PERMITS: u32 = 4;

/// Who waits, and what is released before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Before {
    /// Readers, behind a writer who releases: all of them are granted.
    Readers,
    /// Writers, behind a writer who releases: one is granted.
    Writers,
    /// Who wants one permit of a semaphore, of which one is released: one is granted.
    Permits,
}

/// What one release has cost. Keep-alives aside that is everything that the cluster was asked.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Release {
    before: Before,
    waiting: usize,
    granted: usize,
    requests: f64,
    writes: f64,
    requests_per_grant: f64,
}

/// One line, whatever it is.
#[derive(Clone)]
enum Lock {
    ReadWrite(RwLock),
    Semaphore(Semaphore),
}

impl Before {
    const ALL: [Self; 3] = [Self::Readers, Self::Writers, Self::Permits];

    fn granted(self, waiting: usize) -> usize {
        if self == Self::Readers { waiting } else { 1 }
    }

    fn lock(self, session: &Coordinator, name: &str) -> Result<Lock> {
        Ok(match self {
            Self::Readers | Self::Writers => Lock::ReadWrite(session.rw_lock(name).map_err(text)?),
            Self::Permits => Lock::Semaphore(session.semaphore(name, PERMITS).map_err(text)?),
        })
    }

    async fn turn(self, lock: &Lock) -> Result<Guard> {
        let turn = match (lock, self) {
            (Lock::ReadWrite(lock), Self::Readers) => lock.read().await,
            (Lock::ReadWrite(lock), _) => lock.write().await.map(Into::into),
            (Lock::Semaphore(semaphore), _) => semaphore.acquire().await,
        };
        turn.map_err(text)
    }
}

impl Lock {
    async fn inspect(&self) -> Result<Line> {
        let line = match self {
            Self::ReadWrite(lock) => lock.inspect().await,
            Self::Semaphore(semaphore) => semaphore.inspect().await,
        };
        line.map_err(text)
    }

    /// All that can be held at a time; the first is what is released.
    async fn hold_all(&self) -> Result<Vec<Guard>> {
        let mut held = Vec::new();
        match self {
            Self::ReadWrite(lock) => held.push(lock.write().await.map_err(text)?.into()),
            Self::Semaphore(semaphore) => {
                for _ in 0..PERMITS {
                    held.push(semaphore.acquire().await.map_err(text)?);
                }
            }
        }
        Ok(held)
    }
}

/// Measures each release once, with so many who wait.
pub(crate) async fn run(
    uri: &str,
    store: &dyn Store,
    waiting: usize,
    sessions: usize,
) -> Result<Vec<Release>> {
    let mut releases = Vec::new();
    for before in Before::ALL {
        let mut open = Vec::new();
        for _ in 0..sessions {
            open.push(Coordinator::connect(uri).await.map_err(text)?);
        }
        let release = timeout(LIMIT, measure(before, &open, store, waiting)).await;
        releases.push(release.unwrap_or_else(|_| Err(format!("{before:?}: not done within {LIMIT:?}")))?);
        for session in open {
            timeout(LIMIT, session.close()).await.map_err(text)?.map_err(text)?;
        }
    }
    Ok(releases)
}

async fn measure(
    before: Before,
    sessions: &[Coordinator],
    store: &dyn Store,
    waiting: usize,
) -> Result<Release> {
    let run = sessions.first().ok_or("there is no session")?.session_id();
    let locks: Vec<Lock> = sessions
        .iter()
        .map(|session| before.lock(session, &format!("lock-bench/{run}")))
        .collect::<Result<_>>()?;
    let first = locks.first().ok_or("there is no session")?;
    let mut held = first.hold_all().await?;
    let (sender, mut turns) = unbounded_channel();
    for lock in locks.iter().cycle().take(waiting) {
        tokio::spawn(wait(before, lock.clone(), sender.clone()));
    }
    while first.inspect().await?.waiters().count() < waiting {
        sleep(GLANCE).await;
    }
    let counters = quiet(store).await?;
    held.swap_remove(0).release().await.map_err(text)?;
    let granted = before.granted(waiting);
    let mut holding = Vec::new();
    for _ in 0..granted {
        holding.push(next(&mut turns).await?);
    }
    sleep(QUIET).await;
    let later = store.counters().await?;
    if let Ok(turn) = turns.try_recv() {
        return Err(format!("{before:?}: more were granted than the release makes room for: {turn:?}"));
    }
    let (requests, writes) = (later.requests - counters.requests, later.writes - counters.writes);
    let requests_per_grant = rounded(requests / granted as f64, 2);
    Ok(Release { before, waiting, granted, requests, writes, requests_per_grant })
}

/// The counters once nobody asks anything: who is in line may still have to see who is ahead. A look at them,
/// and a session that is kept alive, may count.
async fn quiet(store: &dyn Store) -> Result<Counters> {
    let mut counters = store.counters().await?;
    loop {
        sleep(QUIET / 4).await;
        let later = store.counters().await?;
        if later.requests - counters.requests <= FEW {
            return Ok(later);
        }
        counters = later;
    }
}

/// Waits for a turn, and hands it over.
async fn wait(before: Before, lock: Lock, turns: UnboundedSender<Result<Guard>>) {
    let turn = before.turn(&lock).await;
    // Nobody listens any more when all has been measured.
    let _ = turns.send(turn);
}

async fn next(turns: &mut UnboundedReceiver<Result<Guard>>) -> Result<Guard> {
    turns.recv().await.unwrap_or_else(|| Err("nobody waits any more".to_owned()))
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, waiting, granted, requests, writes, requests_per_grant } = self;
        let before = format!("{before:?}").to_lowercase();
        write!(
            f,
            "before {waiting} {before}: {granted} granted, {requests} requests, {writes} writes, {requests_per_grant} requests a grant"
        )
    }
}
