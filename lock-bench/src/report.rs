//! What is printed.

use std::{fmt, time::Duration};

use serde::Serialize;
use yourturn::{ClaimId, FencingToken};

use crate::{
    judge,
    load::{Measured, Mode, Plan},
    meter::{percentile_us, rounded},
};

/// The figures of one run. In JSON, what does not apply or is not known is null.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The scheme of the store's URI; the rest of it may hold a password.
    pub(crate) backend: String,
    pub(crate) mode: Mode,
    pub(crate) clients: usize,
    pub(crate) sessions: usize,
    pub(crate) seconds: u64,
    /// Of this program.
    pub(crate) version: &'static str,
    /// Of the server.
    pub(crate) store_version: Option<String>,
    /// How many turns began in the measured time.
    pub(crate) turns: usize,
    /// How many of them the client had that had fewest, and the one that had most.
    pub(crate) fewest_turns: usize,
    pub(crate) most_turns: usize,
    pub(crate) ops_per_s: f64,
    /// Contended: the time from one turn's begin to the next one's on the line, which is a hand-off, as
    /// turns are given back at once. Else: the time that one lock and release took together.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Whether the line kept its order, as [`judge`] sees it. Contended only, and only if no client failed
    /// and no session was lost: who does that leaves the line.
    pub(crate) fifo: Option<bool>,
    /// What [`Counters`](crate::store::Counters) count, by the turns that began meanwhile. Keep-alives aside
    /// that is everything that the cluster was asked: on a cluster that others use too, also what they ask.
    pub(crate) requests_per_turn: Option<f64>,
    pub(crate) writes_per_turn: Option<f64>,
    /// By how much this process grew in RAM, from open sessions without clients to all clients in line
    /// (contended), or to each client having had a turn.
    pub(crate) rss_mib: Option<f64>,
    /// What the whole process had in RAM then.
    pub(crate) process_mib: Option<f64>,
    /// The yardstick: puts of one small key that one client got done in a second, one after the other, right
    /// after the run.
    pub(crate) put_per_s: Option<f64>,
}

impl Report {
    /// A line that did not keep its order is a problem.
    pub(crate) fn new(plan: &Plan, backend: &str, measured: Measured, problems: &mut Vec<String>) -> Self {
        let Plan { mode, clients, sessions, seconds } = *plan;
        let (start, end) = measured.window;
        let within = |moment| moment >= start && moment < end;
        let per_client: Vec<usize> = measured
            .turns
            .iter()
            .map(|turns| turns.iter().filter(|turn| within(turn.granted)).count())
            .collect();
        let turns: usize = per_client.iter().sum();
        let mut times = times(mode, &measured);
        times.sort_unstable();
        let fifo = (mode == Mode::Contended && problems.is_empty()).then(|| {
            let order = judge::fifo(&in_order(&measured), &measured.lists);
            problems.extend(order.as_ref().err().map(|why| format!("the order was not kept: {why}")));
            order.is_ok()
        });
        let counted = measured.counted.filter(|(turns, _)| *turns > 0);
        let per_turn = |all: f64, turns: u64| rounded(all / turns as f64, 3);
        if turns == 0 {
            problems.push("no turn began in the measured time".to_owned());
        }
        Self {
            backend: backend.to_owned(),
            mode,
            clients,
            sessions,
            seconds,
            version: env!("CARGO_PKG_VERSION"),
            store_version: None,
            turns,
            fewest_turns: per_client.iter().copied().min().unwrap_or_default(),
            most_turns: per_client.iter().copied().max().unwrap_or_default(),
            ops_per_s: rounded(turns as f64 / (end - start).as_secs_f64(), 1),
            p50_us: percentile_us(&times, 50),
            p99_us: percentile_us(&times, 99),
            fifo,
            requests_per_turn: counted.map(|(turns, counters)| per_turn(counters.requests, turns)),
            writes_per_turn: counted.map(|(turns, counters)| per_turn(counters.writes, turns)),
            rss_mib: measured.clients_mib.map(|mib| rounded(mib, 2)),
            process_mib: measured.process_mib.map(|mib| rounded(mib, 2)),
            put_per_s: None,
        }
    }
}

/// The turns of all clients, in the order in which they were seen to begin.
fn in_order(measured: &Measured) -> Vec<(FencingToken, ClaimId)> {
    let mut turns: Vec<_> = measured.turns.iter().flatten().collect();
    turns.sort_by_key(|turn| turn.granted);
    turns.into_iter().map(|turn| (turn.token, turn.claim)).collect()
}

/// The times in question that lie in the measured time.
fn times(mode: Mode, measured: &Measured) -> Vec<Duration> {
    let (start, end) = measured.window;
    let turns = measured.turns.iter().flatten();
    if mode != Mode::Contended {
        let whole = turns.filter(|turn| turn.asked >= start && turn.done < end);
        return whole.map(|turn| turn.done - turn.asked).collect();
    }
    let mut granted: Vec<_> =
        turns.map(|turn| turn.granted).filter(|moment| *moment >= start && *moment < end).collect();
    granted.sort_unstable();
    granted.iter().zip(granted.iter().skip(1)).map(|(one, next)| *next - *one).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, clients, sessions, seconds, .. } = self;
        let mode = format!("{:?}", self.mode).to_lowercase();
        let store = self.store_version.as_deref().unwrap_or_default();
        writeln!(f, "{backend} {store} {mode}: {clients} clients, {sessions} sessions, {seconds} s")?;
        writeln!(f, "{:>12.1}  turns per second", self.ops_per_s)?;
        let what = if self.mode == Mode::Contended { "one hand-off" } else { "one lock and release" };
        let rows = [
            (self.p50_us, format!("µs, {what}, median")),
            (self.p99_us, format!("µs, {what}, 99th percentile")),
            (self.requests_per_turn, "requests to the store per turn".to_owned()),
            (self.writes_per_turn, "of its commits per turn".to_owned()),
            (self.rss_mib, "MiB for all clients".to_owned()),
            (self.process_mib, "MiB for the whole process".to_owned()),
            (self.put_per_s, "sequential puts per second of one client, for scale".to_owned()),
        ];
        for (value, what) in rows {
            if let Some(value) = value {
                writeln!(f, "{value:>12.2}  {what}")?;
            }
        }
        writeln!(
            f,
            "{:>12}  turns of the client that had fewest; {} of the one that had most",
            self.fewest_turns, self.most_turns
        )?;
        match self.fifo {
            Some(kept) => write!(f, "{:>12}  order kept", if kept { "yes" } else { "NO" }),
            None => write!(f, "{:>12}  order: not judged", "-"),
        }
    }
}
