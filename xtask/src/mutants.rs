//! Bugs that are seeded into our own code, one at a time, and what finds them. The table of them is a section of
//! `docs/reliability.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    process::Command,
};

use clap::Args;
use serde_json::Value;

use crate::{
    cargo::{self, Result},
    page::{Page, machine, run as ask},
};

/// Names the bug to whatever looks for it.
const VARIABLE: &str = "YOURTURN_BUG";

/// Those that Debian's etcd and ZooKeeper bear; see `lock-chaos/tests/runs.rs`.
const FAULTS: &str = "kill,stop,cut,cut-server,one-way,reset,refuse,delay,slow,lose-reply";

/// After so many seconds what looks for a bug has found it: it does not come to an end.
const PATIENCE: &str = "150";
/// In bytes that it writes to.
const MEMORY_LIMIT: &str = "--data=6000000000";

/// What is looked for, and how hard.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Only these bugs, by name. Then only their rows are replaced.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// For how many seconds lock-chaos looks for each.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// What everything that lock-chaos leaves to chance comes from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// As `lock-check`'s program `bugs` lists it.
struct Bug {
    name: String,
    part: String,
    explanation: String,
}

/// What may find a bug.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// A test that runs the conformance suite, or one of its own for a bug.
    Suite(Test),
    /// One of the simulator's tests.
    Simulator(Test),
    /// `lock-chaos`, on this store.
    Chaos(&'static str),
    /// A test of the clock, where the machine seems to have been suspended.
    Clock,
}

/// A column of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Suite,
    Simulator,
    Chaos,
}

/// What each column says: nothing where nobody looked, `None` where nothing was found.
type Found = BTreeMap<Column, Option<String>>;

/// How a program ended that looked for a bug.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Well,
    /// It failed, and printed this.
    Badly(String),
    /// It was stopped.
    Never,
}

/// A test, and the target that it is in; none: it is one of a library.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Test {
    target: &'static str,
    name: &'static str,
}

const MEMORY: Test = Test { target: "suite", name: "memory_keeps_every_clause" };
const ONE_MEMBER: Test = Test { target: "conformance", name: "one_member_keeps_every_clause" };
const THREE_MEMBERS: Test = Test { target: "conformance", name: "three_members_keep_every_clause" };
const ONE_SERVER: Test = Test { target: "conformance", name: "one_server_keeps_every_clause" };
const THREE_SERVERS: Test = Test { target: "conformance", name: "three_servers_keep_every_clause" };
/// Not of the suite: the rule by which ZooKeeper's sessions count, in a simulation of leader and follower.
const BEATS: Test = Test {
    target: "",
    name: "the_leader_never_ends_a_session_before_its_deadline_and_simpler_rules_are_refuted",
};
/// Nor this: a create whose answer is swallowed, before a real server.
const LOST_ANSWER: Test = Test { target: "faults", name: "c9_a_place_whose_answer_is_lost_is_found_again" };
/// Nor this: a test of etcd's faults.
const SURVIVAL: Test = Test { target: "faults", name: "a_session_survives_what_is_over_before_its_deadline" };
const MEMORY_SEEDS: Test = Test { target: "sim", name: "no_seed_finds_anything_wrong" };
const ETCD_SEEDS: Test = Test { target: "simulated", name: "no_seed_finds_anything_wrong" };
const CLOCK: Test = Test { target: "clock", name: "the_clock_counts_from_boot" };

impl Test {
    fn told(self) -> String {
        let Self { target, name } = self;
        if target.is_empty() { format!("`{name}`") } else { format!("`{target}`: `{name}`") }
    }
}

impl Bug {
    /// The code as it is: with it, nothing may be found.
    fn none() -> Self {
        Self { name: String::new(), part: String::new(), explanation: String::new() }
    }

    fn all() -> Result<Vec<Self>> {
        let list = cargo::output(&["run", "--quiet", "--package", "lock-check", "--bin", "bugs"])?;
        let read = |line: &str| {
            let mut words = line.split('\t').map(str::to_owned);
            Some(Self { name: words.next()?, part: words.next()?, explanation: words.next()? })
        };
        let all: Option<Vec<Self>> = list.lines().map(read).collect();
        all.ok_or_else(|| "the list of bugs has another form".into())
    }

