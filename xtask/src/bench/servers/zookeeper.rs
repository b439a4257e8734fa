//! ZooKeeper, beside the locks of Curator and of kazoo.

use std::{env, fs, path::Path, process::Command};

use super::{
    goals::Goal,
    plan::{SPREAD, UNCONTENDED, WAITERS, contended},
    programs::succeed,
    store::{Built, Peer, Store},
};
use crate::{cargo::Result, page::run as ask, tools};

pub(crate) static ZOOKEEPER: Store = Store {
    name: "zookeeper",
    cluster: "zookeeper-cluster",
    scheme: "zk",
    parameters: "session_timeout=30s",
    version,
    // Java compiles what it runs often: who came first would wait for that, with three servers for a minute.
    warm_up: 60,
    ages: false,
    yardstick: "creates",
    peers: &[CURATOR, KAZOO],
    goals: &GOALS,
};

const CURATOR: Peer =
    Peer { name: "Curator", folder: "curator", sessions: "one session", build: build_curator };

const KAZOO: Peer = Peer { name: "kazoo", folder: "kazoo", sessions: "one session", build: find_kazoo };

const GOALS: [Goal; 9] = [
    Goal::at_most(1.6, "turns/s, most ÷ least over the numbers of waiters, 2 to 10,000: ≤ 1.6", |it| {
        it.spread(|it| Some(it.ops_per_s))
    }),
    Goal::at_least(0.9, "turns/s ÷ Curator's, 2 and 16 waiters: ≥ 0.9", |it| {
        it.beside("Curator", &[contended(2), contended(16)])
    }),
    Goal::at_least(2.5, "turns/s ÷ Curator's, 1,000 waiters: ≥ 2.5", |it| {
        it.beside("Curator", &[contended(1_000)])
    }),
    Goal::at_least(5.0, "turns/s ÷ Curator's, 4,000 waiters: ≥ 5", |it| {
        it.beside("Curator", &[contended(4_000)])
    }),
    Goal::at_most(1.2, "requests per turn, most ÷ least over the numbers of waiters: ≤ 1.2", |it| {
        it.spread(|it| it.requests_per_turn)
    }),
    Goal::at_least(1.0, "uncontended: turns/s ÷ Curator's ≥ 1", |it| it.beside("Curator", &[UNCONTENDED])),
    Goal::at_least(1.5, "64 clients, each on its own lock: turns/s ÷ Curator's ≥ 1.5", |it| {
        it.beside("Curator", &[SPREAD])
    }),
    Goal::at_most(0.0, "runs that met an error, 10,000 waiters included: 0", |it| it.failures()),
    Goal::at_least(1.2, "a stretch: turns/s ÷ Curator's, every number of waiters: ≥ 1.2", |it| {
        it.beside("Curator", &WAITERS.map(contended))
    }),
];

/// Where Debian has them.
const JARS: &str = "/usr/share/java";
const PYTHON: &str = "/usr/bin/python3";

fn java() -> String {
    tools::named_or("YOURTURN_JAVA", "java")
}

fn version() -> Result<String> {
    let jars = tools::named_or("YOURTURN_ZOOKEEPER_CLASSPATH", &format!("{JARS}/zookeeper.jar"));
    let program = "org.apache.zookeeper.version.VersionInfoMain";
    // "Apache ZooKeeper, version 3.8.0 2024-12-29 17:54 UTC".
    let zookeeper = ask(&java(), &["-cp", &jars, program])?;
    let number = zookeeper.split_once("version ").and_then(|(_, version)| version.split([' ', '-']).next());
    let java = ask(&java(), &["--version"])?;
    let java = java.lines().next().unwrap_or_default();
    Ok(format!("ZooKeeper {} on {java}", number.unwrap_or("of an unknown version")))
}

/// With the packages of Debian.
fn build_curator(source: &Path, folder: &Path) -> Result<Built> {
    let classes = folder.join("curator");
    let jars = format!("{JARS}/*");
    let mut javac = Command::new("javac");
    succeed(javac.args(["-cp", &jars, "-d"]).arg(&classes).arg(source.join("Bench.java")))?;
    let path = env::join_paths([&classes, Path::new(&jars)])?;
    let arguments = vec!["-cp".into(), path, "Bench".into()];
    Ok(Built { program: java().into(), arguments, version: format!("Curator {}", curators_version()?) })
}

/// As the name of the jar says.
fn curators_version() -> Result<String> {
    for entry in fs::read_dir(JARS)? {
        let name = entry?.file_name();
        let version =
            name.to_str().and_then(|name| name.strip_prefix("curator-recipes-")?.strip_suffix(".jar"));
        if let Some(version) = version {
            return Ok(version.to_owned());
        }
    }
    Err(format!("{JARS} has no curator-recipes").into())
}

/// There is nothing to build.
fn find_kazoo(source: &Path, _: &Path) -> Result<Built> {
    let python =
        "import kazoo, platform; print('kazoo', kazoo.__version__, 'on Python', platform.python_version())";
    let version = ask(PYTHON, &["-c", python])?;
    Ok(Built { program: PYTHON.into(), arguments: vec![source.join("bench.py").into()], version })
}
