//! The way to the store: one session of ZooKeeper's client, which reconnects by itself.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::{FutureExt as _, future::join};
use lock_core::{
    Error, ErrorKind, Lease, LostReason, Result,
    runtime::{SharedRuntime, jitter},
};
use tokio::sync::oneshot;
use zookeeper_client::{self as zk, Acls, Client, CreateMode, MultiWriteError, MultiWriteResult, Stat};

use crate::error::{denied, is_unanswered, no_root, translated};

/// How long to wait, at most, before something is asked again: the client itself waits for the next
/// connection.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// One session with ZooKeeper.
pub(crate) struct Connection {
    /// None once the session has been abandoned.
    client: RwLock<Option<Arc<Client>>>,
    /// Under which everything lies.
    root: String,
    /// ZooKeeper's number of the session.
    pub(crate) owner: i64,
    /// Who may do what with the nodes that we make.
    pub(crate) acls: Acls<'static>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) runtime: SharedRuntime,
}

/// One step of a [`Connection::commit`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// The node is there.
    Check(&'a str),
    Delete(&'a str),
    /// At this version, or at any.
    SetData(&'a str, &'a [u8], Option<i32>),
    Create(&'a str, &'a [u8], CreateMode),
}

/// Why nothing of a commit was done; `at`: the step that could not be.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) at: Option<usize>,
    pub(crate) error: zk::Error,
}

/// Asks until there is an answer; `$request` must do no harm when it is made again.
macro_rules! persist {
    ($connection:expr, $request:expr) => {
        loop {
            match $request.await {
                Err(error) if $crate::error::is_unanswered(&error) => $connection.go_on(error).await?,
                said => break said,
            }
        }
    };
}
pub(crate) use persist;

impl Connection {
    pub(crate) fn new(
        client: Client,
        root: &str,
        acls: Acls<'static>,
        lease: Arc<Lease>,
        runtime: SharedRuntime,
    ) -> Self {
        let owner = client.session_id().0;
        let client = RwLock::new(Some(Arc::new(client)));
        Self { client, root: root.to_owned(), owner, acls, lease, runtime }
    }

