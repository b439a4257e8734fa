//! The conformance suite on real servers: one alone, and ensembles of three behind proxies.
//!
//! On the real clock: ZooKeeper's sessions end by it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod harness;

use harness::ZkHarness;
use lock_testkit::suite;
use lock_zk::Layout;

/// Every case of a store in 4 modes, and those of the recipes.
const CASES: usize = suite::OUTCOMES;

/// In the layouts of others: every case in the exclusive mode but two, of which one weakens modes and the
/// other needs names of its own; and the refusal of each other mode; and the recipes that need no other mode.
const CLASSIC_CASES: usize = suite::OF_STORES - 2 + 3 + suite::EXCLUSIVE_RECIPES;

/// In Curator's also those of read-write locks, but for the writer who becomes a reader.
const CURATOR_CASES: usize = CLASSIC_CASES + 3;

/// One suite runs at a time: each has as many servers as the machine can bear.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn conforms(layout: Layout, servers: usize, at_once: usize, cases: usize) {
    let _turn = TURN.lock().await;
    let report = suite::run(&ZkHarness::start(layout, servers, at_once).await).await;
    println!("{report}");
    assert_eq!(report.failures(), []);
    assert_eq!((report.passed(), report.unsupported().len()), (cases, CASES - cases));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_keeps_every_clause_in_every_mode() {
    conforms(Layout::Native, 1, 8, CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_keep_every_clause_in_every_mode() {
    conforms(Layout::Native, 3, 5, CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_keeps_the_clauses_in_the_layout_of_curator() {
    conforms(Layout::Curator, 1, 8, CURATOR_CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_keep_the_clauses_in_the_layout_of_kazoo() {
    conforms(Layout::Kazoo, 3, 5, CLASSIC_CASES).await;
}
