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
    /// Only these bugs, by name. Then the code without a bug is not looked at, and only their rows are replaced.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// For how many seconds lock-chaos looks for each.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// What everything that lock-chaos leaves to chance comes from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// As `lock-testkit`'s program `bugs` lists it.
struct Bug {
    name: String,
    part: String,
    explanation: String,
}

/// What may find a bug.
#[derive(Clone, Copy)]
enum Check {
    /// The conformance suite: one of these tests after another.
    Suite(&'static [Test]),
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

/// A test, and the file that it is in; none: it is one of a library.
#[derive(Clone, Copy)]
struct Test {
    file: &'static str,
    name: &'static str,
}

const MEMORY: Test = Test { file: "suite", name: "memory_keeps_every_clause" };
const ONE_MEMBER: Test = Test { file: "conformance", name: "one_member_keeps_every_clause" };
const THREE_MEMBERS: Test = Test { file: "conformance", name: "three_members_keep_every_clause" };
const ONE_SERVER: Test = Test { file: "conformance", name: "one_server_keeps_every_clause" };
const THREE_SERVERS: Test = Test { file: "conformance", name: "three_servers_keep_every_clause" };
/// Not of the suite: the rule by which ZooKeeper's sessions count, in a simulation of leader and follower.
const BEATS: Test = Test {
    file: "",
    name: "the_leader_never_ends_a_session_before_its_deadline_and_simpler_rules_are_refuted",
};
/// Nor this: a create whose answer is swallowed, before a real server.
const LOST_ANSWER: Test = Test { file: "faults", name: "c9_a_place_whose_answer_is_lost_is_found_again" };
/// Nor this: a test of etcd's faults.
const SURVIVAL: Test = Test { file: "faults", name: "a_session_survives_what_is_over_before_its_deadline" };
const MEMORY_SEEDS: Test = Test { file: "sim", name: "no_seed_finds_anything_wrong" };
const ETCD_SEEDS: Test = Test { file: "simulated", name: "no_seed_finds_anything_wrong" };
const CLOCK: Test = Test { file: "clock", name: "the_clock_counts_from_boot" };

impl Test {
    fn told(self) -> String {
        let Self { file, name } = self;
        if file.is_empty() { format!("`{name}`") } else { format!("`tests/{file}`: `{name}`") }
    }
}

impl Bug {
    /// The code as it is: with it, nothing may be found.
    fn none() -> Self {
        Self { name: String::new(), part: String::new(), explanation: String::new() }
    }

    fn all() -> Result<Vec<Self>> {
        let list = cargo::output(&["run", "--quiet", "--package", "lock-testkit", "--bin", "bugs"])?;
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
            ("", _) => &[
                Check::Suite(&[MEMORY, ONE_MEMBER, THREE_MEMBERS, ONE_SERVER, THREE_SERVERS]),
                Check::Simulator(MEMORY_SEEDS),
                Check::Simulator(ETCD_SEEDS),
                Check::Chaos("etcd"),
                Check::Chaos("zookeeper"),
                Check::Clock,
            ],
            (_, "StdClock") => &[Check::Clock],
            // Sessions that end too soon break no clause.
            (_, "RenewalNotResumed") => &[Check::Suite(&[SURVIVAL]), Check::Simulator(ETCD_SEEDS)],
            ("Etcd", _) => &[
                Check::Simulator(ETCD_SEEDS),
                Check::Chaos("etcd"),
                Check::Suite(&[ONE_MEMBER, THREE_MEMBERS]),
            ],
            // The leader's count is coarse, and only one answer is swallowed in a while: chance does not come by.
            (_, "NewestBeatCounts") => &[Check::Suite(&[BEATS])],
            (_, "CreateRepeated") => &[Check::Suite(&[LOST_ANSWER]), Check::Chaos("zookeeper")],
            ("ZooKeeper", _) => &[Check::Chaos("zookeeper"), Check::Suite(&[ONE_SERVER, THREE_SERVERS])],
            _ => &[
                Check::Suite(&[MEMORY]),
                Check::Simulator(MEMORY_SEEDS),
                Check::Simulator(ETCD_SEEDS),
                Check::Chaos("etcd"),
                Check::Suite(&[ONE_MEMBER]),
            ],
        }
    }
}

impl Check {
    /// What finds the bug, if this does.
    fn find(self, bug: &Bug, options: &Options) -> Result<Option<String>> {
        match self {
            Self::Suite(tests) => suite(tests, bug),
            Self::Simulator(test) => simulator(test, bug),
            Self::Chaos(store) => chaos(store, bug, options),
            Self::Clock => clock(bug),
        }
    }

