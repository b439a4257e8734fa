//! What holds a store to the contract (`docs/contract.md`), and what shows that it can say no.
//!
//! | module | |
//! |---|---|
//! | [`suite`] | the conformance suite: a case for each clause and mode, for any store with a small [`harness`] |
//! | [`broken`] | stores that each break one clause: the suite and the simulator must find them out |
//! | [`history`] | a checker of what clients saw, in one total order of time |
//! | [`sim`] | random schedules with faults from one seed, whose histories go through the checker |
#![forbid(unsafe_code)]

pub mod broken;
pub mod harness;
pub mod history;
pub mod machine;
pub mod memory;
pub mod sim;
pub mod suite;
