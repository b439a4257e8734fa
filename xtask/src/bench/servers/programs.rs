//! The programs that are run: a cluster, ours, the peers'.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    figures::{Measures, Outcome, Program},
    plan::{Case, Environment},
    releases::Release,
    store::{Built, Peer, Store},
};
use crate::cargo::{self, Result};

/// How long a program may take beyond the time that it measures, and for each client of it.
const SLACK: Duration = Duration::from_secs(60);
const SLACK_OF_CLIENT: Duration = Duration::from_millis(15);
const GLANCE: Duration = Duration::from_millis(20);

pub(super) struct Programs {
    store: &'static Store,
    cluster: PathBuf,
    ours: PathBuf,
    /// Those that could be built.
    peers: Vec<(&'static Peer, Built)>,
    /// Below which clusters keep data that is to be on a disk.
    pub(super) disk: PathBuf,
}

impl Programs {
    /// Builds them: as tests are, which then have built them already, or as they are to be measured.
    pub(super) fn build(store: &'static Store, quick: bool, peers: &Path) -> Result<Self> {
        if quick {
            cargo::run(&["build", "--quiet", "--workspace", "--all-features", "--bins", "--tests"])?;
        } else {
            cargo::run(&["build", "--quiet", "--package", "lock-testkit", "--bin", store.cluster])?;
            cargo::run(&["build", "--quiet", "--release", "--package", "lock-bench"])?;
        }
        let target = cargo::target_directory()?;
        let program = |profile: &str, name: &str| {
            target.join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX))
        };
        let disk = target.join("bench");
        fs::create_dir_all(&disk)?;
        let ours = program(if quick { "debug" } else { "release" }, "lock-bench");
        let peers = build_peers(store, peers, &disk);
        Ok(Self { store, cluster: program("debug", store.cluster), ours, peers, disk })
    }

    /// Which versions of the peers are measured.
    pub(super) fn versions(&self) -> impl Iterator<Item = &str> {
        self.peers.iter().map(|(_, built)| built.version.as_str())
    }

    /// Who is run: ours with few and with many sessions, and then the peers.
    pub(super) fn of(&self, case: Case) -> impl Iterator<Item = Program> {
        let peers = self.peers.iter().map(|(peer, _)| Program::Peer(peer.name.to_owned()));
        case.sessions().into_iter().map(Program::Ours).chain(peers)
    }

    pub(super) fn cluster(&self, environment: Environment, folder: &Path) -> Result<Cluster> {
        let mut command = Command::new(&self.cluster);
        command.arg(environment.members().to_string()).arg(folder);
        let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let output = child.stdout.take();
        let mut cluster = Cluster { child, endpoints: String::new() };
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut cluster.endpoints)?;
        }
        cluster.endpoints.truncate(cluster.endpoints.trim_end().len());
        if cluster.endpoints.is_empty() {
            return Err(format!("{} does not start", self.store.name).into());
        }
        Ok(cluster)
    }

    /// A failure of the program is no error here: the other runs are worth making.
    pub(super) fn run(
        &self,
        program: &Program,
        cluster: &Cluster,
        case: Case,
        seconds: u64,
    ) -> Result<Outcome> {
        match program {
            Program::Ours(sessions) => self.ours(cluster, case, *sessions, seconds),
            Program::Peer(name) => self.peer(name, cluster, case, seconds),
        }
    }

    /// `lock-bench`, with so many clients and sessions of theirs.
    fn bench(&self, cluster: &Cluster, clients: usize, sessions: usize) -> Command {
        let mut command = Command::new(&self.ours);
        let Store { scheme, parameters, .. } = self.store;
        let uri = format!("{scheme}://{}/bench?{parameters}", cluster.endpoints);
        command.args(["--json", "--backend", &uri]);
        command.args(["--clients", &clients.to_string(), "--sessions", &sessions.to_string()]);
        command
    }

    /// What releases cost before so many who wait.
    pub(super) fn releases(
        &self,
        cluster: &Cluster,
        waiting: usize,
        sessions: usize,
    ) -> Result<Vec<Release>> {
        let mut command = self.bench(cluster, waiting, sessions);
        command.arg("--releases");
        let run = finish(command, 5 * SLACK)?;
        if run.success { Ok(serde_json::from_str(&run.output)?) } else { Err(run.complaints.into()) }
    }

    fn ours(&self, cluster: &Cluster, case: Case, sessions: usize, seconds: u64) -> Result<Outcome> {
        let mut command = self.bench(cluster, case.clients, sessions);
        command.args(["--mode", &case.mode.to_string(), "--seconds", &seconds.to_string()]);
        // Everybody gets in line, has a turn, and leaves, each within a time that it watches itself.
        let run = finish(command, 5 * limit(case, seconds))?;
        if run.success {
            return Ok(serde_json::from_str(&run.output).map_err(|error| error.to_string()));
        }
        eprint!("{}", run.complaints);
        let first = run.complaints.lines().next().unwrap_or("no complaint");
        Ok(Err(first.trim_start_matches("lock-bench: ").to_owned()))
    }

    fn peer(&self, name: &str, cluster: &Cluster, case: Case, seconds: u64) -> Result<Outcome> {
        let peer = self.peers.iter().find(|(peer, _)| peer.name == name);
        let (_, built) = peer.ok_or_else(|| format!("{name} was left out"))?;
        let mut command = Command::new(&built.program);
        command.args(&built.arguments).arg(&cluster.endpoints).arg(case.mode.to_string());
        command.arg(seconds.to_string()).arg(case.clients.to_string());
        let run = finish(command, limit(case, seconds))?;
        let good = run.success && !lost_a_thread(&run.complaints);
        let measures = Measures::of_peer(&run.output).filter(|_| good);
        Ok(measures.ok_or_else(|| last_words(&run.complaints).to_owned()))
    }
}

