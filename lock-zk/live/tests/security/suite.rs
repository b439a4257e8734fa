//! The conformance suite by way of a [`Config`](lock_zk::Config): TLS, client certificates, credentials. Losing
//! replies and counting requests needs an eye inside the connection: that part is `tests/conformance`'s.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lock_core::{SessionId, backend::Backend, runtime::SharedRuntime};
use lock_testkit::{
    harness::{self, Control, Harness},
    live::{Lent, Pool},
    machine::Machine,
    proxy::{Fault, Proxy},
    suite,
};
use lock_zk::Zk;

use crate::world::{Guarded, at, secure};

/// Each case has a namespace that nobody had before.
struct Secured {
    servers: Pool<Guarded>,
    cases: AtomicU64,
}

/// How many servers there are.
const AT_ONCE: usize = 6;

impl Secured {
    async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..AT_ONCE {
            let guarded = Guarded::start().await;
            guarded.warm_up().await;
            servers.push(guarded);
        }
        Self { servers: servers.into_iter().collect(), cases: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Harness for Secured {
    async fn store(&self) -> Result<Box<dyn harness::Store>, String> {
        let guarded = self.servers.lend()?;
        let namespace = format!("suite/{}", self.cases.fetch_add(1, Ordering::Relaxed));
        let machine = Machine::new().map_err(|error| error.to_string())?;
        Ok(Box::new(Store { guarded, namespace, machine }))
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }
}

struct Store {
    guarded: Lent<Guarded>,
    namespace: String,
    machine: Machine,
}

#[async_trait]
impl harness::Store for Store {
    fn runtime(&self) -> SharedRuntime {
        self.machine.shared()
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(3)
    }

    async fn client(&self) -> Box<dyn harness::Client> {
        let link = Proxy::start(secure(&self.guarded.cluster)[0]).await.unwrap();
        let config = at([link.address()]).tls(self.guarded.tls("program")).credentials("billing", "open");
        // Several servers start, and speak TLS, on the few cores of a test machine.
        let config = config.connect_timeout(Duration::from_secs(30)).unwrap();
        let backend = Arc::new(Zk::new(config.namespace(&self.namespace).unwrap()).unwrap());
        Box::new(Party { backend, link, machine: Machine::new().unwrap() })
    }

    async fn requests(&self) -> Option<u64> {
        None
    }

    async fn residue(&self) -> Vec<String> {
        self.guarded.cluster.ephemerals_under(&self.namespace).await
    }

    async fn restart(&self) -> Control {
        let guarded = Arc::clone(&self.guarded);
        guarded.cluster.server.restart().await.unwrap();
        // On a thread of its own: with async closures below it, it is not known to be `Send`.
        let warm_up = move || tokio::runtime::Handle::current().block_on(guarded.warm_up());
        tokio::task::spawn_blocking(warm_up).await.unwrap();
        Control::Done
    }
}

struct Party {
    backend: Arc<Zk>,
    link: Proxy,
    machine: Machine,
}

const ENCRYPTED: Control = Control::Unsupported("the connection is encrypted");

#[async_trait]
impl harness::Client for Party {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn runtime(&self) -> SharedRuntime {
        self.machine.shared()
    }

    /// Every request renews a session, so none may pass.
    async fn freeze_renewals(&self, _: SessionId, frozen: bool) -> Control {
        self.link.set(if frozen { Fault::Blackhole } else { Fault::Pass });
        Control::Done
    }

    async fn lose_reply(&self, _: SessionId, _: u64) -> Control {
        ENCRYPTED
    }

    async fn lost_replies(&self, _: SessionId) -> u64 {
        0
    }

    async fn advance_clock(&self, by: Duration) -> Control {
        self.machine.suspend(by);
        Control::Done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_a_certificate_over_tls_keeps_every_clause() {
    let report = suite::run(&Secured::start().await).await;
    println!("{report}");
    assert_eq!(report.failures(), []);
    let unseen = ["the connection is encrypted", "its requests cannot be told from renewals"];
    let mut unsupported = report.unsupported();
    unsupported.retain(|(_, _, why)| !unseen.contains(why));
    assert_eq!(unsupported, []);
    // Every case but for those that need that eye.
    assert_eq!((report.passed(), report.unsupported().len()), (suite::OUTCOMES - 22, 22));
}
