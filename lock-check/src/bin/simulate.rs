//! Runs one seed of the simulator and prints what became of it: `cargo run -p lock-check --bin simulate --
//! SEED [FLAW]`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lock_check::{
    broken::Flaw,
    sim::{self, Subject},
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seed = arguments.next().and_then(|seed| seed.parse().ok());
    let flaw = arguments.next().map(|name| Flaw::ALL.into_iter().find(|flaw| format!("{flaw:?}") == name));
    let (Some(seed), None | Some(Some(_))) = (seed, flaw) else {
        eprintln!("usage: simulate SEED [FLAW]\nflaws: {:?}", Flaw::ALL);
        return ExitCode::from(2);
    };
    let outcome = sim::run(seed, flaw.flatten().map_or(Subject::Memory, Subject::Broken));
    print!("{}", outcome.tally);
    println!("hash of the history: {:016x}", outcome.hash());
    for violation in &outcome.violations {
        println!("{violation}");
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
