//! Sessions whose renewals are answered by somebody who does not lead.

use std::sync::Arc;

use lock_check::sim::{Chronicle, TTL};
use lock_core::{Health, LostReason, SessionId, SessionOptions, runtime::SimulatedRuntime};

use crate::{cluster::Cluster, link::Link, store::backend};

/// As behind a member that hears of the new leader between the renewal and the read. Seen to fail: when the terms need not
/// be the same.
#[tokio::test(start_paused = true)]
async fn c7_a_renewal_counts_only_if_who_has_answered_it_leads() {
    for seed in 0..20 {
        let chronicle = Arc::new(Chronicle::new(seed));
        let cluster = Cluster::start(&chronicle, None);
        let link = Link::smooth(cluster.clone());
        let wire = link.wire.clone();
        let runtime = SimulatedRuntime::new(seed).unwrap().shared();
        let options = SessionOptions { id: SessionId::new(7), ttl: TTL, runtime };
        let session = backend(link).await.open(options).await.unwrap();
        chronicle.sleep(TTL * 3).await;
        assert!(session.lease().check().is_ok(), "seed {seed}: {:?}", session.lease().health());
        wire.renew_in(cluster.change_leader());
        chronicle.sleep(TTL).await;
        assert_eq!(session.lease().health(), Health::Lost(LostReason::Deadline), "seed {seed}");
        session.close().await.unwrap();
    }
}
