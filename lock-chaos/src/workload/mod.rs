//! A client: it takes turns on all lines, in every way, until it is told to stop.

mod held;
mod store;
pub(crate) use store::REGISTER;
mod turn;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use yourturn::{
    ErrorKind, Memory, Options,
    runtime::{Runtime as _, TokioRuntime},
};

use self::{store::Store, turn::Worker};
use crate::record::{Client, Record, What};

/// What a client is told when it starts; a process, as its argument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) client: Client,
    /// Where the store is.
    pub(crate) uri: String,
    /// Where the registers are.
    pub(crate) registers: SocketAddr,
    pub(crate) seed: u64,
    /// How many turns it takes at a time.
    pub(crate) workers: u64,
    /// How many lines there are.
    pub(crate) lines: usize,
    pub(crate) ttl: Duration,
    /// Mostly holds for long: so that those who are killed or stopped hold something.
    pub(crate) long_holds: bool,
    /// For tests of the checker: it never looks at a guard, and goes on writing when it was lost.
    pub(crate) broken: bool,
}

/// Where a client's records go.
pub(crate) type Log = Arc<dyn Fn(Record) + Send + Sync>;

/// What the workers of a client share.
pub(crate) struct Shared {
    pub(crate) job: Job,
    pub(crate) store: Store,
    log: Log,
    runtime: TokioRuntime,
    turns: AtomicU64,
    stopping: AtomicBool,
}

impl Shared {
    fn now(&self) -> Duration {
        self.runtime.now().since_zero()
    }

    fn note(&self, what: What) {
        self.note_at(self.now(), what);
    }

    fn note_at(&self, at: Duration, what: What) {
        (self.log)(Record { at, client: Some(self.job.client), what });
    }

    async fn sleep(&self, time: Duration) {
        self.runtime.sleep_until(self.runtime.now() + time).await;
    }
}

/// A way to make a client drop everything, from outside.
pub(crate) type Plug = Arc<OnceLock<yourturn::Coordinator>>;

/// Takes turns until `stop`; then finishes those that it has begun, and closes its session. `memory`: the
/// store, when it is in this process.
pub(crate) async fn run(
    job: Job,
    memory: Option<Memory>,
    log: Log,
    plug: Plug,
    stop: impl Future<Output = ()>,
) -> Result<(), String> {
    let runtime = TokioRuntime::current().map_err(|error| error.to_string())?;
    let options = Options::default().ttl(job.ttl).owner(job.client.to_string());
    let mut stop = pin!(stop);
    let store = loop {
        let opening = tokio::select! { biased;
            opened = Store::open(&job, memory.clone(), options.clone()) => opened,
            () = &mut stop => return Ok(()),
        };
        match opening {
            Ok(store) => break store,
            // Whatever a fault keeps from it, it will have when that is over.
            Err(error) if error.is_retryable() || error.kind() == ErrorKind::Full => {
                runtime.sleep_until(runtime.now() + PAUSE).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let _the_first = plug.set(store.coordinator.clone());
    let shared = Arc::new(Shared {
        job,
        store,
        log,
        runtime,
        turns: AtomicU64::default(),
        stopping: AtomicBool::default(),
    });
    let coordinator = &shared.store.coordinator;
    let slack = coordinator.capabilities().recovery_slack;
    shared.note(What::Connected { session: coordinator.session_id().to_string(), slack });
    let mut workers = JoinSet::new();
    for number in 0..shared.job.workers {
        let worker = Worker::new(Arc::clone(&shared), number).await.map_err(|error| error.to_string())?;
        workers.spawn(worker.work());
    }
    stop.await;
    shared.stopping.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|error| error.to_string())?;
    }
    let closed = shared.store.coordinator.close().await;
    shared.note(What::Closed);
    closed.or_else(|error| if error.is_retryable() { Ok(()) } else { Err(error.to_string()) })
}

/// After an error.
const PAUSE: Duration = Duration::from_millis(50);
