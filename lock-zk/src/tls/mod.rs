//! TLS, as ZooKeeper's client takes it.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod secure;
#[cfg(feature = "tls")]
mod system;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::Secure;
#[cfg(feature = "tls")]
pub(crate) use secure::Secure;