    /// What can come by the code that it is in; what takes longest comes last.
    fn checks(&self) -> &'static [Check] {
        match (self.part.as_str(), self.name.as_str()) {
            (_, "StdClock") => &[Check::Clock],
            // Sessions that end too soon break no clause.
            (_, "RenewalNotResumed") => &[Check::Suite(SURVIVAL), Check::Simulator(ETCD_SEEDS)],
            ("Etcd", _) => &[
                Check::Simulator(ETCD_SEEDS),
                Check::Chaos("etcd"),
                Check::Suite(ONE_MEMBER),
                Check::Suite(THREE_MEMBERS),
            ],
            // The leader's count is coarse, and only one answer is swallowed in a while: chance does not come by.
            (_, "NewestBeatCounts") => &[Check::Suite(BEATS)],
            (_, "CreateRepeated") => &[Check::Suite(LOST_ANSWER), Check::Chaos("zookeeper")],
            ("ZooKeeper", _) => {
                &[Check::Chaos("zookeeper"), Check::Suite(ONE_SERVER), Check::Suite(THREE_SERVERS)]
            }
            _ => &[
                Check::Suite(MEMORY),
                Check::Simulator(MEMORY_SEEDS),
                Check::Simulator(ETCD_SEEDS),
                Check::Chaos("etcd"),
                Check::Suite(ONE_MEMBER),
            ],
        }
    }
}

impl Check {
    /// What finds the bug, if this does.
    fn find(self, bug: &Bug, options: &Options) -> Result<Option<String>> {
        match self {
            Self::Suite(test) => suite(test, bug),
            Self::Simulator(test) => simulator(test, bug),
            Self::Chaos(store) => chaos(store, bug, options),
            Self::Clock => clock(bug),
        }
    }

    /// Whether it is asked only about what nothing else finds.
    fn is_slow(self) -> bool {
        matches!(self, Self::Suite(test) if test.target == "conformance")
    }