    /// Whether it is asked only about what nothing else finds.
    fn is_slow(self) -> bool {
        matches!(self, Self::Suite(tests) if tests.iter().all(|test| test.file == "conformance"))
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
    if all && let Some(found) = look_for(&Bug::none(), options)?.into_values().flatten().next() {
        return Err(format!("something is found without a bug: {found}").into());
    }
    let wanted = |bug: &Bug| all || options.only.contains(&bug.name);
    let (mut rows, mut missed) = (Vec::new(), Vec::new());
    for bug in Bug::all()?.into_iter().filter(wanted) {
        let found = look_for(&bug, options)?;
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

fn look_for(bug: &Bug, options: &Options) -> Result<Found> {
    let mut found = Found::new();
    for check in bug.checks() {
        if check.is_slow() && found.values().any(Option::is_some) {
            continue;
        }
        let column = found.entry(check.column()).or_default();
        if column.is_none() {
            *column = check.find(bug, options)?;
        }
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

/// Runs a program with the bug in it, for no longer than there is patience: what it prints when it has found
/// something.
fn complaint(
    bug: &Bug,
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<Option<String>> {
    eprintln!("+ {VARIABLE}={} {} {}", bug.name, program, arguments.join(" "));
    // One that goes round in circles fills the memory first.
    let mut command = Command::new("prlimit");
    command.args([MEMORY_LIMIT, "timeout", "--kill-after=30", PATIENCE, program]).args(arguments);
    let output = command.env(VARIABLE, &bug.name).envs(variables.iter().copied()).output()?;
    let printed = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    Ok((!output.status.success()).then(|| printed.concat()))
}

/// Runs one of the tests.
fn look(bug: &Bug, test: Test, variables: &[(&str, &str)]) -> Result<Option<String>> {
    let target = if test.file.is_empty() { vec!["--lib"] } else { vec!["--test", test.file] };
    let cargo =
        [&["test", "--quiet", "--workspace", "--all-features"], &*target, &["--", test.name]].concat();
    complaint(bug, "cargo", &cargo, variables)
}

/// The clauses that the suite finds broken.
fn suite(tests: &[Test], bug: &Bug) -> Result<Option<String>> {
    for test in tests {
        if let Some(printed) = look(bug, *test, &[])? {
            let is_of_suite = test.file == "suite" || test.file == "conformance";
            return Ok(Some(if is_of_suite { clauses(&printed) } else { test.told() }));
        }
    }
    Ok(None)
}

/// The clauses that a report of the suite says are broken.
fn clauses(printed: &str) -> String {
    let mut clauses: Vec<&str> =
        printed.lines().filter_map(|line| Some(line.strip_prefix("FAIL: ")?.split_once(',')?.0)).collect();
    clauses.dedup();
    told(&clauses.join(", "))
}

/// The first seed that shows it, and as what.
fn simulator(test: Test, bug: &Bug) -> Result<Option<String>> {
    let printed = look(bug, test, &[])?;
    Ok(printed.map(|printed| told(&seed_and_sign(&printed).unwrap_or_default())))
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
    if complaint(bug, &program.to_string_lossy(), &arguments, &[])?.is_none() {
        return Ok(None);
    }
    let Ok(report) = fs::read_to_string(folder.join("report.json")) else { return Ok(Some(told(""))) };
    let report: Value = serde_json::from_str(&report)?;
    let violations = report.get("violations").and_then(Value::as_array).ok_or("a report has another form")?;
    let signs: BTreeSet<&str> = violations.iter().filter_map(|it| it.as_str()?.split(' ').next()).collect();
    let signs: Vec<&str> = signs.into_iter().collect();
    Ok(Some(told(&format!("{} (seed {})", signs.join(", "), options.seed))))
}

/// A test of the clock, in a namespace whose boot was long before that of the clock that stands still during
/// suspend.
fn clock(bug: &Bug) -> Result<Option<String>> {
    let runner = format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_"));
    let suspended = "unshare --user --map-root-user --time --fork --boottime 1000000";
    let variables = [(runner.as_str(), suspended)];
    let found = look(bug, CLOCK, &variables)?;
    Ok(found.map(|_| "C7: the clock, in a time namespace".to_owned()))
}

/// The triple of this machine.
fn host() -> Result<String> {
    let version = ask("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}

/// What finds a bug without a word has been stopped: it did not come to an end.
fn told(what: &str) -> String {
    if what.is_empty() { "does not come to an end".to_owned() } else { what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_read_from_what_is_printed() {
        let report =
            "C1 ...\nFAIL: C7 lost, shared: a\nFAIL: C7 lost, exclusive: b\nFAIL: C10 posthumous, x: c\n";
        assert_eq!(clauses(report), "C7 lost, C10 posthumous");
        assert_eq!(clauses("nothing"), "does not come to an end");
        let printed = "  left: [\"seed 17: I8 Progress at 3s: no turn\\nreproduce it with: x\"]\n";
        assert_eq!(seed_and_sign(printed).unwrap(), "I8 (seed 17)");
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
