//! The conformance suite on real servers: one alone, and ensembles of three behind proxies.
//!
//! On the real clock: ZooKeeper's sessions end by it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod harness;

use harness::ZkHarness;
use lock_testkit::suite;

/// 23 cases in 4 modes.
const CASES: usize = 23 * 4;

/// One suite runs at a time: each has as many servers as the machine can bear.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn conforms(servers: usize, at_once: usize) {
    let _turn = TURN.lock().await;
    let report = suite::run(&ZkHarness::start(servers, at_once).await).await;
    println!("{report}");
    assert!(report.failures().is_empty());
    assert_eq!((report.passed(), report.unsupported().len()), (CASES, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_keeps_every_clause_in_every_mode() {
    conforms(1, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_keep_every_clause_in_every_mode() {
    conforms(3, 3).await;
}