    /// # Errors
    ///
    /// The session was abandoned.
    pub(crate) fn client(&self) -> Result<Arc<Client>> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| Error::lost(LostReason::Abandoned))
    }

    /// Says nothing more; what others still hold of the client ends with their requests.
    pub(crate) fn cut(&self) -> Option<Arc<Client>> {
        self.client.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has the runtime drive `call`, whether the caller polls it or not: until it ends it keeps others of the
    /// session waiting, who go on by themselves, and the client, which keeps a session alive that was abandoned.
    /// With the caller's future it is dropped. What it asks for first is asked for before the task begins: with two
    /// clients that was a tenth of a turn.
    pub(crate) fn driven<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        // A box from the beginning, or ten thousand who join would each have room for it twice.
        let (runtime, mut call) = (self.runtime.clone(), Box::pin(call));
        async move {
            if let Some(outcome) = call.as_mut().now_or_never() {
                return outcome;
            }
            let (mut answer, outcome) = oneshot::channel();
            runtime.spawn(Box::pin(async move {
                let outcome = tokio::select! { biased;
                    () = answer.closed() => return,
                    outcome = call => outcome,
                };
                // Nobody hears it who has gone meanwhile.
                drop(answer.send(outcome));
            }));
            let ended = |_| Err(Error::lost(LostReason::RuntimeStopped).with_unknown_effect());
            outcome.await.unwrap_or_else(ended)
        }
    }

    /// A request was not answered: whether to make it again.
    ///
    /// # Errors
    ///
    /// The session is over.
    pub(crate) async fn go_on(&self, error: zk::Error) -> Result<()> {
        if self.client()?.state().is_terminated() {
            let over = Error::new(ErrorKind::SessionLost, "ZooKeeper has ended the session");
            return Err(over.with_source(error));
        }
        tracing::debug!(%error, "a request was not answered");
        jitter(&*self.runtime, PAUSE).await;
        Ok(())
    }

    /// Waits until what this session reads is no older than this call. Behind it, requests may follow at
    /// once.
    pub(crate) async fn sync(&self, path: &str) -> Result<()> {
        let client = self.client()?;
        persist!(self, client.sync(path)).map_err(translated)
    }

    /// The node at `path` as it is now.
    pub(crate) async fn stat(&self, path: &str) -> Result<Option<Stat>> {
        let client = self.client()?;
        let said = persist!(self, async {
            let (synced, stat) = join(client.sync(path), client.check_stat(path)).await;
            synced.and(stat)
        });
        said.map_err(translated)
    }

    /// Waits until every request that this session has made before has been carried out, or never will be.
    ///
    /// By a write that changes nothing. A `sync` would not do: it asks no quorum, so a leader that has been
    /// deposed answers it too.
    pub(crate) async fn settle(&self) -> Result<()> {
        loop {
            match self.beat().await? {
                Err(failed) if failed.is_unanswered() => self.go_on(failed.error).await?,
                Err(Failed { at: None, error }) => return Err(translated(error)),
                Ok(_) | Err(Failed { at: Some(_), .. }) => return Ok(()),
            }
        }
    }

    /// Has the leader carry something out that changes nothing.
    pub(crate) async fn beat(&self) -> Result<Result<Vec<MultiWriteResult>, Failed>> {
        self.commit(&[Step::Check(&self.root)]).await
    }

    /// All of it or nothing.
    pub(crate) async fn commit(&self, steps: &[Step<'_>]) -> Result<Result<Vec<MultiWriteResult>, Failed>> {
        let client = self.client()?;
        let mut writer = client.new_multi_writer();
        for step in steps {
            match *step {
                Step::Check(path) => writer.add_check_version(path, -1),
                Step::Delete(path) => writer.add_delete(path, None),
                Step::SetData(path, data, version) => writer.add_set_data(path, data, version),
                Step::Create(path, data, mode) => writer.add_create(path, data, &mode.with_acls(self.acls)),
            }
            .map_err(translated)?;
        }
        Ok(writer.commit().await.map_err(|error| match error {
            MultiWriteError::RequestFailed { source } => Failed { at: None, error: source },
            MultiWriteError::OperationFailed { index, source } => Failed { at: Some(index), error: source },
        }))
    }

    /// Makes these containers, each in the one before it, as far as they are not there; the first lies in the root.
    pub(crate) async fn make_containers<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<()> {
        self.make_all(CreateMode::Container, paths).await
    }

    /// Makes these nodes, each in the one before it, as far as they are not there; the first lies in the root.
    pub(crate) async fn make_all<'a>(
        &self,
        mode: CreateMode,
        paths: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        let client = self.client()?;
        let options = mode.with_acls(self.acls);
        for (depth, path) in paths.enumerate() {
            match persist!(self, client.create(path, b"", &options)) {
                Err(zk::Error::NoNode) if depth == 0 => return Err(no_root(client.path())),
                // The server removes one that is empty at any time: who needs it comes again.
                Ok(_) | Err(zk::Error::NodeExists | zk::Error::NoNode) => {}
                // In a parent that is not ours, what is there may be ours.
                Err(zk::Error::NoAuth) => {
                    if persist!(self, client.check_stat(path)).map_err(translated)?.is_none() {
                        return Err(denied(path));
                    }
                }
                Err(error) => return Err(translated(error)),
            }
        }
        Ok(())
    }
}

impl Failed {
    /// Whether it is not known if it was done.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.at.is_none() && is_unanswered(&self.error)
    }

    /// Whether this step found no node.
    pub(crate) fn has_no_node(&self, step: usize) -> bool {
        self.at == Some(step) && self.error == zk::Error::NoNode
    }
}
