//! What is counted and measured.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use lock_check::history::{Stay, Violation};
use serde::Serialize;
use yourturn::ClaimId;

use crate::{
    cli::Arguments,
    judge::{
        Case, Verdict, claim_of,
        story::{Outcome, Story, Turn},
        was_stopped,
    },
    record::{Fate, Line, Wish},
};

/// One JSON object. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    store: String,
    machine: String,
    nodes: u8,
    clients: u16,
    lines: u16,
    ttl_ms: u64,
    seed: u64,
    /// What runs it once more.
    command: String,
    seconds: u64,
    /// Turns that were asked for.
    operations: usize,
    /// Guards that were had.
    turns: usize,
    /// What became of the others.
    outcomes: BTreeMap<String, usize>,
    /// Guards that were lost, by what was said.
    lost: BTreeMap<String, usize>,
    faults: usize,
    faults_by_kind: BTreeMap<String, usize>,
    /// Faults that could not be had when their time came.
    skipped: usize,
    /// Faults that were asked for, and that this store does not have.
    not_to_be_had: Vec<String>,
    leader_changes: usize,
    quiet_phases: usize,
    violations: Vec<String>,
    /// What the store has acknowledged and then lost.
    losses_of_the_store: Vec<String>,
    /// Sessions that the store has ended while clients could count on them.
    sessions_ended_early: Vec<String>,
    /// What was violated by one or the other; these are not among the violations.
    violations_of_the_store: Vec<String>,
    /// Servers that said that their data differ from the leader's. It excuses nothing.
    differences_of_servers: Vec<String>,
    fenced: Writes,
    unfenced: Writes,
    guarded: Writes,
    holders_killed: usize,
    /// Holders that were stopped beyond their deadlines.
    holders_stopped: usize,
    /// Holders that had not ended their turns when the next one was granted: those who do not look, and whom
    /// tokens are for.
    overtaken_by_the_next: usize,
    /// How many of those who were stopped were told at their first look.
    told_at_first_look: usize,
    /// From the kill of a holder to the next grant of its line, to somebody who waited.
    recovery: Spread,
    recovery_with_leader_change: Spread,
    /// The same from SIGSTOP on, of those who were stopped beyond the ttl.
    recovery_after_stop: Spread,
    /// From when a holder was told that it had lost to when the store let go of its claim.
    lost_notice_margin: Spread,
    /// What sessions have left behind in the end.
    orphans: Vec<String>,
    /// Events that a member's watch has left out, although others have told them: faults of the store itself.
    events_left_out: Vec<String>,
}

/// What became of writes.
#[derive(Debug, Default, Serialize)]
struct Writes {
    accepted: usize,
    refused: usize,
    unknown: usize,
    /// Accepted, and then overwritten by somebody who had not seen them.
    lost: usize,
}

impl Writes {
    fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Done(_) => self.accepted += 1,
            Fate::Refused => self.refused += 1,
            Fate::Unknown => self.unknown += 1,
        }
    }
}

/// How a time is spread, in milliseconds.
#[derive(Debug, Default, Serialize)]
struct Spread {
    count: usize,
    min: Option<i64>,
    p50: Option<i64>,
    p99: Option<i64>,
    max: Option<i64>,
}

impl Spread {
    fn of(mut times: Vec<i64>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            times.get((times.len() * percent / 100).min(times.len().checked_sub(1)?)).copied()
        };
        Self { count: times.len(), min: at(0), p50: at(50), p99: at(99), max: at(100) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, p50, p99, max] = [self.min, self.p50, self.p99, self.max]
            .map(|it| it.map_or("–".to_owned(), |it| it.to_string()));
        write!(f, "| {} | {min} | {p50} | {p99} | {max} |", self.count)
    }
}

