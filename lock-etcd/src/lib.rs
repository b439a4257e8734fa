//! etcd as a store of yourturn.
//!
//! A queue lock in etcd that costs the same however many wait: joining is one transaction, and so is handing
//! over, which tells the next in line and nobody else. `docs/etcd-protocol.md` in the repository explains
//! the protocol; `model/` checks it; `live/tests/conformance` holds this crate to the contract.
//!
//! `src/go` is another layout, to take turns with Go's `concurrency` package and `etcdctl`:
//! `docs/etcd-go-layout.md`.
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
mod go;
mod guarded;
mod heard;
mod keys;
mod links;
mod mirror;
mod news;
mod pointers;
mod queue;
mod renewal;
mod request;
mod session;
mod slots;
#[cfg(any(test, fuzzing))]
pub mod strangers;
mod task;
mod tls;
mod transport;
mod view;
mod watch;
mod way;

pub use backend::Etcd;
pub use config::{Config, Layout};
/// etcd's client, in the version that this crate takes and gives its types in.
pub use etcd_client as client;
pub use guarded::transact;
pub use lock_tls::Tls;
