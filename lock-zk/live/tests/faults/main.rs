//! What happens to locks when the network, the servers or an operator do what they do.
//!
//! On the real clock and real servers. Only what must happen is waited for, with generous deadlines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "tests on the real clock")]

mod cells;
mod classic;
mod client;
mod containers;
mod idle;
mod link;
mod network;
mod operators;
mod refusals;
mod replies;
mod rights;
mod support;
