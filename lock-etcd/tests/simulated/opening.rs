//! Sessions that are opened while answers are lost.

use std::{sync::Arc, time::Duration};

use lock_check::sim::{Chronicle, TTL};
use lock_core::{SessionId, SessionOptions, runtime::SimulatedRuntime};

use crate::{cluster::Cluster, link::Link, store::backend, wire::Fate};

/// What is asked when the lease is there already may be carried out later: then it must not end the lease.
#[tokio::test(start_paused = true)]
async fn c7_a_session_whose_lease_was_granted_without_an_answer_keeps_it() {
    for seed in 0..20 {
        let chronicle = Arc::new(Chronicle::new(seed));
        let link = Link::smooth(Cluster::start(&chronicle, None));
        link.wire.plan([Fate::ReplyLost, Fate::Answered, Fate::AppliedLater]);
        let runtime = SimulatedRuntime::new(seed).unwrap().shared();
        let options = SessionOptions { id: SessionId::new(7), ttl: TTL, runtime };
        let session = backend(link).await.open(options).await.unwrap();
        chronicle.sleep(Duration::from_secs(5)).await;
        assert!(session.lease().check().is_ok(), "seed {seed}: {:?}", session.lease().health());
        session.close().await.unwrap();
    }
}
