//! One server of a cluster, which is started again and again.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lock_core::runtime::SharedRuntime;

use super::{folder::Folder, patience::Patience, process::Process, tail};

/// A server: its process, when it runs, and how it is started.
pub(super) struct Node {
    /// First, so that it is killed before its folder is deleted.
    process: Mutex<Option<Process>>,
    setup: Setup,
}

/// What stays the same over a server's restarts.
pub(super) struct Setup {
    /// What messages call it; its log has this name too.
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) folder: Arc<Folder>,
    pub(super) runtime: SharedRuntime,
}

impl Node {
    pub(super) const fn new(setup: Setup) -> Self {
        Self { process: Mutex::new(None), setup }
    }

    pub(super) fn name(&self) -> &str {
        &self.setup.name
    }

    pub(super) fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    pub(super) fn runtime(&self) -> &SharedRuntime {
        &self.setup.runtime
    }

    /// SIGKILL, paused or not; what is dead already stays dead.
    pub(super) fn kill(&self) {
        *self.process() = None;
    }

    /// Starts it, unless it runs.
    pub(super) fn launch(&self) -> Result<(), String> {
        let mut process = self.process();
        if process.as_mut().is_some_and(|process| process.ended().is_none()) {
            return Ok(());
        }
        let Setup { program, arguments, environment, .. } = &self.setup;
        let started = Process::start(program, arguments, environment, &self.log());
        *process = Some(started.map_err(|error| format!("{}: {error}", program.display()))?);
        Ok(())
    }

    /// Waits until it `is_ready`. An error has the last lines of its log: when it ends or is not ready within
    /// a minute.
    pub(super) async fn ready<F: Future<Output = bool>>(
        &self,
        is_ready: impl Fn() -> F,
    ) -> Result<(), String> {
        let patience = Patience::new(&*self.setup.runtime);
        let mut problem = "is not ready".to_owned();
        while patience.lasts().await {
            let ended = self.process().as_mut().map(Process::ended);
            match ended {
                Some(None) if is_ready().await => return Ok(()),
                Some(None) => continue,
                None => problem = "is not started".to_owned(),
                Some(Some(status)) => problem = format!("has ended: {status}"),
            }
            break;
        }
        Err(format!("{} {problem}; its log:\n{}", self.setup.name, tail(&self.log())))
    }

    /// SIGSTOP.
    pub(super) fn pause(&self) -> Result<(), String> {
        self.signal(Process::pause)
    }

    /// SIGCONT.
    pub(super) fn resume(&self) -> Result<(), String> {
        self.signal(Process::resume)
    }

    fn signal(&self, signal: impl FnOnce(&mut Process) -> io::Result<()>) -> Result<(), String> {
        let mut process = self.process();
        let process = process.as_mut().ok_or_else(|| format!("{} is not started", self.setup.name))?;
        signal(process).map_err(|error| format!("{}: {error}", self.setup.name))
    }

    /// Whether it runs and is not paused.
    pub(super) fn serves(&self) -> bool {
        self.process().as_mut().is_some_and(|process| !process.is_paused() && process.ended().is_none())
    }

    pub(super) fn log(&self) -> PathBuf {
        self.setup.folder.path().join(format!("{}.log", self.setup.name))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
