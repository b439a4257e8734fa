//! The protocol of the line over ZooKeeper, model-checked: the queue (`Q`) and the gate (`G`).
//!
//! Several clients take turns on one line of a small ZooKeeper. Each talks to a server that lags behind as it
//! likes; connections break with what is on its way, and the next server may be behind what events have told;
//! sessions end, claims are cancelled, an operator evicts, and empty containers are deleted. Each
//! configuration is explored in full. Every look and every step that seems superfluous is left out once
//! (`mutant.rs`): then a property must fail. `cargo test -p lock-zk-model -- --nocapture` prints the counts and
//! the table.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used)]

mod claim;
mod client;
mod ends;
mod gate;
mod memory;
mod mutant;
mod properties;

mod setups;
mod step;
mod store;
mod world;

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use mutant::Mutant;
use stateright::{Checker, HasDiscoveries, Model, Path};
use world::{Action, Setup, State};

const THREADS: usize = 2;

/// What a search came to: the properties that failed, with the shortest way there that it knows.
struct Verdict {
    states: usize,
    depth: usize,
    took: Duration,
    failures: Vec<(&'static str, Path<State, Action>)>,
}

#[allow(clippy::disallowed_methods, reason = "how long it took is only printed")]
fn explore(setup: Setup) -> Verdict {
    let start = Instant::now();
    let checker =
        setup.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut failures: Vec<_> = checker.discoveries().into_iter().collect();
    failures.sort_by_key(|(property, _)| *property);
    Verdict {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: start.elapsed(),
        failures,
    }
}

/// How it went wrong: the actions, and the state at the end.
fn story(path: Path<State, Action>) -> String {
    let mut story = String::new();
    for (state, action) in path.into_vec() {
        match action {
            Some(action) => writeln!(story, "    {action:?}").unwrap(),
            None => writeln!(story, "{state:#?}").unwrap(),
        }
    }
    story
}

/// With joins that read the queue, and without.
fn both(setup: Setup) -> [Setup; 2] {
    [setup.clone(), Setup { blind: true, ..setup }]
}

fn title(setup: &Setup) -> String {
    let Setup { name, blind, .. } = setup;
    if *blind { format!("{name}, blind") } else { (*name).to_owned() }
}

fn all_hold(setups: Vec<Setup>) {
    for setup in setups.into_iter().flat_map(both) {
        let name = title(&setup);
        let Verdict { states, depth, took, failures } = explore(setup);
        println!("{name:<33} {states:>9} states, depth {depth:>3}, {:>6.2} s", took.as_secs_f32());
        if let Some((property, path)) = failures.into_iter().next() {
            panic!("{name}: {property} fails after\n{}", story(path));
        }
    }
}

#[test]
fn c1_c2_c3_c5_c6_c9_c12_the_queue_holds() {
    all_hold(setups::queues());
}

#[test]
fn c1_c2_c3_c5_c6_c9_the_gate_holds() {
    all_hold(setups::gates());
}

#[test]
#[ignore = "takes minutes"]
fn more_faults_at_once() {
    all_hold(setups::deep());
}

#[test]
fn every_mutant_is_refuted() {
    println!("{:<26} {:<25} {:<14} {:>8} {:>7}", "mutant", "configuration", "refuted by", "states", "steps");
    let mut survivors = Vec::new();
    for mutant in Mutant::ALL {
        let name = mutant.setup();
        let mut known =
            [setups::queues(), setups::gates(), setups::deep()].into_iter().flatten().flat_map(both);
        let setup = known.find(|setup| title(setup) == name).expect("a known configuration");
        let verdict = explore(Setup { mutant: Some(*mutant), ..setup });
        let shortest =
            verdict.failures.into_iter().map(|(property, path)| (path.into_actions().len(), property));
        let Some((steps, property)) = shortest.min() else {
            survivors.push(*mutant);
            continue;
        };
        let label = format!("{mutant:?}");
        println!("{label:<26} {name:<25} {property:<14} {:>8} {steps:>7}", verdict.states);
    }
    assert!(survivors.is_empty(), "not refuted: {survivors:?}");
}

#[test]
fn every_run_ends() {
    for name in ["Q all", "Q try", "Q reap", "G xss weaken", "G xsp reconnect"] {
        let mut known = [setups::queues(), setups::gates()].into_iter().flatten();
        let setup = known.find(|setup| setup.name == name).expect("a known configuration");
        assert!(ends::every_run_ends(&setup), "{name} has a cycle");
    }
}
