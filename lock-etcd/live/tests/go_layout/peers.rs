//! Those who take turns: `etcdctl`, coordinators in this process, and this program in another process.

use std::{
    env,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use etcd_client::{Client, GetOptions};
use lock_core::{Coordinator, Options};
use lock_etcd::{Config, Etcd, Layout};
use lock_testkit::{
    live::{soon, until},
    server::etcd::Etcd as Server,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

const TTL: Duration = Duration::from_secs(10);

/// For those who are killed.
const SHORT_TTL: Duration = Duration::from_secs(2);

/// One member, and a look into it.
pub(crate) struct Cluster {
    server: Server,
    pub(crate) etcd: Client,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let server = Server::start().await.unwrap();
        let etcd = Client::connect(server.endpoints(), None).await.unwrap();
        Self { server, etcd }
    }

    pub(crate) async fn user(&self) -> Coordinator {
        coordinator(&self.endpoints(), Layout::Go, TTL).await
    }

    pub(crate) async fn user_of(&self, layout: Layout) -> Coordinator {
        coordinator(&self.endpoints(), layout, TTL).await
    }

    fn endpoints(&self) -> String {
        self.server.endpoints().join(",")
    }

    /// `etcdctl` with these arguments.
    pub(crate) fn etcdctl(&self, arguments: &[&str]) -> Peer {
        let program = env::var_os("YOURTURN_ETCDCTL").unwrap_or_else(|| "etcdctl".into());
        let mut command = Command::new(program);
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.endpoints())).args(arguments);
        Peer::start(command)
    }

    /// `etcdctl lock`, which says its key when it holds, until it is told to stop.
    pub(crate) fn their_lock(&self, name: &str) -> Peer {
        self.etcdctl(&["lock", "--ttl=2", name])
    }

    /// A process of ours that says "held" when it holds.
    pub(crate) fn our_process(&self, name: &str) -> Peer {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["holder", &self.endpoints(), name]);
        Peer::start(command)
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let all = GetOptions::new().with_all_keys().with_keys_only();
        let found = self.etcd.kv_client().get("", Some(all)).await.unwrap();
        found.kvs().iter().map(|kv| String::from_utf8_lossy(kv.key()).into_owned()).collect()
    }

    pub(crate) async fn put(&self, key: impl Into<Vec<u8>>, value: &str) {
        self.etcd.kv_client().put(key, value, None).await.unwrap();
    }

    pub(crate) async fn delete(&self, key: impl Into<Vec<u8>>) {
        self.etcd.kv_client().delete(key, None).await.unwrap();
    }

    pub(crate) async fn requests(&self) -> u64 {
        self.server.requests().await.unwrap()
    }

    pub(crate) async fn watchers(&self) -> u64 {
        self.server.watchers().await.unwrap()
    }

    /// Waits until that many stand in line.
    pub(crate) async fn in_line(&self, name: &str, count: usize) {
        let prefix = format!("{name}/");
        until(&format!("{count} in line for {name}"), async || {
            self.keys().await.iter().filter(|key| key.starts_with(&prefix)).count() == count
        })
        .await;
    }

    /// Waits until nothing is left.
    pub(crate) async fn is_empty(&self) {
        until("nothing is left", async || self.keys().await.is_empty()).await;
    }
}

async fn coordinator(endpoints: &str, layout: Layout, ttl: Duration) -> Coordinator {
    let config = Config::new(endpoints.split(',')).unwrap().layout(layout);
    Coordinator::open(Arc::new(Etcd::new(config)), Options::default().ttl(ttl)).await.unwrap()
}

/// Takes the lock, says so, and keeps it.
pub(crate) async fn hold(endpoints: &str, lock: &str) {
    let coordinator = coordinator(endpoints, Layout::Go, SHORT_TTL).await;
    let guard = coordinator.mutex(lock).unwrap().lock().await.unwrap();
    println!("held");
    guard.lost().await;
}

/// A process.
pub(crate) struct Peer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(mut command: Command) -> Self {
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next line that it prints.
    pub(crate) async fn says(&mut self) -> String {
        soon("its next line", self.lines.next_line()).await.unwrap().expect("it ended early")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// SIGINT: `etcdctl` lets go and ends.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::INT);
        self.ends().await
    }

    pub(crate) async fn ends(&mut self) -> ExitStatus {
        soon("its end", self.process.wait()).await.unwrap()
    }
}
