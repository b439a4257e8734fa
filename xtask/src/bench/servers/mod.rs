//! Stores with servers: `lock-bench`, and other projects' locks beside it.
//!
//! For each case, ours with few and with many sessions and then each peer's, and all of it again the other way
//! round: A B B A, so that nobody is always the first. An environment is measured in one go, or not at all.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod etcd;
mod figures;
mod goals;
mod kept;
mod page;
mod plan;
mod plot;
mod programs;
pub(crate) mod releases;
mod store;
mod zookeeper;

use std::path::{Path, PathBuf};

use clap::Args;

pub(crate) use self::{etcd::ETCD, store::Store, zookeeper::ZOOKEEPER};
use self::{
    figures::{Program, Run, Section},
    plan::{Case, Environment, Mode, contended},
    programs::{Cluster, Programs},
};
use crate::{
    cargo::Result,
    page::{machine, run as ask},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const PEERS: &str = "../shared/peers";
/// How often each case is run.
const ROUNDS: usize = 2;

/// Each environment that is measured whole replaces its figures in docs/performance.md; of a part, the
/// figures are printed.
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
    /// Where the programs of the other locks are, each in its folder, if they are there: from the
    /// repository's root.
    #[arg(long, default_value = PEERS)]
    peers: PathBuf,
    /// A few seconds with unoptimized programs, to see that all of this works.
    #[arg(long, conflicts_with_all = ["seconds", "environment", "only", "clients"])]
    quick: bool,
    /// Measures nothing: writes page and plot anew from the figures in docs/performance.
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
pub(crate) fn quick(store: &'static Store) -> Result<()> {
    let (environment, only, clients) = (Vec::new(), None, Vec::new());
    let peers = PEERS.into();
    run(store, Options { seconds: 1, environment, only, clients, peers, quick: true, redraw: false })
}

pub(crate) fn run(store: &'static Store, mut options: Options) -> Result<()> {
    if options.redraw {
        return kept::write(store, &kept::read(store)?);
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
    let programs = Programs::build(store, options.quick, &Path::new(ROOT).join(&options.peers))?;
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
        let section = measure(store, &options, &programs, environment, folder)?;
        let goals = page::goals_table(store, std::slice::from_ref(&section));
        println!("{}\n{goals}", page::section_text(store, &section));
        failures += section.runs.iter().filter(|run| run.is_ours() && run.outcome.is_err()).count();
        if whole {
            kept::keep(store, section)?;
        }
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} runs of ours failed").into()) }
}

fn measure(
    store: &Store,
    options: &Options,
    programs: &Programs,
    environment: Environment,
    folder: &Path,
) -> Result<Section> {
    let Options { seconds, quick, .. } = *options;
    let setting = setting(store, programs, folder)?;
    let (rounds, warm_up) = if quick { (1, 0) } else { (ROUNDS, store.warm_up) };
    let (mut runs, mut usable) = (Vec::new(), None);
    for case in Case::all().filter(|case| options.wants(*case)) {
        for round in 0..rounds {
            let mut order: Vec<Program> = programs.of(case).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            if store.ages {
                usable = None;
            }
            for program in order {
                let cluster = match usable.take() {
                    Some(cluster) => cluster,
                    None => warm(programs, programs.cluster(environment, folder)?, warm_up)?,
                };
                let outcome = programs.run(&program, &cluster, case, seconds)?;
                // Who fails leaves sessions behind, which end while the next one is measured.
                usable = outcome.is_ok().then_some(cluster);
                let run = Run { case, program, outcome };
                eprintln!("{environment}: {run}");
                runs.push(run);
            }
        }
    }
    Ok(Section { environment, setting, seconds, runs })
}

/// Uses new servers for so many seconds.
fn warm(programs: &Programs, cluster: Cluster, seconds: u64) -> Result<Cluster> {
    if seconds > 0 {
        programs
            .run(&Program::Ours(16), &cluster, contended(16), seconds)?
            .map_err(|why| format!("warming up: {why}"))?;
    }
    Ok(cluster)
}

/// When, on what, with which versions.
fn setting(store: &Store, programs: &Programs, folder: &Path) -> Result<String> {
    let commit = ask("git", &["-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"])?;
    let files = ask("stat", &["--file-system", "--format=%T", &folder.display().to_string()])?;
    let servers = (store.version)()?;
    let versions: Vec<&str> = std::iter::once(&*servers).chain(programs.versions()).collect();
    Ok(format!("{}; data on {files}; {}; commit {commit}", machine()?, versions.join(", ")))
}
