//! etcd, beside Go's `concurrency.Mutex`.

use std::{path::Path, process::Command};

use super::{
    goals::{Goal, least, most},
    plan::{SPREAD, UNCONTENDED, WAITERS, contended},
    programs::succeed,
    store::{Built, Peer, Store},
};
use crate::{cargo::Result, page::run as ask, tools};

pub(crate) static ETCD: Store = Store {
    name: "etcd",
    cluster: "etcd-cluster",
    scheme: "etcd",
    parameters: "ttl=30s",
    version,
    warm_up: 0,
    // It keeps what was deleted until it is compacted.
    ages: true,
    yardstick: "puts",
    peers: &[GO],
    goals: &GOALS,
};

const GO: Peer = Peer { name: "Go", folder: "etcd-go", sessions: "a session each", build: build_go };

const GOALS: [Goal; 9] = [
    Goal::at_least(
        0.35,
        "turns/s ÷ sequential puts/s, the least over all numbers of waiters: ≥ 0.35",
        |it| least(it.all(&WAITERS.map(contended), |it| Some(it.ops_per_s / it.put_per_s?))),
    ),
    Goal::at_most(1.6, "turns/s, most ÷ least over the numbers of waiters: ≤ 1.6", |it| {
        it.spread(|it| Some(it.ops_per_s))
    }),
    Goal::at_least(5.0, "turns/s ÷ Go's, 2 and 1,000 waiters: ≥ 5", |it| {
        it.beside("Go", &[contended(2), contended(1_000)])
    }),
    Goal::at_most(0.0, "runs that met an error, 10,000 waiters included: 0", |it| it.failures()),
    Goal::at_most(1.2, "requests per turn, most ÷ least over the numbers of waiters: ≤ 1.2", |it| {
        it.spread(|it| it.requests_per_turn)
    }),
    Goal::at_most(4.0, "writes per turn, the most: ≤ 4", |it| {
        most(it.all(&WAITERS.map(contended), |it| it.writes_per_turn))
    }),
    Goal::at_least(0.85, "uncontended: turns/s ÷ Go's ≥ 0.85", |it| it.beside("Go", &[UNCONTENDED])),
    Goal::at_least(0.85, "64 clients, each on its own lock: turns/s ÷ Go's ≥ 0.85", |it| {
        it.beside("Go", &[SPREAD])
    }),
    Goal::at_most(100.0, "the whole process with 10,000 waiters, MB (10⁶ bytes): ≤ 100", |it| {
        most(it.all(&[contended(10_000)], |it| Some(it.process_mib? * 1.048_576)))
    }),
];

fn version() -> Result<String> {
    let version = ask(&tools::named_or("YOURTURN_ETCD", "etcd"), &["--version"])?;
    Ok(version.lines().next().unwrap_or_default().replace(" Version:", ""))
}

/// With the packages of Debian.
fn build_go(source: &Path, folder: &Path) -> Result<Built> {
    let program = folder.join("go-etcd");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(".").current_dir(source);
    succeed(go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode"))?;
    let version = ask("go", &["version"])?.replace("go version ", "");
    Ok(Built { program, arguments: Vec::new(), version })
}
