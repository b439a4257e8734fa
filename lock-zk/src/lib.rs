//! ZooKeeper as a store of yourturn.
//!
//! A queue of ephemeral sequential nodes that costs the same however many wait: each claim watches the one in
//! front of it, which it knows without a listing, and a release wakes the next in line and nobody else.
//! `docs/zookeeper-protocol.md` in the repository explains the protocol; `model/` checks it;
//! `live/tests/conformance` holds this crate to the contract.
//!
//! Users enable the feature `zookeeper` of the facade and connect to `zk://host:2181/namespace`. The feature
//! `tls` (`zookeeper-tls` of the facade) adds TLS, and needs a C compiler.
#![forbid(unsafe_code)]

mod backend;
mod beats;
mod cell;
mod claims;
mod classic;
mod config;
mod connection;
mod error;
mod guarded;
mod mirror;
mod paths;
mod queue;
mod renewal;
mod session;
#[cfg(any(test, fuzzing))]
pub mod strangers;
mod tls;
mod trouble;
mod way;

pub use backend::Zk;
pub use config::{Config, Layout};
pub use guarded::transact;
pub use lock_tls::Tls;
/// ZooKeeper's client, in the version that this crate takes and gives its types in.
pub use zookeeper_client as client;
