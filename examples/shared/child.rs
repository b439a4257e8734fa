//! A part of the program that is a process of its own: the same executable once more.

use std::{
    ffi::OsStr,
    io::{self, PipeWriter},
    process::Stdio,
};

use tokio::process::{self, ChildStdin, Command};

pub(crate) struct Child {
    pub(crate) name: String,
    /// It ends when these do, so it does not outlive us.
    pub(crate) orders: Option<ChildStdin>,
    process: process::Child,
    killed: bool,
}

impl Child {
    /// Starts this executable with other arguments; what it prints goes to `reports`.
    pub(crate) fn start(
        name: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        reports: PipeWriter,
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(reports);
        // For `kill`.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn()?;
        Ok(Self { name: name.to_owned(), orders: process.stdin.take(), process, killed: false })
    }

    /// SIGKILL, to it and to what it has started, as if the machine had failed under them. They are dead when
    /// this is done.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.killed = true;
        #[cfg(unix)]
        if let Some(group) = self.process.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
        {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
        }
        #[cfg(not(unix))]
        self.process.start_kill()?;
        self.process.wait().await.map(drop)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// When that was no success, and no fault of ours.
    pub(crate) async fn ended(mut self) -> io::Result<()> {
        let status = self.process.wait().await?;
        // Not sooner, unless somebody else did: it might not have been done yet.
        drop(self.orders);
        let good = status.success() || self.killed;
        if good { Ok(()) } else { Err(io::Error::other(format!("{}: {status}", self.name))) }
    }
}
