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
    println!("{}", all_passed(others, searches.map_err(|_panic| "the searches panicked")?)?);
    Ok(())
}

/// What the searches printed; or all that is known of what failed, to be the last that is printed.
fn all_passed(others: Result<()>, searches: std::result::Result<String, String>) -> Result<String> {
    match (others, searches) {
        (Ok(()), Ok(printed)) => Ok(printed),
        (Ok(()), Err(failed)) => Err(failed.into()),
        (Err(failed), Ok(_)) => Err(failed),
        (Err(failed), Err(too)) => Err(format!("{failed}\n{too}").into()),
    }
}

/// What tells cargo to run these tests of the workspace.
fn tests<'a>(which: &[&'a str]) -> Vec<&'a str> {
    [&["test", "--workspace", "--all-features"], which, &["--", "--show-output"]].concat()
}

fn named<'a>(targets: &[&'a str]) -> Vec<&'a str> {
    targets.iter().flat_map(|target| ["--test", *target]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_fails_is_told() {
        let (well, badly) = (|| Ok("found nothing".to_owned()), || Err("seed 7".to_owned()));
        assert_eq!(all_passed(Ok(()), well()).unwrap(), "found nothing");
        assert_eq!(all_passed(Ok(()), badly()).unwrap_err().to_string(), "seed 7");
        assert_eq!(all_passed(Err("etcd".into()), well()).unwrap_err().to_string(), "etcd");
        assert_eq!(all_passed(Err("etcd".into()), badly()).unwrap_err().to_string(), "etcd\nseed 7");
    }

    #[test]
    fn every_search_is_a_test_of_the_workspace() {
        let targets = cargo::test_targets().unwrap();
        assert!(SEARCHES.iter().all(|search| targets.iter().any(|target| target == search)), "{targets:?}");
        assert!(targets.iter().any(|target| target == "conformance"), "{targets:?}");
        let renamed = ["model".to_owned(), "sim".to_owned()];
        let error = search_beside_the_others(&renamed).unwrap_err().to_string();
        assert!(error.contains(r#"there are ["model", "sim"]"#), "{error}");
    }
}
