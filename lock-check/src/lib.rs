//! What finds out what is wrong with a store, and what shows that it can.
//!
//! | module | |
//! |---|---|
//! | [`history`] | a checker of what clients saw, in one total order of time |
//! | [`sim`] | random schedules with faults from one seed, whose histories go through the checker |
//! | [`broken`] | stores that each break one clause: the suite must find out all of them, the simulator most |
//! | [`bug`] | seeds a bug into our own code, which one of these must find |
//!
//! Simulations compute for minutes, so this is optimized in tests. The conformance suite is in `lock-testkit`, with what it
//! needs of servers.
#![forbid(unsafe_code)]

pub mod broken;
pub mod bug;
mod clause;
pub mod history;
pub mod sim;

pub use clause::Clause;
