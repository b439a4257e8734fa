//! Turns taken with `etcdctl lock` and `etcdctl elect`, which are Go's `concurrency.Mutex` and `Election`.
//!
//! Processes are killed, so this program is its own child: started with `holder`, it takes a lock and keeps
//! it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod elections;
mod kills;
mod locks;
mod peers;
mod queue;
mod speed;

use peers::Cluster;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Anything else is what `cargo test` gives to every test program.
    if let [role, endpoint, lock] = &arguments[..]
        && role == "holder"
    {
        return runtime.block_on(peers::hold(endpoint, lock));
    }
    runtime.block_on(async {
        let cluster = Cluster::start().await;
        queue::c2_ten_of_theirs_and_ten_of_ours_take_turns_in_the_order_in_which_they_came(&cluster).await;
        locks::c6_a_try_fails_while_they_hold_and_succeeds_afterwards(&cluster).await;
        locks::c12_a_holder_of_theirs_can_be_seen_and_evicted_once(&cluster).await;
        locks::c7_a_holder_whose_key_was_deleted_is_told(&cluster).await;
        locks::c10_a_waiter_whose_lease_was_revoked_queues_anew(&cluster).await;
        locks::c11_who_would_wait_for_a_name_inside_is_told(&cluster).await;
        locks::c1_a_plain_key_under_a_name_keeps_everybody_out(&cluster).await;
        locks::c1_a_key_that_is_no_text_is_waited_for_and_evicted(&cluster).await;
        locks::c16_places_are_used_again(&cluster).await;
        locks::c5_watches_do_not_pile_up(&cluster).await;
        elections::they_see_our_leader(&cluster).await;
        elections::we_see_their_leader_and_follow_it(&cluster).await;
        kills::c8_whoever_is_killed_delays_the_others_no_longer_than_its_ttl(&cluster).await;
        speed::turns(&cluster).await;
        cluster.is_empty().await;
    });
}
