//! The conformance suite on real servers: one member, and three behind proxies.
//!
//! On the real clock: etcd's leases end by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "tests on the real clock")]

mod channel;
mod harness;
mod meanwhile;
mod requests;

use harness::EtcdHarness;
use lock_etcd::Layout;
use lock_testkit::suite;

/// Every case of a store in 4 modes, and those of the recipes.
const CASES: usize = suite::OUTCOMES;

/// In the layout of Go: every case in the exclusive mode but two, of which one weakens modes and the other
/// needs names of its own; and the refusal of each other mode; and the recipes that need no other mode.
const GO_CASES: usize = suite::OF_STORES - 2 + 3 + suite::EXCLUSIVE_RECIPES;

/// One suite runs at a time: each has as many servers as the machine can bear.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn conforms(harness: EtcdHarness, cases: usize) {
    let _turn = TURN.lock().await;
    let report = suite::run(&harness).await;
    println!("{report}");
    assert_eq!(report.failures(), []);
    assert_eq!((report.passed(), report.unsupported().len()), (cases, CASES - cases));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_keeps_every_clause_in_every_mode() {
    conforms(EtcdHarness { layout: Layout::Native, members: 1, at_once: 8 }, CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_keep_every_clause_in_every_mode() {
    conforms(EtcdHarness { layout: Layout::Native, members: 3, at_once: 4 }, CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_keeps_the_clauses_of_the_go_layout() {
    conforms(EtcdHarness { layout: Layout::Go, members: 1, at_once: 8 }, GO_CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_keep_the_clauses_of_the_go_layout() {
    conforms(EtcdHarness { layout: Layout::Go, members: 3, at_once: 4 }, GO_CASES).await;
}
