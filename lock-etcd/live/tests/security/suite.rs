//! The conformance suite by way of a [`Config`](lock_etcd::Config): TLS, client certificates, a user with the
//! documented role. Losing replies and freezing renewals needs a hand inside the connection: that part is
//! `tests/conformance`'s.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::GetOptions;
use lock_core::{SessionId, backend::Backend, runtime::SharedRuntime};
use lock_etcd::Etcd;
use lock_testkit::{
    harness::{self, Control, Harness},
    machine::Machine,
    server::etcd::EtcdOptions,
    suite,
};

use crate::world::{BILLING, Guarded};

struct Secured;

#[async_trait]
impl Harness for Secured {
    async fn store(&self) -> Result<Box<dyn harness::Store>, String> {
        // Cases with many clients are not about how long it takes to check their passwords.
        let arguments = vec!["--bcrypt-cost=4".to_owned()];
        let guarded = Guarded::start(EtcdOptions { arguments, ..EtcdOptions::default() }).await;
        let machine = Machine::new().map_err(|error| error.to_string())?;
        Ok(Box::new(Store { guarded, machine }))
    }

    fn at_once(&self) -> usize {
        8
    }
}

struct Store {
    guarded: Guarded,
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
        let config = self.guarded.config("program").credentials(BILLING, self.guarded.password());
        Box::new(Party { backend: Arc::new(Etcd::new(config)), machine: Machine::new().unwrap() })
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.guarded.cluster.server.requests().await.unwrap())
    }

    async fn residue(&self) -> Vec<String> {
        let everything = GetOptions::new().with_prefix().with_keys_only();
        let keys =
            self.guarded.cluster.etcd.kv_client().get(format!("{BILLING}/"), Some(everything)).await.unwrap();
        let keys = keys.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned());
        let leases = self.guarded.cluster.etcd.lease_client().leases().await.unwrap();
        let leases = leases.leases().iter().map(|lease| format!("lease {}", lease.id()));
        keys.filter(|key| !key.ends_with("/cell")).chain(leases).collect()
    }

    async fn finish(&self) {
        self.guarded.cluster.server.stop();
    }

    async fn restart(&self) -> Control {
        self.guarded.cluster.server.restart().await.unwrap();
        Control::Done
    }
}

struct Party {
    backend: Arc<Etcd>,
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

    async fn freeze_renewals(&self, _: SessionId, _: bool) -> Control {
        ENCRYPTED
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
async fn a_user_with_the_documented_role_over_tls_keeps_every_clause() {
    let report = suite::run(&Secured).await;
    println!("{report}");
    assert_eq!(report.failures(), []);
    let mut unsupported = report.unsupported();
    unsupported.retain(|(_, _, why)| *why != "the connection is encrypted");
    assert_eq!(unsupported, []);
    // Every case but for those that need that hand.
    assert_eq!((report.passed(), report.unsupported().len()), (suite::OUTCOMES - 25, 25));
}
