//! TLS, client certificates, users, and whose nodes are, on real servers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "tests on the real clock")]

mod certificates;
mod owners;
mod secrets;
mod sessions;
mod suite;
#[path = "../faults/support.rs"]
#[allow(dead_code, reason = "shared with the tests of faults")]
mod support;
mod world;