    /// Where the table tells it.
    const fn column(self) -> Column {
        match self {
            Self::Suite(_) | Self::Clock => Column::Suite,
            Self::Simulator(_) => Column::Simulator,
            Self::Chaos(_) => Column::Chaos,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    for arguments in [
        &["build", "--quiet", "--release", "--package", "lock-chaos"][..],
        &["test", "--quiet", "--workspace", "--all-features", "--no-run"],
    ] {
        cargo::run(arguments)?;
    }
    let all = options.only.is_empty();
    let wanted = |bug: &Bug| all || options.only.contains(&bug.name);
    let (mut rows, mut missed, mut trusted) = (Vec::new(), Vec::new(), Vec::new());
    for bug in Bug::all()?.into_iter().filter(wanted) {
        let found = look_for(&bug, &mut trusted, options)?;
        if found.values().all(Option::is_none) {
            missed.push(bug.name.clone());
        }
        let row = row(&bug, &found);
        eprintln!("{row}");
        rows.push((bug.name, row));
    }
    let commit = ask("git", &["rev-parse", "--short", "HEAD"])?;
    let table = if all {
        let head = "| bug | suite | simulator | `lock-chaos` |\n|---|---|---|---|";
        amended(&format!("{}; commit {commit}.\n\n{head}\n", machine()?), rows)
    } else {
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        let note = format!("; once more at commit {commit}: {}.\n\n", names.join(", "));
        amended(&Page::RELIABILITY.section("mutants")?.replacen(".\n\n", &note, 1), rows)
    };
    Page::RELIABILITY.write_section("mutants", &table)?;
    if missed.is_empty() { Ok(()) } else { Err(format!("nothing finds {}", missed.join(", ")).into()) }
}

/// `trusted`: the checks that have found nothing without a bug; each is tried when it is first needed.
fn look_for(bug: &Bug, trusted: &mut Vec<Check>, options: &Options) -> Result<Found> {
    let mut found = Found::new();
    for check in bug.checks() {
        if check.is_slow() && found.values().any(Option::is_some) {
            continue;
        }
        let column = found.entry(check.column()).or_default();
        if column.is_some() {
            continue;
        }
        if !trusted.contains(check) {
            if let Some(found) = check.find(&Bug::none(), options)? {
                return Err(format!("something is found without a bug: {found}").into());
            }
            trusted.push(*check);
        }
        *column = check.find(bug, options)?;
    }
    Ok(found)
}

/// The table with these rows in place of those of the same bugs; those that it has not come last.
fn amended(table: &str, mut rows: Vec<(String, String)>) -> String {
    let name = |line: &str| Some(line.strip_prefix("| **")?.split_once("**")?.0.to_owned());
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if let Some(at) = name(line).and_then(|name| rows.iter().position(|(of, _)| *of == name)) {
            *line = rows.remove(at).1;
        }
    }
    lines.extend(rows.into_iter().map(|(_, row)| row));
    lines.join("\n") + "\n"
}

fn row(bug: &Bug, found: &Found) -> String {
    let mut row = format!("| **{}**: {}", bug.name, bug.explanation);
    for column in [Column::Suite, Column::Simulator, Column::Chaos] {
        let cell = found.get(&column).map_or("", |found| found.as_deref().unwrap_or("–"));
        let _to_a_string = write!(row, " | {cell}");
    }
    row + " |"
}

/// Runs a program with the bug in it, for no longer than there is patience.
fn ran(bug: &Bug, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Ended> {
    eprintln!("+ {VARIABLE}={} {} {}", bug.name, program, arguments.join(" "));
    let mut command = Command::new("prlimit");
    command.args([MEMORY_LIMIT, "timeout", "--kill-after=30", PATIENCE, program]).args(arguments);
    let output = command.env(VARIABLE, &bug.name).envs(variables.iter().copied()).output()?;
    let printed = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    Ok(ended(output.status.code(), printed.concat()))
}

/// What an exit code of `timeout` says.
fn ended(code: Option<i32>, printed: String) -> Ended {
    match code {
        Some(0) => Ended::Well,
        // It ran out of time: it was told to end, or killed.
        Some(124 | 137) => Ended::Never,
        // What goes round in circles may run out of memory first.
        _ if printed.contains("memory allocation of ") => Ended::Never,
        _ => Ended::Badly(printed),
    }
}

/// What a check has found, if anything, by the sign of a bug in what it printed. Without one it has failed for
/// another reason, and says nothing of the bug.
fn finding(ended: Ended, sign: impl FnOnce(&str) -> Option<String>) -> Result<Option<String>> {
    match ended {
        Ended::Well => Ok(None),
        Ended::Never => Ok(Some("does not come to an end".to_owned())),
        Ended::Badly(printed) => match sign(&printed) {
            None => Err(format!("a check failed, and has found nothing:\n{printed}").into()),
            sign => Ok(sign),
        },
    }
}

/// Runs one of the tests.
fn look(bug: &Bug, test: Test, variables: &[(&str, &str)]) -> Result<Ended> {
    let target = if test.target.is_empty() { vec!["--lib"] } else { vec!["--test", test.target] };
    let cargo =
        [&["test", "--quiet", "--workspace", "--all-features"], &*target, &["--", test.name]].concat();
    ran(bug, "cargo", &cargo, variables)
}

/// The clauses that the suite finds broken; of another test, which it is.
fn suite(test: Test, bug: &Bug) -> Result<Option<String>> {
    let is_of_suite = test.target == "suite" || test.target == "conformance";
    finding(look(bug, test, &[])?, |printed| {
        if is_of_suite { clauses(printed) } else { has_failed(test, printed).then(|| test.told()) }
    })
}

/// The clauses that a report of the suite says are broken. A store that does not start breaks none.
fn clauses(printed: &str) -> Option<String> {
    let clause = |line: &str| {
        let (clause, rest) = line.strip_prefix("FAIL: ")?.split_once(", ")?;
        let (_mode, why) = rest.split_once(": ")?;
        (!why.starts_with("there is no store")).then(|| clause.to_owned())
    };
    let mut clauses: Vec<String> = printed.lines().filter_map(clause).collect();
    clauses.dedup();
    (!clauses.is_empty()).then(|| clauses.join(", "))
}

/// Whether what cargo printed says that this test has failed, and not that it could not be run.
fn has_failed(test: Test, printed: &str) -> bool {
    let failed = |line: &str| line.strip_prefix("---- ")?.strip_suffix(" stdout ----").map(str::to_owned);
    printed.lines().filter_map(failed).any(|name| name.contains(test.name))
}

/// The first seed that shows it, and as what.
fn simulator(test: Test, bug: &Bug) -> Result<Option<String>> {
    finding(look(bug, test, &[])?, seed_and_sign)
}

/// Of the simulator's test: which invariant its first violation is about, and the seed.
fn seed_and_sign(printed: &str) -> Option<String> {
    let (_, violation) = printed.split_once("left: [\"seed ")?;
    let (seed, violation) = violation.split_once(": ")?;
    let sign = violation.split(' ').next()?;
    Some(format!("{sign} (seed {seed})"))
}

/// The invariants that `lock-chaos` finds broken.
fn chaos(store: &str, bug: &Bug, options: &Options) -> Result<Option<String>> {
    let target = cargo::target_directory()?;
    let folder = target.join("chaos").join(format!("{store}-bug-{}", bug.name));
    let arguments = format!(
        "--backend {store} --nodes 3 --locks 10 --faults {FAULTS} --every 300 --seconds {} --seed {} --report {}",
        options.seconds,
        options.seed,
        folder.display()
    );
    // Of an earlier run.
    drop(fs::remove_dir_all(&folder));
    let program = target.join("release").join("lock-chaos");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    finding(ran(bug, &program.to_string_lossy(), &arguments, &[])?, |_printed| {
        let invariants = invariants(&fs::read_to_string(folder.join("report.json")).ok()?)?;
        Some(format!("{invariants} (seed {})", options.seed))
    })
}

/// Those that a report of `lock-chaos` says are broken.
fn invariants(report: &str) -> Option<String> {
    let report: Value = serde_json::from_str(report).ok()?;
    let violations = report.get("violations")?.as_array()?;
    let signs: BTreeSet<&str> = violations.iter().filter_map(|it| it.as_str()?.split(' ').next()).collect();
    (!signs.is_empty()).then(|| signs.into_iter().collect::<Vec<_>>().join(", "))
}

/// A test of the clock, in a namespace whose boot was long before that of the clock that stands still during
/// suspend.
fn clock(bug: &Bug) -> Result<Option<String>> {
    let runner = format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_"));
    let suspended = "unshare --user --map-root-user --time --fork --boottime 1000000";
    let variables = [(runner.as_str(), suspended)];
    finding(look(bug, CLOCK, &variables)?, |printed| {
        has_failed(CLOCK, printed).then(|| "C7: the clock, in a time namespace".to_owned())
    })
}

/// The triple of this machine.
fn host() -> Result<String> {
    let version = ask("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_read_from_what_is_printed() {
        let report =
            "C1 ...\nFAIL: C7 lost, shared: a\nFAIL: C7 lost, exclusive: b\nFAIL: C10 posthumous, x: c\n";
        assert_eq!(clauses(report).unwrap(), "C7 lost, C10 posthumous");
        let printed = "  left: [\"seed 17: I8 Progress at 3s: no turn\\nreproduce it with: x\"]\n";
        assert_eq!(seed_and_sign(printed).unwrap(), "I8 (seed 17)");
        let report = r#"{"violations": ["I7 at 3s: a", "I4 at 2s: b", "I7 at 5s: c"]}"#;
        assert_eq!(invariants(report).unwrap(), "I4, I7");
        assert!(has_failed(BEATS, &format!("\n---- beats::tests::{} stdout ----\n", BEATS.name)));
    }

    #[test]
    fn what_failed_for_another_reason_has_found_nothing() {
        let report = "FAIL: C1 exclusion, 2 of 3 permits: there is no store: etcd has ended\n";
        assert_eq!(clauses(report), None);
        assert_eq!(clauses(&format!("{report}FAIL: C2 fifo, shared: a\n")).unwrap(), "C2 fifo");
        assert_eq!(invariants(r#"{"violations": []}"#), None);
        let printed = format!("error: could not execute `{}` (never executed)", CLOCK.name);
        assert!(!has_failed(CLOCK, &printed));
        let error = finding(Ended::Badly(printed), |_| None).unwrap_err();
        assert!(error.to_string().contains("never executed"), "{error}");
    }

    #[test]
    fn what_is_stopped_does_not_come_to_an_end() {
        let ended = |code, printed: &str| ended(code, printed.to_owned());
        let sign = |printed: &str| Some(printed.to_owned());
        assert_eq!(finding(ended(Some(0), "x"), sign).unwrap(), None);
        assert_eq!(finding(ended(Some(101), "x"), sign).unwrap().unwrap(), "x");
        // Killed from outside.
        assert_eq!(ended(None, "x"), Ended::Badly("x".to_owned()));
        let out_of_memory = ended(Some(101), "memory allocation of 8 bytes failed");
        for stopped in [ended(Some(124), "x"), ended(Some(137), "x"), out_of_memory] {
            assert_eq!(finding(stopped, sign).unwrap().unwrap(), "does not come to an end");
        }
    }

    #[test]
    fn a_row_tells_what_was_not_found_from_what_was_not_looked_for() {
        let bug = Bug { name: "A".into(), part: "Core".into(), explanation: "It is wrong.".into() };
        let found = [(Column::Suite, Some("C7".to_owned())), (Column::Chaos, None)].into();
        assert_eq!(row(&bug, &found), "| **A**: It is wrong. | C7 |  | – |");
    }

    #[test]
    fn only_the_rows_of_the_bugs_that_were_looked_for_are_replaced() {
        let rows = [("B", "| **B**: new |"), ("D", "| **D**: new |")];
        let rows = rows.map(|(name, row)| (name.to_owned(), row.to_owned())).into();
        let table = "x; commit 1.\n\n| bug |\n|---|\n| **A**: old |\n| **B**: old |\n";
        let expected = "x; commit 1.\n\n| bug |\n|---|\n| **A**: old |\n| **B**: new |\n| **D**: new |\n";
        assert_eq!(amended(table, rows), expected);
    }
}
