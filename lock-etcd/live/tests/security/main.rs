//! TLS, client certificates, users and their roles, on real servers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "tests on the real clock")]

mod certificates;
mod secrets;
mod suite;
#[path = "../faults/support.rs"]
#[allow(dead_code, reason = "shared with the tests of faults")]
mod support;
mod users;
mod world;