impl Figures {
    pub(super) fn new(arguments: &Arguments, version: &str, case: &Case<'_>, verdict: &Verdict) -> Self {
        let story = case.story;
        let held = || story.turns.iter().filter(|turn| turn.was_held());
        let mut outcomes = BTreeMap::new();
        for turn in &story.turns {
            let outcome = match &turn.outcome {
                Outcome::Held => continue,
                Outcome::Open => "open when its client was killed".to_owned(),
                Outcome::Busy => "busy".to_owned(),
                Outcome::Cancelled => "cancelled".to_owned(),
                Outcome::Failed(kind) => format!("failed: {kind}"),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        let mut lost = BTreeMap::new();
        for reason in held().filter_map(|turn| turn.ended.as_ref()?.lost.clone()) {
            *lost.entry(reason).or_default() += 1;
        }
        let skipped: Vec<usize> = story.skipped.iter().map(|(number, _)| *number).collect();
        let mut faults_by_kind = BTreeMap::new();
        for (_, fault) in story.faults.iter().filter(|(number, _)| !skipped.contains(number)) {
            *faults_by_kind.entry(fault.kind.clone()).or_default() += 1;
        }
        let [fenced, unfenced, guarded] = writes(case);
        let recoveries = Recoveries::of(story);
        let stopped: Vec<bool> = stopped(case).collect();
        Self {
            store: version.to_owned(),
            machine: machine(),
            nodes: arguments.nodes,
            clients: arguments.clients,
            lines: arguments.locks,
            ttl_ms: arguments.ttl * 1000,
            seed: arguments.seed,
            command: arguments.command(),
            seconds: (story.end - story.start).as_secs(),
            operations: story.turns.len(),
            turns: held().count(),
            outcomes,
            lost,
            faults: faults_by_kind.values().sum(),
            faults_by_kind,
            skipped: skipped.len(),
            not_to_be_had: arguments.faults.not_of(arguments.backend, arguments.nodes.into()),
            leader_changes: story.leaders.len(),
            quiet_phases: story.calms.len(),
            violations: texts(&verdict.violations),
            losses_of_the_store: verdict.losses.iter().map(|loss| loss.how.clone()).collect(),
            sessions_ended_early: verdict.early_ends.clone(),
            violations_of_the_store: texts(&verdict.of_the_store),
            differences_of_servers: case.truth.map_or_else(Vec::new, |truth| truth.diverged.clone()),
            fenced,
            unfenced,
            guarded,
            holders_killed: recoveries.killed,
            holders_stopped: stopped.len(),
            overtaken_by_the_next: recoveries.overtaken,
            told_at_first_look: stopped.iter().filter(|told| **told).count(),
            recovery: Spread::of(recoveries.plain),
            recovery_with_leader_change: Spread::of(recoveries.with_leader_change),
            recovery_after_stop: Spread::of(recoveries.after_stop),
            lost_notice_margin: Spread::of(margins(case)),
            orphans: case.left.to_vec(),
            events_left_out: case.truth.map_or_else(Vec::new, |truth| truth.untold.clone()),
        }
    }
}

/// Its processor, and how many there are.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, it)| it));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{cores} × {}", model.unwrap_or("an unknown processor"))
}

fn texts(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(ToString::to_string).collect()
}

/// Of the fenced and the unfenced register, and under guards.
fn writes(case: &Case<'_>) -> [Writes; 3] {
    let [mut fenced, mut unfenced, mut guarded] = [(); 3].map(|()| Writes::default());
    for turn in &case.story.turns {
        for (_, in_fenced, in_unfenced) in &turn.wrote {
            fenced.count(in_fenced);
            unfenced.count(in_unfenced);
        }
        turn.guarded.iter().for_each(|(_, _, fate)| guarded.count(fate));
    }
    for [of_fenced, of_unfenced] in case.registers.values() {
        fenced.lost += of_fenced.lost();
        unfenced.lost += of_unfenced.lost();
    }
    [fenced, unfenced, guarded]
}

/// Of each holder that stood still beyond its deadline, whether its first look said so.
fn stopped<'a>(case: &'a Case<'_>) -> impl Iterator<Item = bool> + 'a {
    let first = |turn: &'a Turn| turn.looks.iter().find(|look| look.late > case.ttl).map(|look| !look.valid);
    case.story.turns.iter().filter(|turn| turn.granted.is_some()).filter_map(first)
}

/// From when each holder was told to when the store let go, as far as both are known; of those who ran.
fn margins(case: &Case<'_>) -> Vec<i64> {
    let Some(truth) = case.truth else { return Vec::new() };
    let stays: HashMap<ClaimId, &Stay> = truth.log.stays.iter().map(|stay| (stay.claim, stay)).collect();
    let margin = |turn: &Turn| {
        let ended = turn.ended.as_ref().filter(|ended| ended.lost.is_some())?;
        let gone = stays.get(&claim_of(turn)?)?.gone?;
        (!was_stopped(case, turn, ended.deadline)).then(|| millis(gone.latest) - millis(ended.at))
    };
    case.story.turns.iter().filter_map(margin).collect()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// How long lines stood still because of a holder.
#[derive(Default)]
struct Recoveries {
    killed: usize,
    overtaken: usize,
    plain: Vec<i64>,
    with_leader_change: Vec<i64>,
    after_stop: Vec<i64>,
}

impl Recoveries {
    fn of(story: &Story) -> Self {
        let mut this = Self::default();
        let mut lines: HashMap<_, Vec<&Turn>> = HashMap::new();
        for turn in story.turns.iter().filter(|turn| turn.granted.is_some()) {
            lines.entry(turn.line).or_default().push(turn);
        }
        for turns in lines.values_mut() {
            turns.sort_by_key(|turn| granted_at(turn));
        }
        let exclusive =
            || story.turns.iter().filter(|turn| turn.granted.is_some() && turn.wish == Wish::Exclusive);
        for turn in exclusive().filter(|turn| turn.ended.is_none()) {
            let Some(killed) = story.lives.get(&turn.client).and_then(|life| life.killed) else { continue };
            this.killed += 1;
            let Some(next) = next_after(&lines, turn, killed) else { continue };
            let led = story.leaders.iter().any(|at| *at + Duration::from_secs(1) > killed && *at < next);
            let times = if led { &mut this.with_leader_change } else { &mut this.plain };
            times.push(millis(next - killed));
        }
        for turn in exclusive() {
            let next = next_turn(&lines, turn, granted_at(turn)).map(granted_at);
            let ended = turn.ended.as_ref().map(|ended| ended.at);
            this.overtaken += usize::from(next.zip(ended).is_some_and(|(next, ended)| next < ended));
            let Some(look) = turn.looks.iter().find(|look| !look.valid && !look.late.is_zero()) else {
                continue;
            };
            let from = look.at.saturating_sub(look.late);
            let next = next_after(&lines, turn, from);
            this.after_stop.extend(next.map(|next| millis(next - from)));
        }
        this
    }
}

fn granted_at(turn: &Turn) -> Duration {
    turn.granted.as_ref().map_or(Duration::ZERO, |granted| granted.at)
}

/// Who was granted the line next.
fn next_turn<'a>(lines: &HashMap<Line, Vec<&'a Turn>>, turn: &Turn, at: Duration) -> Option<&'a Turn> {
    let turns = lines.get(&turn.line)?;
    turns.get(turns.partition_point(|other| granted_at(other) <= at)).copied()
}

