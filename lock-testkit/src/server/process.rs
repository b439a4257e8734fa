//! A server's process.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{on_path, text};

/// A process that is killed when this is dropped, and when the test process ends in any other way.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    paused: bool,
}

impl Process {
    /// Starts `program`; what it prints is appended to `log`.
    pub(super) fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        log: &Path,
    ) -> io::Result<Self> {
        let mut command = match LEASH.as_ref() {
            Some(leash) => {
                let mut command = Command::new(leash);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let log = File::options().create(true).append(true).open(log)?;
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A server reads the flags that it was not given from there.
        let foreign = |name: &str| {
            name.starts_with("ETCD_")
                || name.ends_with("JAVA_OPTIONS")
                || name == "JAVA_TOOL_OPTIONS"
                || name.to_ascii_uppercase().ends_with("_PROXY")
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| foreign(&text(name))) {
            command.env_remove(name);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Ok(Self { child: spawn(command)?, paused: false })
    }

    /// How it ended; none while it runs.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether it stands still.
    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// SIGSTOP.
    pub(super) fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        Ok(())
    }

    /// SIGCONT.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // Before it has been waited for, nobody else gets its number.
        if let Some(status) = self.ended() {
            return Err(io::Error::other(format!("it has ended: {status}")));
        }
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

impl Drop for Process {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that lets another one die with its parent.
static LEASH: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| on_path("setpriv").filter(|_| cfg!(target_os = "linux")));

/// Starts a process from a thread that lives as long as this process: to Linux the parent of a process is the
/// thread that started it, and that of a test ends with the test.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static PARENT: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        #[expect(clippy::disallowed_methods, reason = "it outlives every runtime")]
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = mpsc::channel();
    PARENT.send((command, reply)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}
