//! A client as a process: this very program once more.

use std::{
    io::{self, Write as _},
    process::Stdio,
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
};

use crate::{
    chronicle::Chronicle,
    record::Record,
    workload::{self, Job},
};

/// What the process is told to be, before its job.
pub(crate) const ROLE: &str = "client";

/// A client that runs, stopped or not. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    /// It stops when this ends.
    orders: Option<ChildStdin>,
    /// Ends when all that it said has been written down.
    listener: JoinHandle<()>,
}

impl Process {
    /// Starts one; what it says goes to the chronicle.
    pub(crate) fn start(job: &Job, chronicle: Chronicle) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ROLE, &serde_json::to_string(job)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let orders = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
        let listener = tokio::spawn(async move {
            // Who is killed may have said half a line.
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(record) = serde_json::from_str::<Record>(&line) {
                    chronicle.add(record);
                }
            }
        });
        Ok(Self { child, orders, listener })
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(kill_process(pid.ok_or(io::ErrorKind::NotFound)?, signal)?)
    }

    /// SIGKILL. It is dead, and has been heard to the end, when this is done.
    pub(crate) async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await?;
        let _it_ended = self.listener.await;
        Ok(())
    }

    /// Lets it finish, and close its session.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.orders = None;
        let status = self.child.wait().await?;
        let _it_ended = (&mut self.listener).await;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("a client ended: {status}"))) }
    }
}

/// What such a process does.
pub(crate) async fn be_one(job: &str) -> Result<(), String> {
    // Not even a stopped one outlives who started it.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let job: Job = serde_json::from_str(job).map_err(|error| error.to_string())?;
    let log: workload::Log = Arc::new(|record| {
        let Ok(line) = serde_json::to_string(&record) else { return };
        // At once: who is killed has said what it has done.
        let _nobody_listens = writeln!(io::stdout().lock(), "{line}");
    });
    let stop = async {
        let mut nothing = Vec::new();
        let _it_is_over = tokio::io::stdin().read_to_end(&mut nothing).await;
    };
    workload::run(job, None, log, Arc::default(), stop).await
}
