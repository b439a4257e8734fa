//! The programs that are run: a cluster, ours, Go's.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    figures::{Measures, Outcome},
    plan::{Case, Environment},
};
use crate::cargo::{self, Result};

/// How long a program may take beyond the time that it measures, and for each client of it.
const SLACK: Duration = Duration::from_secs(60);
const SLACK_OF_CLIENT: Duration = Duration::from_millis(15);
const GLANCE: Duration = Duration::from_millis(20);

pub(super) struct Programs {
    cluster: PathBuf,
    ours: PathBuf,
    go: Option<PathBuf>,
    /// Below which clusters keep data that is to be on a disk.
    pub(super) disk: PathBuf,
}

impl Programs {
    /// Builds them: as tests are, which then have built them already, or as they are to be measured.
    pub(super) fn build(quick: bool, peer: &Path) -> Result<Self> {
        if quick {
            cargo::run(&["build", "--quiet", "--workspace", "--all-features", "--bins", "--tests"])?;
        } else {
            cargo::run(&["build", "--quiet", "--package", "lock-testkit", "--bin", "etcd-cluster"])?;
            cargo::run(&["build", "--quiet", "--release", "--package", "lock-bench"])?;
        }
        let target = cargo::target_directory()?;
        let program = |profile: &str, name: &str| {
            target.join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX))
        };
        let disk = target.join("bench");
        fs::create_dir_all(&disk)?;
        let go =
            build_go(peer, &disk.join("go-etcd")).inspect_err(|why| eprintln!("Go is left out: {why}")).ok();
        let ours = program(if quick { "debug" } else { "release" }, "lock-bench");
        Ok(Self { cluster: program("debug", "etcd-cluster"), ours, go, disk })
    }

    pub(super) const fn has_go(&self) -> bool {
        self.go.is_some()
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
        if cluster.endpoints.is_empty() { Err("etcd does not start".into()) } else { Ok(cluster) }
    }

    /// A run of ours. Its failure is no error here: the other runs are worth making.
    pub(super) fn ours(
        &self,
        cluster: &Cluster,
        case: Case,
        sessions: usize,
        seconds: u64,
    ) -> Result<Outcome> {
        let mut command = Command::new(&self.ours);
        // The ttl is the one that Go's program asks for.
        let uri = format!("etcd://{}/bench?ttl=30s", cluster.endpoints);
        command.args(["--json", "--backend", &uri, "--mode", &case.mode.to_string()]);
        for (name, value) in
            [("--clients", case.clients as u64), ("--sessions", sessions as u64), ("--seconds", seconds)]
        {
            command.args([name, &value.to_string()]);
        }
        // Everybody gets in line, has a turn, and leaves, each within a time that it watches itself.
        let run = finish(command, 5 * limit(case, seconds))?;
        if run.success {
            return Ok(serde_json::from_str(&run.output).map_err(|error| error.to_string()));
        }
        eprint!("{}", run.complaints);
        let first = run.complaints.lines().next().unwrap_or("no complaint");
        Ok(Err(first.trim_start_matches("lock-bench: ").to_owned()))
    }

    pub(super) fn go(&self, cluster: &Cluster, case: Case, seconds: u64) -> Result<Option<Outcome>> {
        let Some(program) = &self.go else { return Ok(None) };
        let mut command = Command::new(program);
        command.arg(&cluster.endpoints).arg(case.mode.to_string());
        command.arg(seconds.to_string()).arg(case.clients.to_string());
        let run = finish(command, limit(case, seconds))?;
        Ok(Some(match Measures::of_peer(&run.output).filter(|_| run.success) {
            Some(measures) => Ok(measures),
            None => Err(run.complaints.lines().last().unwrap_or("no complaint").to_owned()),
        }))
    }
}

fn limit(case: Case, seconds: u64) -> Duration {
    let clients = u32::try_from(case.clients).unwrap_or(u32::MAX);
    Duration::from_secs(seconds) + SLACK + SLACK_OF_CLIENT * clients
}

/// Builds Go's program with the packages of Debian.
fn build_go(source: &Path, program: &Path) -> Result<PathBuf> {
    if !source.is_dir() {
        return Err(format!("there is no {}", source.display()).into());
    }
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(program).arg(".").current_dir(source);
    command.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
    let status = command.status().map_err(|error| format!("go: {error}"))?;
    if status.success() { Ok(program.to_owned()) } else { Err(format!("go build: {status}").into()) }
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
        let endless = shell("echo begun; exec sleep 1000", Duration::from_millis(300));
        assert!(!endless.success && endless.output == "begun\n", "{}", endless.output);
        assert!(endless.complaints.contains("did not end"), "{}", endless.complaints);
    }
}
