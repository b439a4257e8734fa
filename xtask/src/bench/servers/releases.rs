//! What one release asks of a store before many who wait: `lock-bench --releases`, on a member of its own.

use std::{fmt::Write as _, path::Path};

use serde::Deserialize;

use super::{
    ROOT,
    plan::Environment,
    programs::{Cluster, Programs},
    store::Store,
};
use crate::{bench::PAGE, cargo::Result, page::machine};

/// How many wait.
const WAITING: [usize; 3] = [16, 256, 1_000];
/// How many sessions they share.
const SESSIONS: usize = 8;

/// As `lock-bench` tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Release {
    before: String,
    waiting: usize,
    granted: usize,
    requests: f64,
    writes: f64,
    requests_per_grant: f64,
}

/// Replaces the figures in docs/performance.md.
pub(crate) fn run(stores: &[&'static Store]) -> Result<()> {
    let mut text = format!("{}.\n", machine()?);
    text += "\n| store | who waits | how many | granted | requests | writes | requests a grant |\n";
    text += "|---|---|---|---|---|---|---|\n";
    for store in stores {
        let programs = Programs::build(store, false, Path::new("/no-peers"))?;
        let environment = Environment::ALL.into_iter().find(|it| it.folder(&programs.disk).is_some());
        let environment = environment.ok_or("there is no place for the data")?;
        let folder = environment.folder(&programs.disk).unwrap_or(Path::new(ROOT));
        for waiting in WAITING {
            let cluster: Cluster = programs.cluster(environment, folder)?;
            for Release { before, waiting, granted, requests, writes, requests_per_grant } in
                programs.releases(&cluster, waiting, SESSIONS)?
            {
                writeln!(
                    text,
                    "| {} | {before} | {waiting} | {granted} | {requests} | {writes} | {requests_per_grant} |",
                    store.name
                )?;
            }
        }
    }
    print!("{text}");
    PAGE.write_section("releases", &text)
}