/// When it was granted next, to somebody who waited by then.
fn next_after(lines: &HashMap<Line, Vec<&Turn>>, turn: &Turn, at: Duration) -> Option<Duration> {
    next_turn(lines, turn, at).filter(|next| next.sent <= at).map(granted_at)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {} under faults\n\n```sh\n{}\n```\n", self.store, self.command)?;
        writeln!(
            f,
            "{} nodes, {} clients, {} lines, ttl {} ms, seed {}, {} s, on {}.\n",
            self.nodes, self.clients, self.lines, self.ttl_ms, self.seed, self.seconds, self.machine
        )?;
        writeln!(f, "| | |\n|---|---|")?;
        let counts = [
            ("turns asked for", self.operations),
            ("turns had", self.turns),
            ("faults", self.faults),
            ("leader changes", self.leader_changes),
            ("quiet phases", self.quiet_phases),
            ("**violations**", self.violations.len()),
            ("times that the store lost what it had acknowledged", self.losses_of_the_store.len()),
            ("sessions that the store ended too early", self.sessions_ended_early.len()),
            ("servers that said that their data differ", self.differences_of_servers.len()),
            ("fenced updates lost", self.fenced.lost),
            ("unfenced updates lost", self.unfenced.lost),
            ("orphans at the end", self.orphans.len()),
            ("events that the store's watches left out", self.events_left_out.len()),
            ("holders killed", self.holders_killed),
            ("holders stopped beyond the ttl", self.holders_stopped),
            ("… told at their first look", self.told_at_first_look),
            ("holders still at it when the next one was granted", self.overtaken_by_the_next),
        ];
        counts.iter().try_for_each(|(what, count)| writeln!(f, "| {what} | {count} |"))?;

        writeln!(f, "\n| writes | accepted | refused | unknown | lost |\n|---|---|---|---|---|")?;
        let writes =
            [("fenced", &self.fenced), ("unfenced", &self.unfenced), ("under a guard", &self.guarded)];
        for (what, Writes { accepted, refused, unknown, lost }) in writes {
            writeln!(f, "| {what} | {accepted} | {refused} | {unknown} | {lost} |")?;
        }
        writeln!(f, "\n| ms | times | min | p50 | p99 | max |\n|---|---|---|---|---|---|")?;
        writeln!(f, "| next grant after a holder was killed {}", self.recovery)?;
        writeln!(f, "| … with a leader change {}", self.recovery_with_leader_change)?;
        writeln!(f, "| next grant after a holder was stopped {}", self.recovery_after_stop)?;
        writeln!(f, "| from a lost notice to when the store let go {}", self.lost_notice_margin)?;
        table(f, "faults", &self.faults_by_kind)?;
        if self.skipped > 0 {
            writeln!(f, "\n{} more could not be had when their time came.", self.skipped)?;
        }
        if !self.not_to_be_had.is_empty() {
            writeln!(f, "\nThis store does not have: {}.", self.not_to_be_had.join(", "))?;
        }
        table(f, "turns not had", &self.outcomes)?;
        table(f, "guards lost", &self.lost)?;
        listed(f, "Violations", &self.violations)?;
        for (what, list) in [
            ("What the store itself has lost", &self.losses_of_the_store),
            ("Sessions that the store ended too early", &self.sessions_ended_early),
            ("What was violated by that", &self.violations_of_the_store),
        ] {
            if !list.is_empty() {
                listed(f, what, list)?;
            }
        }
        if !self.differences_of_servers.is_empty() {
            listed(f, "What servers said of their own data", &self.differences_of_servers)?;
        }
        Ok(())
    }
}

/// The first ones.
fn listed(f: &mut fmt::Formatter<'_>, what: &str, lines: &[String]) -> fmt::Result {
    writeln!(f, "\n## {what}\n")?;
    if lines.is_empty() {
        writeln!(f, "None.")?;
    }
    lines.iter().take(50).try_for_each(|line| writeln!(f, "- {line}"))?;
    match lines.len().checked_sub(50) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(f, "- and {more} more"),
    }
}

fn table(f: &mut fmt::Formatter<'_>, what: &str, counts: &BTreeMap<String, usize>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n| {what} | |\n|---|---|")?;
    counts.iter().try_for_each(|(what, count)| writeln!(f, "| {what} | {count} |"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_in_order() {
        let spread = Spread::of((1..=200).rev().collect());
        assert_eq!((spread.count, spread.min, spread.max), (200, Some(1), Some(200)));
        assert_eq!((spread.p50, spread.p99), (Some(101), Some(199)));
        assert_eq!(Spread::of(Vec::new()).p50, None);
    }
}
