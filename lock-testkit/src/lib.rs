//! What holds a store to the contract (`docs/contract.md`).
//!
//! | module | |
//! |---|---|
//! | [`suite`] | the conformance suite: a case for each clause and mode, for any store with a small [`harness`] |
//! | [`memory`] | that harness for the store in memory, broken on purpose if wanted |
//! | [`machine`] | a real machine that can be suspended on paper |
//! | `live` | what tests on real servers have in common: patience, records, secrets that must not show (Unix) |
//! | `crashes` | processes that hold, and are killed or stopped (Unix) |
//! | `proxy` | a TCP link between a client and a server, which breaks when a test wants it to (Unix) |
//! | `server` | real servers for tests, which are killed, paused and cut off (Unix) |
#![forbid(unsafe_code)]

#[cfg(unix)]
pub mod crashes;
pub mod harness;
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
pub mod suite;
