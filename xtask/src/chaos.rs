//! `lock-chaos` on each store: a long run with all faults, and one that kills and stops holders. Their reports make
//! up `docs/reliability.md`.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use clap::{Args, ValueEnum};

use crate::{
    cargo::{self, Result},
    page::{Page, machine, run as ask},
};

const THREE: &str = "3";

const ALL_FAULTS: &str = "--faults all --every 1000";
/// Many holders die, and many stand still for longer than their ttl.
const HOLDERS: &str = "--faults kill,stop --every 200 --long-holds --workers 5 --locks 40";

/// What is run, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Only this store.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// How long the run with all faults takes.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// How long the run takes that kills and stops holders; 0 for none.
    #[arg(long, default_value_t = 4)]
    holders_minutes: u64,
    /// How many servers there are; each number has its own section.
    #[arg(long, default_value = THREE, value_parser = [THREE, "5"])]
    nodes: String,
    /// What everything that is left to chance comes from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backend {
    Etcd,
    Zookeeper,
}

impl Backend {
    const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Zookeeper => "zookeeper",
        }
    }
}

/// A run that has ended.
struct Ended {
    report: String,
    is_well: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    cargo::run(&["build", "--quiet", "--release", "--package", "lock-chaos"])?;
    let program = cargo::target_directory()?.join("release").join("lock-chaos");
    let stores = options.backend.map_or_else(|| Backend::value_variants().to_vec(), |store| vec![store]);
    let mut all_well = true;
    for store in stores {
        let commit = ask("git", &["rev-parse", "--short", "HEAD"])?;
        let mut text = format!("{}; commit {commit}.\n", machine()?);
        let runs = [(options.minutes, ALL_FAULTS), (options.holders_minutes, HOLDERS)];
        for (minutes, faults) in runs.into_iter().filter(|(minutes, _)| *minutes > 0) {
            let Ended { report, is_well } = one(&program, store, options, minutes, faults)?;
            all_well &= is_well;
            write!(text, "\n{}", one_deeper(&report))?;
        }
        Page::RELIABILITY.write_section(&folder(store, options), &text)?;
    }
    if all_well { Ok(()) } else { Err("something is wrong: docs/reliability.md says what".into()) }
}

/// The name of its section, and of where it leaves what it wrote.
fn folder(store: Backend, options: &Options) -> String {
    if options.nodes == THREE {
        store.name().to_owned()
    } else {
        format!("{}-{}", store.name(), options.nodes)
    }
}

fn one(program: &Path, store: Backend, options: &Options, minutes: u64, faults: &str) -> Result<Ended> {
    let (minutes, seed) = (minutes.to_string(), options.seed.to_string());
    let which = if faults == ALL_FAULTS { "all" } else { "holders" };
    let folder = cargo::target_directory()?.join("chaos").join(folder(store, options)).join(which);
    let mut command = Command::new(program);
    command.args([
        "--backend",
        store.name(),
        "--nodes",
        &options.nodes,
        "--minutes",
        &minutes,
        "--seed",
        &seed,
    ]);
    command.args(faults.split(' ')).arg("--report").arg(&folder);
    eprintln!("+ {faults} on {} for {minutes} min, into {}", store.name(), folder.display());
    let status = command.stdout(std::process::Stdio::null()).status()?;
    let report = fs::read_to_string(folder.join("report.md"))
        .map_err(|error| format!("lock-chaos: {status}, without a report: {error}"))?;
    Ok(Ended { report, is_well: status.success() })
}

/// A report as a part of a page: every heading one level deeper.
fn one_deeper(report: &str) -> String {
    let mut in_code = false;
    let deeper = report.lines().map(|line| {
        in_code ^= line.starts_with("```");
        if line.starts_with('#') && !in_code { format!("##{line}\n") } else { format!("{line}\n") }
    });
    deeper.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_become_deeper_and_code_stays() {
        let report = "# a\n\n```sh\n# b\n```\n## c\n";
        assert_eq!(one_deeper(report), "### a\n\n```sh\n# b\n```\n#### c\n");
    }
}
