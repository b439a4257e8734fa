//! From sessions to figures: warming up, measuring, and leaving nothing behind.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use tokio::time::{sleep, timeout};
use yourturn::{Coordinator, Guard, Health, Mutex, SessionId};

use crate::{
    Result,
    crew::{Crew, Failed, Turn},
    judge::Listed,
    meter::resident_mib,
    problems::folded,
    store::{Counters, Store},
};

/// How long everybody may take to have a turn, or to leave; a line that stands still is a problem.
const LIMIT: Duration = Duration::from_secs(60);
/// By how much longer, for each client: a slow disk commits some hundred times a second.
const LIMIT_OF_CLIENT: Duration = Duration::from_millis(10);
/// How long the line is let alone, at least, between two looks at it while the clients get in line.
const GLANCE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// One client, alone on one lock.
    Uncontended,
    /// All clients take turns on one lock; each goes to the end of the line after its turn.
    Contended,
    /// Each client has a lock of its own.
    Spread,
}

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) clients: usize,
    pub(crate) sessions: usize,
    pub(crate) seconds: u64,
}

impl Plan {
    pub(crate) fn new(mode: Mode, clients: usize, sessions: usize, seconds: u64) -> Result<Self> {
        if mode == Mode::Uncontended && clients != 1 {
            return Err(format!("--mode uncontended is one client alone: --clients 1, not {clients}"));
        }
        if clients == 0 || sessions == 0 || sessions > clients {
            return Err(format!(
                "there is at least one client, and each session has at least one: not {clients} clients with \
                 {sessions} sessions"
            ));
        }
        Ok(Self { mode, clients, sessions, seconds })
    }

    /// How long everybody may take.
    fn limit(&self) -> Duration {
        u32::try_from(self.clients).map_or(LIMIT, |clients| LIMIT + LIMIT_OF_CLIENT * clients)
    }

    /// The lock of a client, of this run alone: nobody else is in line, and what a store still remembers of
    /// earlier runs (etcd keeps deleted keys until it is compacted) is not in the way.
    fn lock(&self, run: SessionId, client: usize) -> String {
        match self.mode {
            Mode::Uncontended | Mode::Contended => format!("lock-bench/{run}"),
            Mode::Spread => format!("lock-bench/{run}/{client}"),
        }
    }
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The turns of each client, from the first to the last.
    pub(crate) turns: Vec<Vec<Turn>>,
    /// Between which moments turns count.
    pub(crate) window: (Instant, Instant),
    /// Who was in line when measuring began and when it ended, in order; contended only.
    pub(crate) lists: Vec<Vec<Listed>>,
    /// How many turns began between the readings of the store's counters, and by how much those rose.
    pub(crate) counted: Option<(u64, Counters)>,
    /// What the clients added to the process in RAM, in MiB.
    pub(crate) clients_mib: Option<f64>,
    /// What the whole process had in RAM then, in MiB.
    pub(crate) process_mib: Option<f64>,
}

/// Measures, and answers what went wrong meanwhile.
pub(crate) async fn run(
    plan: &Plan,
    uri: &str,
    store: Option<&dyn Store>,
) -> Result<(Measured, Vec<String>)> {
    let mut sessions = Vec::new();
    for number in 0..plan.sessions {
        let session =
            Coordinator::connect(uri).await.map_err(|error| format!("session {number}: {error}"))?;
        sessions.push(session);
    }
    let ids: Vec<SessionId> = sessions.iter().map(|session| session.session_id()).collect();
    let mut problems = Vec::new();
    let measured = measure(plan, &sessions, store, &mut problems).await;
    for (number, (session, id)) in sessions.iter().zip(ids).enumerate() {
        if session.session_id() != id || matches!(session.health(), Health::Lost(_)) {
            problems.push(format!("session {number}: was lost"));
        }
        match timeout(LIMIT, session.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => problems.push(format!("session {number}: {error}")),
            Err(_) => problems.push(format!("session {number}: did not close within {LIMIT:?}")),
        }
    }
    match measured {
        Ok(measured) => Ok((measured, problems)),
        Err(error) => {
            problems.push(error);
            Err(folded(problems).join("\nlock-bench: "))
        }
    }
}

