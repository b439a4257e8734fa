//! The suite passes memory, and fails every broken store on the clause that it breaks, and on no other.
#![allow(clippy::unwrap_used)]

use lock_check::{Clause, broken::Flaw};
use lock_core::Mutant;
use lock_testkit::{
    memory::MemoryHarness,
    suite::{self, Report},
};

#[tokio::test(start_paused = true)]
async fn memory_keeps_every_clause_in_every_mode() {
    let report = suite::run(&MemoryHarness::default()).await;
    println!("{report}");
    assert_eq!(report.failures(), []);
    // A store in memory has no restart to survive.
    assert_eq!((report.passed(), report.unsupported().len()), (suite::OUTCOMES - 4, 4));
    assert!(report.unsupported().iter().all(|(clause, ..)| *clause == Clause::C3Fencing));
}

#[tokio::test(start_paused = true)]
async fn c15_what_a_store_does_not_declare_is_refused_and_never_counts_as_a_pass() {
    let report = suite::run(&MemoryHarness { exclusive_only: true, ..Default::default() }).await;
    println!("{report}");
    assert_eq!(report.failures(), []);
    // In one mode everything passes but the restart and what weakens it; in the three others C15 does, and
    // nothing else. Of the recipes, what needs no other mode.
    let passed = suite::OF_STORES - 2 + 3 + suite::EXCLUSIVE_RECIPES;
    assert_eq!((report.passed(), report.unsupported().len()), (passed, suite::OUTCOMES - passed));
    assert!(report.unsupported().iter().all(|(clause, ..)| *clause != Clause::C15Capability));
}

#[tokio::test(start_paused = true)]
async fn every_broken_store_fails_on_its_clause_and_on_no_other() {
    let mut wrong = Vec::new();
    println!("{:<20}{:<18}fails in the suite", "flaw", "breaks");
    for flaw in Flaw::ALL {
        let report = suite::run(&MemoryHarness { flaw: Some(flaw), ..Default::default() }).await;
        // What a recipe adds is held on stores that keep their own clauses.
        let mut clauses = failed(&report);
        clauses.retain(|clause| *clause <= Clause::C17Cells);
        let found: Vec<String> = clauses.iter().map(ToString::to_string).collect();
        println!("{:<20}{:<18}{}", format!("{flaw:?}"), flaw.clause().to_string(), found.join(", "));
        if clauses != [flaw.clause()] {
            wrong.push(format!("{flaw:?} should fail on {} alone:\n{report}", flaw.clause()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(start_paused = true)]
async fn every_broken_recipe_fails_on_its_clause_and_on_no_other() {
    let mut wrong = Vec::new();
    println!("{:<20}{:<18}fails in the suite", "mutant", "breaks");
    for mutant in Mutant::ALL {
        let breaks = suite::clause_of(mutant);
        let report = suite::run_broken(&MemoryHarness::default(), mutant).await;
        let clauses = failed(&report);
        let found: Vec<String> = clauses.iter().map(ToString::to_string).collect();
        println!("{:<20}{:<18}{}", format!("{mutant:?}"), breaks.to_string(), found.join(", "));
        if clauses != [breaks] {
            wrong.push(format!("{mutant:?} should fail on {breaks} alone:\n{report}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The clauses that are broken.
fn failed(report: &Report) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = report.failures().iter().map(|(clause, ..)| *clause).collect();
    clauses.dedup();
    clauses
}