fn limit(case: Case, seconds: u64) -> Duration {
    let clients = u32::try_from(case.clients).unwrap_or(u32::MAX);
    Duration::from_secs(seconds) + SLACK + SLACK_OF_CLIENT * clients
}

/// Builds the programs of the peers that are here, with what they need; the others are left out.
fn build_peers(store: &'static Store, sources: &Path, folder: &Path) -> Vec<(&'static Peer, Built)> {
    let build = |peer: &Peer| {
        let source = sources.join(peer.folder);
        if !source.is_dir() {
            return Err(format!("there is no {}", source.display()).into());
        }
        (peer.build)(&source, folder)
    };
    let built = store.peers.iter().filter_map(|peer| {
        let built = build(peer).inspect_err(|why| eprintln!("{} is left out: {why}", peer.name));
        Some((peer, built.ok()?))
    });
    built.collect()
}

/// Runs this, and fails when it does.
pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}").into()) }
}

/// Whether a client has ended with an error while the others went on, as Java and Python say it.
fn lost_a_thread(complaints: &str) -> bool {
    complaints.lines().any(|line| line.starts_with("Exception in thread"))
}

/// The last complaint, without the trace that may follow it.
fn last_words(complaints: &str) -> &str {
    let words = complaints.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with([' ', '\t']));
    words.unwrap_or("no complaint")
}

/// A running cluster; it ends, and its data goes, with this.
pub(super) struct Cluster {
    child: Child,
    endpoints: String,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

struct Finished {
    success: bool,
    output: String,
    complaints: String,
}

/// Runs a program, and kills it when it takes longer than `limit`.
fn finish(mut command: Command, limit: Duration) -> Result<Finished> {
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (output, complaints) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let output = scope.spawn(|| all_of(output));
        let complaints = scope.spawn(|| all_of(complaints));
        let status = within(&mut child, limit)?;
        let mut complaints = complaints.join().unwrap_or_default();
        if status.is_none() {
            complaints += &format!("\nit did not end within {limit:?}");
        }
        let success = status.is_some_and(|status| status.success());
        Ok(Finished { success, output: output.join().unwrap_or_default(), complaints })
    })
}

fn start(command: &mut Command) -> Result<Child> {
    let child = command.spawn();
    Ok(child.map_err(|error| format!("{}: {error}", command.get_program().display()))?)
}

fn within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(GLANCE);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn all_of(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // A program that is killed closes it: what came before is all there is.
    let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Finished {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        finish(command, limit).unwrap()
    }

    #[test]
    fn a_program_is_heard_and_ended() {
        let long = Duration::from_secs(60);
        let good = shell("echo yes; echo no >&2", long);
        assert_eq!((good.success, &*good.output, &*good.complaints), (true, "yes\n", "no\n"));
        assert!(!shell("exit 3", long).success);
        // More than a pipe holds.
        assert_eq!(shell("head -c 1000000 /dev/zero >&2", long).complaints.len(), 1_000_000);
        let endless = shell("echo begun; exec sleep 1000", Duration::from_secs(3));
        assert!(!endless.success && endless.output == "begun\n", "{}", endless.output);
        assert!(endless.complaints.contains("did not end"), "{}", endless.complaints);
        assert!(last_words(&endless.complaints).starts_with("it did not end"), "{}", endless.complaints);
    }

    #[test]
    fn why_a_peer_failed_is_found_in_what_it_says() {
        let java =
            "SLF4J: none\nException in thread \"main\" X\n\tat Bench.main\nCaused by: lost\n\t... 5 more\n";
        let python = "Exception in thread Thread-1 (run):\nTraceback:\n  File \"x\", line 1\nkazoo.exceptions.SessionExpiredError\n";
        for (complaints, thread, last) in [
            (java, true, "Caused by: lost"),
            (python, true, "kazoo.exceptions.SessionExpiredError"),
            ("etcdserver: request timed out\n", false, "etcdserver: request timed out"),
            ("\n", false, "no complaint"),
        ] {
            assert_eq!((lost_a_thread(complaints), last_words(complaints)), (thread, last));
        }
    }

    #[test]
    fn a_peer_that_is_not_here_is_left_out() {
        let peers = build_peers(&super::super::etcd::ETCD, Path::new("/no/such/folder"), Path::new("/"));
        assert!(peers.is_empty());
        assert!(succeed(Command::new("sh").args(["-c", "exit 3"])).is_err());
    }
}
