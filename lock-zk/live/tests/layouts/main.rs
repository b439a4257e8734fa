//! Turns taken with Curator's `InterProcessMutex` and `InterProcessReadWriteLock`, with kazoo's `Lock`, and
//! elections that their clients read.
//!
//! Processes are killed, so this program is its own child: started with `holder`, it takes a lock and keeps
//! it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod kills;
mod locks;
mod peers;
mod queue;
mod read_write;

use lock_testkit::server::zookeeper::ZooKeeper;
use peers::{Fleet, Meeting};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Anything else is what `cargo test` gives to every test program.
    if let [role, fleet, servers, lock] = &arguments[..]
        && role == "holder"
    {
        return runtime.block_on(peers::hold(Fleet::named(fleet), servers, lock));
    }
    runtime.block_on(async {
        let server = ZooKeeper::start().await.unwrap();
        for fleet in [Fleet::Curator, Fleet::Kazoo] {
            let meeting = Meeting::of(fleet, &server).await;
            queue::c2_ten_of_theirs_and_ten_of_ours_take_turns_in_the_order_in_which_they_came(&meeting)
                .await;
            queue::c4_a_turn_takes_one_listing_however_many_have_gone(&meeting).await;
            locks::c6_a_try_fails_while_they_hold_and_succeeds_afterwards(&meeting).await;
            locks::c12_a_holder_of_theirs_can_be_seen_and_evicted_once(&meeting).await;
            locks::c7_a_holder_whose_node_was_deleted_is_told(&meeting).await;
            locks::nodes_of_others_are_ignored_and_counted(&meeting).await;
            locks::they_see_our_leader(&meeting).await;
            kills::c8_whoever_is_killed_delays_the_others_no_longer_than_its_session(&meeting).await;
            match fleet {
                Fleet::Curator => {
                    read_write::c1_a_writer_waits_for_a_writer_of_theirs_that_has_become_a_reader(&meeting)
                        .await;
                    read_write::c18_readers_and_writers_of_theirs_and_ours_take_turns_in_order(&meeting)
                        .await;
                    read_write::c18_readers_of_theirs_and_ours_read_together(&meeting).await;
                    read_write::c8_a_reader_or_writer_that_is_killed_goes_with_its_session(&meeting).await;
                }
                Fleet::Kazoo => read_write::c15_kazoo_has_no_read_write_locks_to_share(&meeting).await,
            }
            println!("{fleet:?}: all is well");
        }
    });
}
