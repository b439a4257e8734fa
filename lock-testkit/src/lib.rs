//! What holds a store to the contract (`docs/contract.md`), and what shows that it can say no.
//!
//! | module | |
//! |---|---|
//! | [`suite`] | the conformance suite: a case for each clause and mode, for any store with a small [`harness`] |
//! | [`broken`] | stores that each break one clause: the suite and the simulator must find them out |
//! | [`history`] | a checker of what clients saw, in one total order of time |
//! | [`sim`] | random schedules with faults from one seed, whose histories go through the checker |
//! | [`bug`] | seeds a bug into our own code, which one of these must find |
//! | `live` | what tests on real servers have in common: patience, records, secrets that must not show (Unix) |
//! | `crashes` | processes that hold, and are killed or stopped (Unix) |
//! | `proxy` | a TCP link between a client and a server, which breaks when a test wants it to (Unix) |
//! | `server` | real servers for tests, which are killed, paused and cut off (Unix) |
#![forbid(unsafe_code)]

pub mod broken;
pub mod bug;
#[cfg(unix)]
pub mod crashes;
pub mod harness;
pub mod history;
#[cfg(unix)]
pub mod live;
pub mod machine;
pub mod memory;
#[cfg(unix)]
pub mod port;
#[cfg(unix)]
pub mod proxy;
#[cfg(unix)]
pub mod server;
pub mod sim;
pub mod suite;
