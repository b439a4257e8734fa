//! Simulations of etcd: the real code of this crate on a simulated cluster, with faults, from one seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod cluster;
mod flaw;
mod link;
mod mvcc;
mod opening;
mod renewals;
mod renewing;
mod server;
mod store;
mod turns;
mod txn;
mod watches;
mod wire;

use std::{sync::Mutex, time::Duration};

use flaw::Flaw;
use lock_check::sim::{self, Outcome, Tally, first_wrong, for_seeds};
use store::Simulated;

/// How many seeds; `YOURTURN_SEEDS` overrides it.
const SEEDS: u64 = 300;

fn simulate(seed: u64, flaw: Option<Flaw>) -> Outcome {
    sim::run_on(seed, |chronicle| Simulated::start(chronicle, flaw))
}

#[test]
fn no_seed_finds_anything_wrong_with_etcd() {
    let seeds = std::env::var("YOURTURN_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (total, wrong) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    for_seeds(seeds, |seed| {
        let outcome = simulate(seed, None);
        total.lock().unwrap().add(&outcome.tally);
        if let Some(violation) = outcome.violations.first() {
            wrong.lock().unwrap().push(format!(
                "seed {seed}: {violation}\nsee it with: YOURTURN_SEED={seed} cargo test -p lock-etcd --test simulated -- --ignored --nocapture"
            ));
        }
        outcome.violations.is_empty()
    });
    println!("what happened in {seeds} simulations:\n{}", total.lock().unwrap());
    assert_eq!(*wrong.lock().unwrap(), [""; 0]);
}

#[test]
fn one_seed_gives_one_history() {
    for seed in 1..=3 {
        assert_eq!(simulate(seed, None).hash(), simulate(seed, None).hash(), "seed {seed}");
    }
    assert_ne!(simulate(1, None).hash(), simulate(2, None).hash());
}

#[test]
fn every_broken_etcd_is_found_within_30_seeds() {
    let mut missed = Vec::new();
    for flaw in Flaw::ALL {
        match first_wrong(30, |seed| simulate(seed, Some(flaw)).violations.into_iter().next()) {
            Some((seed, violation)) => println!("{:<26}{seed:>3}  {violation}", format!("{flaw:?}")),
            None => missed.push(flaw),
        }
    }
    assert_eq!(missed, []);
}

/// What came before and after each violation of the seed that `YOURTURN_SEED` names, and what the code said of it.
#[test]
#[ignore = "shows what one seed does"]
fn one_seed_in_detail() {
    let seed = std::env::var("YOURTURN_SEED").unwrap().parse().unwrap();
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG);
    let outcome = tracing::subscriber::with_default(log.finish(), || simulate(seed, None));
    println!("{}hash of the history: {:016x}", outcome.tally, outcome.hash());
    for violation in &outcome.violations {
        println!("{violation}");
        let around =
            violation.at.saturating_sub(Duration::from_secs(3))..=violation.at + Duration::from_secs(1);
        outcome
            .history
            .iter()
            .filter(|event| around.contains(&event.at))
            .for_each(|event| println!("  {event:?}"));
    }
    assert_eq!(outcome.violations, []);
}
