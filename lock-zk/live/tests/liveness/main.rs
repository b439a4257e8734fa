//! Guards that must end before the leader ends their session (C7): with a follower that is cut off and goes
//! on answering, and in processes that stand still and go on.
//!
//! Simpler rules for the deadline are tried on the same events, by sessions of a plain client; each must be
//! seen to be wrong. Processes stand still as a whole, so this program is its own holder: started with
//! `holder`, it takes locks and says how it loses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod holder;
mod plain;
mod stalls;
mod support;
mod trap;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Anything else is what `cargo test` gives to every test program.
    if let [role, server, name] = &arguments[..]
        && role == "holder"
    {
        // With one thread, which a task that never yields keeps from everything else.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(holder::hold(server, name));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        trap::trap().await;
        stalls::stalls().await;
    });
}
