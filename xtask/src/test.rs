//! Everything that says pass or fail, the longer example aside.
//!
//! What runs on real servers waits for half of its time, and what searches schedules and seeds computes all the time:
//! the searches run beside the others, and take what those leave of the processors.

use std::thread;

use crate::{
    bench::servers::{self, ETCD, ZOOKEEPER},
    cargo::{self, Result},
    tools,
};

/// The tests that search, on all processors and for minutes.
const SEARCHES: [&str; 3] = ["model", "sim", "simulated"];

/// Those that take a few seconds in memory.
const EXAMPLES: [&str; 7] = [
    "bank_transfer",
    "config_readers",
    "fenced_writes",
    "leader_election",
    "resource_pool",
    "rolling_restart",
    "work_partition",
];

pub(crate) fn run() -> Result<()> {
    tools::ensure()?;
    // The examples too, which some tests start.
    cargo::run(&tests(&["--no-run"]))?;
    search_beside_the_others(&cargo::test_targets()?)?;
    cargo::run(&tests(&["--doc"]))?;
    for example in EXAMPLES {
        cargo::run(&["run", "--quiet", "--example", example])?;
    }
    // The clusters that tests start need Unix.
    if cfg!(unix) {
        servers::quick(&ETCD)?;
        servers::quick(&ZOOKEEPER)?;
    }
    Ok(())
}

fn search_beside_the_others(targets: &[String]) -> Result<()> {
    let (searches, others): (Vec<&str>, Vec<&str>) =
        targets.iter().map(String::as_str).partition(|target| SEARCHES.contains(target));
    if searches.len() != SEARCHES.len() {
        return Err(format!("the tests that search are {SEARCHES:?}, and there are {searches:?}").into());
    }
    let (others, searches) = thread::scope(|scope| {
        let searches = scope.spawn(|| cargo::run_aside(&tests(&named(&searches))));
        let others = cargo::run(&tests(&[&["--lib", "--bins"], &*named(&others)].concat()));
        (others, searches.join())
    });
    // What a test says that fails is the last to be printed.
    match (others, searches.map_err(|_panic| "the searches panicked")?) {
        (Ok(()), Ok(printed)) => {
            println!("{printed}");
            Ok(())
        }
        (Ok(()), Err(printed)) => Err(printed.into()),
        (Err(error), Ok(_)) => Err(error),
        (Err(error), Err(printed)) => Err(format!("{error}\n{printed}").into()),
    }
}

/// What tells cargo to run these tests of the workspace.
fn tests<'a>(which: &[&'a str]) -> Vec<&'a str> {
    [&["test", "--workspace", "--all-features"], which, &["--", "--show-output"]].concat()
}

fn named<'a>(targets: &[&'a str]) -> Vec<&'a str> {
    targets.iter().flat_map(|target| ["--test", *target]).collect()
}
