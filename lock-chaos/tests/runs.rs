//! The program itself: a short run on each store, and a client that is broken on purpose.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Runs the program, one at a time: faults of one are no load for another. Whether its exit code says success,
/// what it printed, and its report.
fn chaos(arguments: &str) -> (bool, String, Value) {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lock-chaos"));
    command.args(arguments.split_whitespace()).arg("--report").arg(folder.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    println!("{printed}{}", String::from_utf8(output.stderr).unwrap());
    let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert_eq!(printed, std::fs::read_to_string(folder.path().join("report.md")).unwrap());
    is_drawn(folder.path());
    (output.status.success(), printed, serde_json::from_str(&report).unwrap())
}

fn is_drawn(folder: &Path) {
    let timeline = std::fs::read_to_string(folder.join("timeline.svg")).unwrap();
    assert!(timeline.starts_with("<svg") && timeline.contains("<rect"));
    let history = std::fs::read_to_string(folder.join("history.jsonl")).unwrap();
    assert!(history.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

/// A run in which nothing is wrong, though much is broken: not with the library, and not with the store.
fn well(arguments: &str, faults: u64) {
    let (success, _, report) = chaos(arguments);
    assert!(success, "{report}");
    let of_the_store = ["losses_of_the_store", "violations_of_the_store", "differences_of_servers"];
    for list in ["violations", "orphans"].into_iter().chain(of_the_store) {
        assert_eq!(report[list], Value::Array(Vec::new()), "{list}");
    }
    assert!(
        report["turns"].as_u64().unwrap() > 100 && report["faults"].as_u64().unwrap() >= faults,
        "{report}"
    );
    assert_eq!(report["fenced"]["lost"], 0);
    assert_eq!(report["told_at_first_look"], report["holders_stopped"]);
}

/// A leader of etcd 3.4.23, which is what there is to test with, that has stood still ends sessions which the one
/// after it has renewed (`docs/etcd-protocol.md`).
#[test]
fn etcd_keeps_the_contract_under_faults() {
    let faults = "all,-leader-pause,-server-pause";
    well(&format!("--backend etcd --seconds 40 --seed 1 --every 700 --faults {faults}"), 10);
}

/// Faults of clients and of their links. Under those of servers, ZooKeeper 3.8.0, which is what there is to test
/// with, loses what it has acknowledged (`docs/zookeeper-protocol.md`): a run with all faults is one for people
/// to look at.
#[test]
fn zookeeper_keeps_the_contract_under_faults() {
    let faults = "kill,stop,cut,cut-server,one-way,reset,refuse,delay,slow,lose-reply";
    well(&format!("--backend zookeeper --seconds 40 --seed 1 --every 700 --faults {faults}"), 10);
}

#[test]
fn memory_keeps_the_contract_when_clients_are_dropped() {
    well("--backend memory --seconds 20 --seed 1 --every 300", 10);
}

#[test]
fn a_client_that_never_looks_at_its_guards_is_found_out() {
    let (success, printed, report) = chaos(
        "--backend etcd --nodes 1 --seconds 20 --seed 1 --faults cut --every 300 --locks 5 --broken-client",
    );
    assert!(!success, "{report}");
    let violations = report["violations"].as_array().unwrap();
    assert!(violations.iter().any(|it| it.as_str().unwrap().contains("I5")), "{report}");
    assert!(printed.contains("Around the first violation"));
}
