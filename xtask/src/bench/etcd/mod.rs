//! etcd: `lock-bench`, and Go's `concurrency.Mutex` beside it.
//!
//! For each case, ours with few and with many sessions and then Go's, and all of it again: A B A B, each time
//! on new servers, so that nobody meets what another one has left behind. An environment is measured in one
//! go, or not at all.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod figures;
mod goals;
mod page;
mod plan;
mod plot;
mod programs;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::Args;

use self::{
    figures::{Program, Run, Section},
    plan::{Case, Environment, Mode},
    programs::Programs,
};
use super::{machine, run as ask, write_section};
use crate::cargo::Result;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance/etcd.json");
const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance/etcd.svg");
/// How often each case is run.
const ROUNDS: usize = 2;

/// etcd with `lock-bench`, and Go's `concurrency.Mutex` beside it. Each environment that is measured
/// whole replaces its figures in docs/performance.md; of a part, the figures are printed.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How long each run measures.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only this environment; may be given several times.
    #[arg(long, value_enum)]
    environment: Vec<Environment>,
    /// Only this mode.
    #[arg(long, value_enum)]
    only: Option<Mode>,
    /// Only so many clients; may be given several times.
    #[arg(long)]
    clients: Vec<usize>,
    /// Where Go's program is, if it is there: from the repository's root.
    #[arg(long, default_value = "../shared/peers/etcd-go")]
    peer: PathBuf,
    /// A few seconds with unoptimized programs, to see that all of this works.
    #[arg(long, conflicts_with_all = ["seconds", "environment", "only", "clients"])]
    quick: bool,
    /// Measures nothing: writes page and plot anew from docs/performance/etcd.json.
    #[arg(long, conflicts_with_all = ["quick", "seconds", "environment", "only", "clients"])]
    redraw: bool,
}

impl Options {
    fn wants(&self, case: Case) -> bool {
        self.only.is_none_or(|mode| case.mode == mode)
            && (self.clients.is_empty() || self.clients.contains(&case.clients))
    }
}

/// As `cargo xtask test` runs it: whether it works.
pub(crate) fn quick() -> Result<()> {
    let peer = "../shared/peers/etcd-go".into();
    let (environment, only, clients) = (Vec::new(), None, Vec::new());
    run(Options { seconds: 1, environment, only, clients, peer, quick: true, redraw: false })
}

pub(crate) fn run(mut options: Options) -> Result<()> {
    if options.redraw {
        return write(&read()?);
    }
    if options.quick {
        let here = Environment::ALL.into_iter().find(|it| it.folder(Path::new(ROOT)).is_some());
        options = Options {
            seconds: 1,
            environment: here.into_iter().collect(),
            only: Some(Mode::Contended),
            clients: vec![2, 16],
            ..options
        };
    }
    let programs = Programs::build(options.quick, &Path::new(ROOT).join(&options.peer))?;
    let whole = Case::all().all(|case| options.wants(case));
    let mut failures = 0;
    for environment in Environment::ALL {
        if !options.environment.is_empty() && !options.environment.contains(&environment) {
            continue;
        }
        let Some(folder) = environment.folder(&programs.disk) else {
            eprintln!("{environment}: there is no such place here");
            continue;
        };
        let section = measure(&options, &programs, environment, folder)?;
        println!("{}\n{}", page::section_text(&section), page::goals_table(std::slice::from_ref(&section)));
        failures +=
            section.runs.iter().filter(|run| run.program != Program::Go && run.outcome.is_err()).count();
        if whole {
            keep(section)?;
        }
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} runs of ours failed").into()) }
}

fn measure(
    options: &Options,
    programs: &Programs,
    environment: Environment,
    folder: &Path,
) -> Result<Section> {
    let seconds = options.seconds;
    let setting = setting(programs, folder)?;
    let mut runs = Vec::new();
    let mut done = |case: Case, program, outcome| {
        let run = Run { case, program, outcome };
        eprintln!("{environment}: {run}");
        runs.push(run);
    };
    for case in Case::all().filter(|case| options.wants(*case)) {
        for _ in 0..if options.quick { 1 } else { ROUNDS } {
            let cluster = programs.cluster(environment, folder)?;
            for sessions in case.sessions() {
                let outcome = programs.ours(&cluster, case, sessions, seconds)?;
                done(case, Program::Ours(sessions), outcome);
            }
            if let Some(outcome) = programs.go(&cluster, case, seconds)? {
                done(case, Program::Go, outcome);
            }
        }
    }
    Ok(Section { environment, setting, seconds, runs })
}

/// When, on what, with which versions.
fn setting(programs: &Programs, folder: &Path) -> Result<String> {
    let etcd = env::var("YOURTURN_ETCD").unwrap_or_else(|_| "etcd".to_owned());
    let etcd = ask(&etcd, "--version")?;
    let etcd = etcd.lines().next().unwrap_or_default().replace(" Version:", "");
    let commit = ask("git", &format!("-C {ROOT} describe --always --dirty --exclude=*"))?;
    let files = ask("stat", &format!("--file-system --format=%T {}", folder.display()))?;
    let go =
        if programs.has_go() { ask("go", "version")?.replace("go version ", ", ") } else { String::new() };
    Ok(format!("{}; data on {files}; {etcd}{go}; commit {commit}", machine()?))
}

fn read() -> Result<Vec<Section>> {
    match fs::read_to_string(FIGURES) {
        Ok(text) => Ok(serde_json::from_str(&text).map_err(|error| format!("{FIGURES}: {error}"))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{FIGURES}: {error}").into()),
    }
}

/// Puts this environment's figures in the place of older ones, and writes everything anew.
fn keep(section: Section) -> Result<()> {
    let mut sections = read()?;
    sections.retain(|older| older.environment != section.environment);
    sections.push(section);
    sections.sort_by_key(|section| Environment::ALL.iter().position(|it| *it == section.environment));
    let folder = Path::new(FIGURES).parent().unwrap_or(Path::new(ROOT));
    fs::create_dir_all(folder)?;
    fs::write(FIGURES, serde_json::to_string_pretty(&sections)? + "\n")?;
    write(&sections)
}

fn write(sections: &[Section]) -> Result<()> {
    fs::write(PLOT, plot::svg(sections)?)?;
    write_section("etcd", &page::page(sections))
}
