//! The simulated etcd as a store of the simulator.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lock_check::sim::{Chronicle, Store};
use lock_core::{ClaimId, LineId, SessionId, backend::Backend, runtime::SimulatedRuntime, sync::locked};
use lock_etcd::Etcd;

use crate::{
    cluster::{Cluster, MEMBERS, RECOVERY},
    flaw::Flaw,
    link::Link,
    mvcc::Keys,
    server::client,
    wire::{Streams, Wire},
};

const NAMESPACE: &str = "simulated";

/// Where those are in a line who are in it.
const PLACES: [&str; 4] = ["q/", "h/s/", "h/p/", "m/"];

/// What may outlive all sessions: cells, and the pointers of a queue whose last claim died.
const STAYS: [&str; 3] = ["/cell", "/tail", "/mark"];

pub(crate) struct Simulated(Arc<Cluster>);

impl Simulated {
    pub(crate) fn start(chronicle: &Arc<Chronicle>, flaw: Option<Flaw>) -> Arc<dyn Store> {
        Arc::new(Self(Cluster::start(chronicle, flaw)))
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        // What follows is text.
        let all = Keys::new(prefix.as_bytes(), &[prefix.as_bytes(), &[0xff]].concat());
        let name = |key: &[u8]| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        self.0.look(|mvcc| mvcc.in_range(&all).map(|kv| name(&kv.key)).collect())
    }
}

pub(crate) async fn backend(link: Link) -> Arc<dyn Backend> {
    Arc::new(Etcd::from_client(client(link).await, NAMESPACE).unwrap())
}

#[async_trait]
impl Store for Simulated {
    async fn way(&self, client: usize, machine: &SimulatedRuntime) -> Arc<dyn Backend> {
        let wire = Arc::new(Wire::to(client % MEMBERS));
        locked(&self.0.wires).push(wire.clone());
        backend(Link::new(self.0.clone(), wire, machine.clone())).await
    }

    async fn operators_way(&self) -> Arc<dyn Backend> {
        backend(Link::smooth(self.0.clone())).await
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn at_least(&self) -> u64 {
        10
    }

    fn recovery(&self) -> Duration {
        RECOVERY
    }

    fn claims(&self, line: &LineId) -> Vec<ClaimId> {
        let keys = self.keys(&format!("{NAMESPACE}/{}", line.key()));
        let claim = |key: &String| PLACES.iter().find_map(|place| key.strip_prefix(place)?.parse().ok());
        keys.iter().filter_map(claim).collect()
    }

    fn residue(&self) -> Vec<String> {
        let keys = self.keys("").into_iter().filter(|key| !STAYS.iter().any(|end| key.ends_with(end)));
        let leases =
            self.0.look(|mvcc| mvcc.leases().map(|lease| format!("lease {lease:x}")).collect::<Vec<_>>());
        keys.chain(leases).collect()
    }

    fn served(&self) -> Option<u64> {
        None
    }

    fn faults(&self) -> &[&'static str] {
        &[
            "compactions",
            "watch streams broken",
            "renewal streams broken",
            "renewals held back",
            "moves to another member that lags",
            "members that lag",
            "leaders deposed",
        ]
    }

    fn mishaps(&self) -> &[&'static str] {
        &[
            "messages late",
            "requests lost",
            "replies lost",
            "requests refused but applied",
            "requests applied after they were given up",
            "requests given up and applied twice",
            "streams refused",
            "watches told late",
            "messages of several transactions",
            "watches refused",
            "watches cancelled",
            "watches cancelled by a compaction",
            "events lost where a watch was resumed",
            "leases that ran out",
            "renewals by a deposed leader",
            "requests to a deposed leader",
        ]
    }

    async fn strike(&self, fault: &str, client: usize, _: SessionId) -> bool {
        let (cluster, wire) = (&self.0, locked(&self.0.wires)[client].clone());
        match fault {
            "compactions" => cluster.compact(),
            "watch streams broken" => wire.break_streams(Streams::Watches),
            "renewal streams broken" => wire.break_streams(Streams::Renewals),
            "renewals held back" => {
                wire.hold_renewals(cluster.now() + cluster.dice.millis(300..2500));
                true
            }
            "moves to another member that lags" => {
                cluster.lag(wire.move_on(MEMBERS));
                true
            }
            "members that lag" => {
                cluster.lag(wire.talk().member);
                true
            }
            "leaders deposed" => cluster.depose(wire.talk().member),
            other => unreachable!("{other} is none of its faults"),
        }
    }
}