async fn measure(
    plan: &Plan,
    sessions: &[Coordinator],
    store: Option<&dyn Store>,
    problems: &mut Vec<String>,
) -> Result<Measured> {
    let run = sessions.first().map(|session| session.session_id()).ok_or("there is no session")?;
    let clients = sessions.iter().cycle().take(plan.clients).enumerate();
    let locks: Vec<Mutex> = clients
        .map(|(client, session)| session.mutex(plan.lock(run, client)))
        .collect::<Result<_, _>>()
        .map_err(text)?;
    let first = locks.first().cloned().ok_or("there is no client")?;
    let gate = match plan.mode {
        Mode::Contended => Some(first.lock().await.map_err(text)?),
        Mode::Uncontended | Mode::Spread => None,
    };
    let before = resident_mib();
    let mut crew = Crew::start(locks);
    let mut stage =
        Stage { plan, first, store, before, lists: Vec::new(), clients_mib: None, process_mib: None };
    let limit = plan.limit();
    let figures = match timeout(limit, stage.warm_up(&mut crew, gate)).await {
        Ok(Ok(())) => stage.count(&mut crew).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("not every client was in line and had a turn within {limit:?}")),
    };
    let turns = crew.drain(limit, problems).await;
    let (window, counted) = figures?;
    let Stage { lists, clients_mib, process_mib, .. } = stage;
    Ok(Measured { turns, window, lists, counted, clients_mib, process_mib })
}

/// A run under way.
struct Stage<'a> {
    plan: &'a Plan,
    first: Mutex,
    store: Option<&'a dyn Store>,
    before: Option<f64>,
    lists: Vec<Vec<Listed>>,
    clients_mib: Option<f64>,
    process_mib: Option<f64>,
}

type Figures = ((Instant, Instant), Option<(u64, Counters)>);

impl Stage<'_> {
    /// Until everybody has had a turn. Behind the gate, all clients are in line before the first one.
    async fn warm_up(&mut self, crew: &mut Crew, gate: Option<Guard>) -> Result<()> {
        if let Some(gate) = gate {
            let waiting = tokio::select! {
                waiting = self.all_waiting() => waiting?,
                () = crew.failed() => return Err(failed(Failed)),
            };
            self.weigh();
            self.lists.push(waiting);
            gate.release().await.map_err(text)?;
        }
        crew.served().await.map_err(failed)?;
        if self.clients_mib.is_none() {
            self.weigh();
        }
        Ok(())
    }

    /// The claims of all clients, in order, once all are in line.
    async fn all_waiting(&self) -> Result<Vec<Listed>> {
        loop {
            let asked = Instant::now();
            let line = self.first.inspect().await.map_err(text)?;
            let waiting: Vec<Listed> = line.waiters().map(Listed::from).collect();
            if waiting.len() == self.plan.clients {
                return Ok(waiting);
            }
            // A long line costs the store much to list: no more than a tenth of the time is spent on that.
            sleep(GLANCE.max(9 * asked.elapsed())).await;
        }
    }

    fn weigh(&mut self) {
        self.process_mib = resident_mib();
        self.clients_mib = self.before.zip(self.process_mib).map(|(before, now)| now - before);
    }

    /// Counts turns for the planned time, or until a client fails. The counters are read outside that time,
    /// and each reading counts the turns with it.
    async fn count(&mut self, crew: &mut Crew) -> Result<Figures> {
        let before = self.read(crew).await?;
        let start = Instant::now();
        tokio::select! {
            () = sleep(Duration::from_secs(self.plan.seconds)) => {}
            () = crew.failed() => {}
        }
        let window = (start, Instant::now());
        let after = self.read(crew).await?;
        if self.plan.mode == Mode::Contended {
            let line = self.first.inspect().await.map_err(text)?;
            self.lists.push(line.places.iter().map(Listed::from).collect());
        }
        let counted = before.zip(after).map(|((turns, counters), (later_turns, later))| {
            let (requests, writes) = (later.requests - counters.requests, later.writes - counters.writes);
            (later_turns - turns, Counters { requests, writes })
        });
        Ok((window, counted))
    }

    async fn read(&self, crew: &Crew) -> Result<Option<(u64, Counters)>> {
        let Some(store) = self.store else { return Ok(None) };
        let counters = store.counters().await?;
        Ok(Some((crew.grants(), counters)))
    }
}

fn failed(_: Failed) -> String {
    "nothing was measured, because a client failed".to_owned()
}

fn text(error: yourturn::Error) -> String {
    error.to_string()
}
