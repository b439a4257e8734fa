//! Those who take turns: Curator or kazoo, coordinators in this process, and this program in another process.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use lock_core::{Coordinator, Options};
use lock_testkit::{
    live::{soon, until},
    server::zookeeper::{Tap, ZooKeeper, ZooKeeperOptions},
};
use lock_zk::{
    Config, Layout, Zk,
    client::{Acls, Client, CreateMode},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

const TTL: Duration = Duration::from_secs(10);

/// For those who are killed.
const SHORT_TTL: Duration = Duration::from_secs(2);

/// With whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fleet {
    Curator,
    Kazoo,
}

impl Fleet {
    pub(crate) fn named(name: &str) -> Self {
        if name == "Curator" { Self::Curator } else { Self::Kazoo }
    }

    /// What stands before the sequence in the name of a lock's node.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Curator => "lock-",
            Self::Kazoo => "__lock__",
        }
    }

    fn layout(self) -> Layout {
        match self {
            Self::Curator => Layout::Curator,
            Self::Kazoo => Layout::Kazoo,
        }
    }

    /// Their program, in a folder where what it needs was put.
    fn command(self, folder: &Path) -> Command {
        match self {
            Self::Curator => {
                let class_path = format!("{}:{}", folder.display(), CURATOR.get());
                let mut command = Command::new(JAVA.get());
                command.args(["-cp", &class_path, "CuratorPeer"]);
                command
            }
            Self::Kazoo => {
                let mut command = Command::new(PYTHON.get());
                command.arg(source("kazoo_peer.py"));
                command
            }
        }
    }

    async fn prepare(self, folder: &Path) {
        if let Self::Curator = self {
            let mut javac = Command::new(JAVAC.get());
            let class_path = CURATOR.get();
            javac.args(["-cp", &class_path, "-d"]).arg(folder).arg(source("CuratorPeer.java"));
            assert!(javac.status().await.unwrap().success());
        }
    }
}

/// Where something is, unless a variable names another.
struct Named(&'static str, &'static str);

const JAVA: Named = Named("YOURTURN_JAVA", "java");
const JAVAC: Named = Named("YOURTURN_JAVAC", "javac");
const CURATOR: Named = Named("YOURTURN_CURATOR_CLASSPATH", "/usr/share/java/*");
const PYTHON: Named = Named("YOURTURN_PYTHON", "/usr/bin/python3");

impl Named {
    fn get(&self) -> String {
        env::var(self.0).ok().filter(|named| !named.is_empty()).unwrap_or_else(|| self.1.to_owned())
    }
}

fn source(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/layouts").join(name)
}

/// One server, and a look into it.
pub(crate) struct Meeting<'a> {
    pub(crate) fleet: Fleet,
    server: &'a ZooKeeper,
    pub(crate) spy: Client,
    folder: TempDir,
}

impl<'a> Meeting<'a> {
    pub(crate) async fn of(fleet: Fleet, server: &'a ZooKeeper) -> Self {
        let spy = Client::connect(&server.endpoints().join(",")).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fleet.prepare(folder.path()).await;
        Self { fleet, server, spy, folder }
    }

    /// A name that nobody had before.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{:?}/{name}", self.fleet)
    }

    fn servers(&self) -> String {
        self.server.endpoints().join(",")
    }

    pub(crate) async fn user(&self) -> Coordinator {
        coordinator(self.fleet, &self.servers(), TTL).await
    }

    /// One whose requests are counted.
    pub(crate) async fn counted_user(&self) -> (Tap, Coordinator) {
        let tap = Tap::start(self.servers().parse().unwrap()).await.unwrap();
        let user = coordinator(self.fleet, &tap.address().to_string(), TTL).await;
        (tap, user)
    }

    /// A program of theirs.
    pub(crate) async fn peer(&self) -> Peer {
        let mut command = self.fleet.command(self.folder.path());
        command.args([self.servers(), SHORT_TTL.as_millis().to_string()]);
        let mut peer = Peer::start(command);
        assert_eq!(peer.says().await, "ready");
        peer
    }

    /// One that holds the lock.
    pub(crate) async fn their_holder(&self, name: &str) -> Peer {
        let mut peer = self.peer().await;
        peer.tell(&format!("hold /{name}")).await;
        assert_eq!(peer.says().await, "held");
        peer
    }

    /// A process of ours that says "held" when it holds.
    pub(crate) fn our_process(&self, name: &str) -> Peer {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["holder", &format!("{:?}", self.fleet), &self.servers(), name]);
        Peer::start(command)
    }

    pub(crate) async fn nodes(&self, name: &str) -> Vec<String> {
        self.spy.sync("/").await.unwrap();
        self.spy.list_children(&format!("/{name}")).await.unwrap_or_default()
    }

    /// The path of a new node as theirs make it, with this mark.
    pub(crate) async fn place(&self, name: &str, mark: &str) -> String {
        self.spy.mkdir(&format!("/{name}"), &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.ok();
        let prefix = format!("/{name}/_c_0b0e6d5c-3f39-4b64-8a66-2a1e6f0c9d17-{mark}");
        let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
        let (_, sequence) = self.spy.create(&prefix, b"", &options).await.unwrap();
        format!("{prefix}{sequence}")
    }

    /// Whether somebody watches the node at this path.
    pub(crate) async fn is_watched(&self, path: &str) -> bool {
        let watches = self.server.servers()[0].ask("wchp").await.unwrap();
        watches.lines().any(|line| line == path)
    }

    /// Waits until that many stand in line.
    pub(crate) async fn in_line(&self, name: &str, count: usize) {
        until(&format!("{count} in line for {name}"), async || self.nodes(name).await.len() == count).await;
    }
}

async fn coordinator(fleet: Fleet, servers: &str, ttl: Duration) -> Coordinator {
    let tick = ZooKeeperOptions::default().tick;
    let config = Config::new(servers.split(',')).unwrap().tick(tick).unwrap().layout(fleet.layout());
    Coordinator::open(Arc::new(Zk::new(config).unwrap()), Options::default().ttl(ttl)).await.unwrap()
}

/// Takes the lock, says so, and keeps it.
pub(crate) async fn hold(fleet: Fleet, servers: &str, lock: &str) {
    let coordinator = coordinator(fleet, servers, SHORT_TTL).await;
    let guard = coordinator.mutex(lock).unwrap().lock().await.unwrap();
    println!("held");
    guard.lost().await;
}

/// A process.
pub(crate) struct Peer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: ChildStdin,
}

impl Peer {
    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let told = process.stdin.take().unwrap();
        Self { process, lines, told }
    }

    pub(crate) async fn tell(&mut self, command: &str) {
        self.told.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    /// The next line that it prints.
    pub(crate) async fn says(&mut self) -> String {
        soon("its next line", self.lines.next_line()).await.unwrap().expect("it ended early")
    }

    /// Lets go of what it holds.
    pub(crate) async fn release(mut self) {
        self.tell("release").await;
        assert_eq!(self.says().await, "released");
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }
}
