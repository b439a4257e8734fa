#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "blocking")]
pub mod blocking;
mod connect;

pub use connect::Coordinator;
pub use lock_core::*;
#[cfg(feature = "etcd")]
pub use lock_etcd as etcd;
#[cfg(feature = "zookeeper")]
pub use lock_zk as zookeeper;
