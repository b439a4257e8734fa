//! Guards that must end before the leader ends their session (C7): with a follower that is cut off and goes
//! on answering, and in processes that stand still and go on.
//!
//! Simpler rules for the deadline are tried on the same events, by sessions of a plain client; each must be
//! seen to be wrong. Processes stand still as a whole, so this program is its own holder: started with
//! `holder`, it takes locks and says how it loses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod support;
mod trap;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(trap::trap());
}
