//! Simulations: many seeds on memory, and as many as it takes on each broken store.
#![allow(clippy::unwrap_used)]

use std::{process::Command, sync::Mutex};

use lock_check::{
    broken::Flaw,
    history::{Invariant, Violation},
    sim::{self, Subject, Tally, first_wrong, for_seeds},
};

/// How many seeds; `YOURTURN_SEEDS` overrides it.
const SEEDS: u64 = 10_000;

#[test]
fn no_seed_finds_anything_wrong_with_memory() {
    let seeds = std::env::var("YOURTURN_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (total, wrong) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    for_seeds(seeds, |seed| {
        let outcome = sim::run(seed, Subject::Memory);
        total.lock().unwrap().add(&outcome.tally);
        if let Some(violation) = outcome.violations.first() {
            wrong.lock().unwrap().push(format!(
                "seed {seed}: {violation}\nreproduce it with: cargo run -p lock-check --bin simulate -- {seed}"
            ));
        }
        outcome.violations.is_empty()
    });
    println!("what happened in {seeds} simulations:\n{}", total.lock().unwrap());
    assert_eq!(*wrong.lock().unwrap(), [""; 0]);
}

/// The wrapper of the broken stores breaks nothing by itself, so what is found in them is their flaw.
#[test]
fn the_wrapper_alone_is_not_found_broken() {
    for_seeds(300, |seed| {
        let violations = sim::run(seed, Subject::Wrapped).violations;
        assert_eq!(violations, [], "seed {seed}");
        true
    });
}

/// What gives each flaw away.
fn signs_of(flaw: Flaw) -> &'static [Invariant] {
    use Invariant::{
        BeliefExclusion, Cause, Cost, FencedWrites, Fifo, Orphans, Posthumous, Progress, TokensOrdered,
        TokensUnique, Tries,
    };
    match flaw {
        Flaw::DoubleGrant | Flaw::GrantingTry | Flaw::VanishGrants => &[BeliefExclusion],
        Flaw::Barging | Flaw::BargingTry => &[Fifo, BeliefExclusion],
        Flaw::TokenRepeated => &[TokensUnique],
        Flaw::TokenReset => &[TokensUnique, TokensOrdered],
        Flaw::TokensSwapped => &[TokensOrdered],
        Flaw::WakeAll | Flaw::WakeAllSessions => &[Cost],
        Flaw::LostWake => &[Progress],
        Flaw::GhostOnCancel | Flaw::LateJoin | Flaw::LostReplyTwice | Flaw::ResidueAfterClose => {
            &[Orphans, Progress]
        }
        Flaw::GrantAfterExpiry => &[Posthumous],
        // The store takes a turn away that its holder still believes in, and tells.
        Flaw::ReleaseNewer | Flaw::EarlyExpiry | Flaw::LateLost => &[Cause],
        Flaw::NameLeak | Flaw::NoneFromFreeTry | Flaw::NoneFromRepeatedTry => &[Tries],
        Flaw::SlowExpiry => &[Orphans],
        Flaw::StaleCellWrite => &[FencedWrites],
        // Only the suite can show these: no recipe writes while it waits, or while another may, or forgets what it
        // wrote; no two lines have the same name; and the simulated network, not the store, loses replies.
        Flaw::WaiterWrites
        | Flaw::LookThenWrite
        | Flaw::CellOfAllKinds
        | Flaw::ForgetsBelow
        | Flaw::WrongEffect => &[],
    }
}

#[test]
fn every_broken_store_is_found_within_1000_seeds() {
    let mut missed = Vec::new();
    println!("{:<20}{:>5}  found by", "flaw", "seed");
    for flaw in Flaw::ALL.into_iter().filter(|flaw| !signs_of(*flaw).is_empty()) {
        let of_interest = |violation: &Violation| signs_of(flaw).contains(&violation.invariant);
        let found = first_wrong(1000, |seed| {
            sim::run(seed, Subject::Broken(flaw)).violations.into_iter().find(of_interest)
        });
        match found {
            Some((seed, violation)) => println!("{:<20}{seed:>5}  {violation}", format!("{flaw:?}")),
            None => missed.push(flaw),
        }
    }
    assert_eq!(missed, []);
}

/// Finds every leak of real time or chance into a simulation.
#[test]
fn one_seed_in_two_processes_gives_one_history() {
    let simulate = |seed: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_simulate")).arg(seed).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for seed in ["1", "2", "3"] {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
    assert_ne!(simulate("1"), simulate("2"));
}
