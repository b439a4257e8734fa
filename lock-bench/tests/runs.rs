//! The program itself, in each mode.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::process::Stdio;

use lock_testkit::server::{etcd::Etcd, zookeeper::ZooKeeper};
use serde_json::Value;
use tokio::process::Command;

/// Runs the program: its exit code says success, what it printed, and what it complained about.
async fn bench(arguments: &str) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lock-bench"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The report of a run that must succeed.
async fn report(arguments: &str) -> Value {
    let (success, printed, complaints) = bench(&format!("{arguments} --json")).await;
    assert!(success && complaints.is_empty(), "{arguments}: {complaints}\n{printed}");
    println!("{printed}");
    let report: Value = serde_json::from_str(&printed).unwrap();
    for figure in ["ops_per_s", "p50_us", "p99_us"] {
        assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}: {report}");
    }
    assert!(report["p50_us"].as_f64() <= report["p99_us"].as_f64(), "{report}");
    assert!(report["turns"].as_u64().unwrap() > 0, "{report}");
    report
}

#[tokio::test]
async fn every_mode_runs_in_memory() {
    for (mode, clients, sessions) in [("uncontended", 1, 1), ("contended", 16, 4), ("spread", 8, 8)] {
        let arguments = format!("--mode {mode} --clients {clients} --sessions {sessions} --seconds 1");
        let report = report(&format!("--backend memory://bench {arguments}")).await;
        assert_eq!((&report["backend"], &report["mode"]), (&"memory".into(), &mode.into()));
        assert_eq!((&report["clients"], &report["sessions"]), (&clients.into(), &sessions.into()));
        let expected = if mode == "contended" { Value::Bool(true) } else { Value::Null };
        assert_eq!(report["fifo"], expected, "{report}");
        for unknown in ["requests_per_turn", "writes_per_turn", "put_per_s", "store_version"] {
            assert_eq!(report.get(unknown), Some(&Value::Null), "{unknown}: {report}");
        }
        assert_eq!(report["rss_mib"].is_number(), cfg!(target_os = "linux"), "{report}");
        assert!(report["rss_mib"].as_f64() <= report["process_mib"].as_f64(), "{report}");
    }
}

#[tokio::test]
async fn etcd_says_what_a_turn_asks_of_it() {
    let etcd = Etcd::start().await.unwrap();
    let uri = format!("etcd://{}/bench?ttl=5s", etcd.endpoints().join(",").replace("http://", ""));
    servers_say_what_a_turn_asks_of_them(&uri).await;
}

#[tokio::test]
async fn zookeeper_says_what_a_turn_asks_of_it() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let uri = format!("zk://{}/bench?session_timeout=5s", zookeeper.endpoints().join(","));
    servers_say_what_a_turn_asks_of_them(&uri).await;
}

async fn servers_say_what_a_turn_asks_of_them(uri: &str) {
    let report =
        report(&format!("--backend {uri} --mode contended --clients 4 --sessions 2 --seconds 2")).await;
    assert_eq!(report["fifo"], Value::Bool(true), "{report}");
    // A turn is a join and a release at least.
    for figure in ["requests_per_turn", "writes_per_turn"] {
        assert!(report[figure].as_f64().unwrap() > 1.9, "{figure}: {report}");
    }
    assert!(report["put_per_s"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["store_version"].as_str().unwrap().starts_with('3'), "{report}");
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused() {
    let cases = [
        ("--backend memory://bench --mode uncontended --clients 2", "one client alone"),
        ("--backend memory://bench --mode contended --clients 0", "at least one"),
        ("--backend memory://bench --mode contended --clients 2 --sessions 3", "at least one"),
        ("--backend nowhere://me:hunter2@host --mode uncontended", "nowhere"),
        ("--backend etcd://me:hunter2@127.0.0.1:1/x?connect_timeout=200ms --mode uncontended", "session 0"),
    ];
    for (arguments, why) in cases {
        let (success, printed, complaints) = bench(arguments).await;
        assert!(!success && printed.is_empty(), "{arguments}: {printed}");
        assert!(complaints.contains(why) && !complaints.contains("hunter2"), "{arguments}: {complaints}");
    }
}
