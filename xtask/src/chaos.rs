//! `lock-chaos` on each store: a long run with all faults, and one that kills and stops holders. Their reports make
//! up `docs/reliability.md`.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use clap::{Args, ValueEnum};

use crate::{
    cargo::{self, Result},
    page::{Page, machine, run as ask},
};

const PAGE: Page = Page("reliability.md");

/// What is run, and for how long.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Only this store.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// How long the run with all faults takes.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// How long the run takes that kills and stops holders.
    #[arg(long, default_value_t = 4)]
    holders_minutes: u64,
    /// How many servers there are.
    #[arg(long, default_value_t = 3)]
    nodes: u8,
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
        for (minutes, faults) in [
            (options.minutes, ["--faults", "all", "--every", "1000"].as_slice()),
            (
                options.holders_minutes,
                &[
                    "--faults",
                    "kill,stop",
                    "--every",
                    "200",
                    "--long-holds",
                    "--workers",
                    "5",
                    "--locks",
                    "40",
                ],
            ),
        ] {
            let Ended { report, is_well } = one(&program, store, options, minutes, faults)?;
            all_well &= is_well;
            write!(text, "\n{}", one_deeper(&report))?;
        }
        PAGE.write_section(store.name(), &text)?;
    }
    if all_well { Ok(()) } else { Err("something is wrong: docs/reliability.md says what".into()) }
}

fn one(program: &Path, store: Backend, options: &Options, minutes: u64, faults: &[&str]) -> Result<Ended> {
    let (nodes, minutes, seed) = (options.nodes.to_string(), minutes.to_string(), options.seed.to_string());
    let folder = cargo::target_directory()?.join("chaos").join(format!("{}-{}", store.name(), faults.len()));
    let mut command = Command::new(program);
    command.args(["--backend", store.name(), "--nodes", &nodes, "--minutes", &minutes, "--seed", &seed]);
    command.args(faults).arg("--report").arg(&folder);
    eprintln!("+ {} on {} for {minutes} min, into {}", faults.join(" "), store.name(), folder.display());
    let status = command.stdout(std::process::Stdio::null()).status()?;
    let report = fs::read_to_string(folder.join("report.md"))?;
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
