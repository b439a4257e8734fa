//! etcd as a store of yourturn.
//!
//! A queue lock in etcd that costs the same however many wait: joining is one transaction, and so is handing
//! over, which tells the next in line and nobody else. `docs/etcd-protocol.md` in the repository explains
//! the protocol; `tests/model` checks it; `tests/conformance` holds this crate to the contract.
//!
//! Users enable the feature `etcd` of the facade and connect to `etcd://host:2379/namespace`. Building needs
//! `protoc` (Debian: `protobuf-compiler libprotobuf-dev`), which etcd's client asks for. The feature
//! `tls` (`etcd-tls` of the facade) adds TLS, and needs a C compiler.
#![forbid(unsafe_code)]

mod backend;
mod cell;
mod config;
mod connection;
mod error;
mod keys;
mod news;
mod queue;
mod record;
mod renewal;
mod session;
mod tls;
mod view;
mod watch;

pub use backend::Etcd;
pub use config::Config;
pub use tls::Tls;
