//! The conformance suite on real servers: one member, and three behind proxies.
//!
//! On the real clock: etcd's leases end by it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "tests on the real clock")]

mod channel;
mod harness;
mod requests;

use harness::EtcdHarness;
use lock_testkit::suite;

async fn conforms(harness: EtcdHarness) {
    let report = suite::run(&harness).await;
    println!("{report}");
    assert!(report.failures().is_empty());
    // 23 cases in 4 modes, all of them on this store.
    assert_eq!((report.passed(), report.unsupported().len()), (23 * 4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_keeps_every_clause_in_every_mode() {
    conforms(EtcdHarness { members: 1, at_once: 8 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_keep_every_clause_in_every_mode() {
    conforms(EtcdHarness { members: 3, at_once: 4 }).await;
}
