//! The protocol of the line over etcd, model-checked: the queue (model A) and the gate (model B).
//!
//! Several clients take turns on one line of a small etcd, while requests and answers are lost or late,
//! events are late, sessions end and their leases come back, watches break and open again one after another, and an
//! operator evicts. Each configuration is explored in full. Every compare and every step that looks superfluous is left out once
//! (`mutant.rs`): then a property must fail. `cargo test -p lock-etcd-model -- --nocapture` prints the counts and
//! the table.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used)]

mod claim;
mod client;
mod gate;
mod mutant;
mod properties;
mod queue;
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

fn all_hold(setups: Vec<Setup>) {
    for setup in setups {
        let name = setup.name;
        let Verdict { states, depth, took, failures } = explore(setup);
        println!("{name:<26} {states:>9} states, depth {depth:>3}, {:>6.2} s", took.as_secs_f32());
        if let Some((property, path)) = failures.into_iter().next() {
            panic!("{name}: {property} fails after\n{}", story(path));
        }
    }
}

#[test]
fn c1_c2_c3_c5_c6_c9_the_queue_holds() {
    all_hold(setups::queues());
}

#[test]
fn c1_c2_c3_c5_c9_the_gate_holds() {
    all_hold(setups::gates());
}

#[test]
#[ignore = "takes minutes"]
fn more_faults_at_once() {
    all_hold(setups::deep());
}

#[test]
fn every_mutant_is_refuted() {
    println!("{:<26} {:<18} {:<14} {:>8} {:>7}", "mutant", "configuration", "refuted by", "states", "steps");
    for mutant in Mutant::ALL {
        let name = mutant.setup();
        let mut known = [setups::queues(), setups::gates(), setups::deep()].into_iter().flatten();
        let setup = known.find(|setup| setup.name == name).expect("a known configuration");
        let verdict = explore(Setup { mutant: Some(*mutant), ..setup });
        let shortest =
            verdict.failures.into_iter().map(|(property, path)| (path.into_actions().len(), property));
        let Some((steps, property)) = shortest.min() else { panic!("{mutant:?} is not refuted by {name}") };
        let label = format!("{mutant:?}");
        println!("{label:<26} {name:<18} {property:<14} {:>8} {steps:>7}", verdict.states);
    }
}
