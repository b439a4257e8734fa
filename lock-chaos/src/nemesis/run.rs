//! How each fault is done, and undone.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lock_testkit::proxy::{Direction, Fault};
use tokio::task::JoinSet;

use super::{
    Kind,
    schedule::{Phase, Planned},
};
use crate::{
    chronicle::Chronicle,
    cluster::{Cluster, Operation, Ways},
    crew::Crew,
    record::What,
};

/// Does what a schedule says.
pub(crate) struct Nemesis {
    pub(crate) crew: Arc<Crew>,
    /// None: the store is in this process.
    pub(crate) cluster: Option<Arc<dyn Cluster>>,
    pub(crate) ways: Ways,
    pub(crate) chronicle: Chronicle,
    /// What is broken already, and must not be healed by the end of another fault.
    broken: Mutex<HashSet<Target>>,
}

/// What a fault breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    Client(usize),
    Ways(usize),
    Server(usize),
    Peers(usize, usize),
    Store,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(client) => write!(f, "c{client}"),
            Self::Ways(client) => write!(f, "c{client}-s*"),
            Self::Server(node) => write!(f, "s{node}"),
            Self::Peers(one, other) => write!(f, "s{one}-s{other}"),
            Self::Store => f.write_str("store"),
        }
    }
}

/// What is over when this is dropped.
struct Claimed<'a>(&'a Nemesis, Vec<Target>);

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut broken = self.0.broken.lock().unwrap_or_else(PoisonError::into_inner);
        self.1.iter().for_each(|target| {
            broken.remove(target);
        });
    }
}

/// How often a slow way stops, and goes on.
const BEAT: Duration = Duration::from_millis(60);

impl Nemesis {
    pub(crate) fn new(
        crew: Arc<Crew>,
        cluster: Option<Arc<dyn Cluster>>,
        ways: Ways,
        chronicle: Chronicle,
    ) -> Arc<Self> {
        Arc::new(Self { crew, cluster, ways, chronicle, broken: Mutex::default() })
    }

    /// One phase after the other.
    pub(crate) async fn rage(self: Arc<Self>, phases: Vec<Phase>) -> Result<(), String> {
        for phase in phases {
            let mut faults = JoinSet::new();
            let start = self.chronicle.now();
            for planned in phase.faults {
                let this = Arc::clone(&self);
                faults.spawn(async move {
                    this.chronicle.sleep(planned.at).await;
                    this.inflict(planned).await;
                });
            }
            let rest = (start + phase.storm).saturating_sub(self.chronicle.now());
            self.chronicle.sleep(rest).await;
            while let Some(ended) = faults.join_next().await {
                ended.map_err(|error| error.to_string())?;
            }
            self.heal().await?;
            self.chronicle.note(None, What::Calm);
            self.chronicle.sleep(phase.calm).await;
            self.chronicle.note(None, What::Storm);
        }
        Ok(())
    }

    /// Everything is well again when this is done.
    async fn heal(&self) -> Result<(), String> {
        self.ways.heal();
        let Some(cluster) = &self.cluster else { return Ok(()) };
        cluster.heal();
        for node in 0..cluster.nodes() {
            cluster.launch(node)?;
        }
        cluster.ready().await
    }

    async fn inflict(&self, planned: Planned) {
        let number = planned.number;
        if let Err(why) = self.attempt(&planned).await {
            self.chronicle.note(None, What::Skipped { number, why });
        }
    }

    /// An error when the fault cannot be had now.
    async fn attempt(&self, planned: &Planned) -> Result<(), String> {
        match planned.kind {
            Kind::Kill | Kind::Stop => self.hit_client(planned).await,
            Kind::Cut
            | Kind::CutServer
            | Kind::OneWay
            | Kind::Reset
            | Kind::Refuse
            | Kind::Delay
            | Kind::Slow
            | Kind::LoseReply => self.hit_ways(planned).await,
            Kind::ServerKill
            | Kind::ServerPause
            | Kind::LeaderKill
            | Kind::LeaderPause
            | Kind::LeaderCut
            | Kind::PeerCut => self.hit_server(planned).await,
            Kind::PeerSplit | Kind::PeerOneWay | Kind::PeerDelay => self.hit_peers(planned).await,
            Kind::Compact | Kind::Defragment | Kind::Full => self.hit_store(planned).await,
        }
    }

    /// The targets, for as long as the answer lives; an error when one is broken already.
    fn claim(&self, targets: Vec<Target>) -> Result<Claimed<'_>, String> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = targets.iter().find(|target| broken.contains(target)) {
            return Err(format!("{taken} is broken already"));
        }
        broken.extend(targets.iter().copied());
        drop(broken);
        Ok(Claimed(self, targets))
    }

    fn begins(&self, planned: &Planned, target: impl std::fmt::Display) {
        let (number, kind) = (planned.number, planned.kind.name());
        self.chronicle.note(None, What::Fault { number, kind, target: target.to_string() });
    }

    async fn lasts(&self, planned: &Planned) {
        self.chronicle.sleep(planned.lasting).await;
    }

    fn is_over(&self, planned: &Planned) {
        self.chronicle.note(None, What::Healed { number: planned.number });
    }

    async fn hit_client(&self, planned: &Planned) -> Result<(), String> {
        let target = Target::Client(planned.client);
        let _claimed = self.claim(vec![target])?;
        self.begins(planned, target);
        if planned.kind == Kind::Kill {
            self.crew.kill(planned.client).await.map_err(|error| error.to_string())?;
            self.lasts(planned).await;
            self.crew.begin(planned.client).await.map_err(|error| error.to_string())?;
        } else {
            self.crew.pause(planned.client, planned.lasting).await.map_err(|error| error.to_string())?;
        }
        self.is_over(planned);
        Ok(())
    }

    async fn hit_ways(&self, planned: &Planned) -> Result<(), String> {
        let Planned { client, node, amount, .. } = *planned;
        let target = Target::Ways(client);
        let _claimed = self.claim(vec![target])?;
        let one = |fault| self.ways.set(client, Some(node), fault);
        let all = |fault| self.ways.set(client, None, fault);
        match planned.kind {
            Kind::CutServer | Kind::Refuse => self.begins(planned, format_args!("c{client}-s{node}")),
            Kind::LoseReply => self.lose_reply(planned),
            _ => self.begins(planned, target),
        }
        match planned.kind {
            Kind::Cut => all(Fault::Blackhole),
            Kind::CutServer => one(Fault::Blackhole),
            Kind::OneWay if amount % 2 == 0 => all(Fault::OneWay(Direction::ToClient)),
            Kind::OneWay => all(Fault::OneWay(Direction::ToServer)),
            Kind::Reset => all(Fault::Reset),
            Kind::Refuse => one(Fault::Refuse),
            Kind::Delay => all(Fault::Delay(Duration::from_millis(10 + amount % 400))),
            Kind::Slow => return self.slow(planned).await,
            _ => {}
        }
        self.lasts(planned).await;
        all(Fault::Pass);
        self.is_over(planned);
        Ok(())
    }

    /// Nothing passes half of the time.
    async fn slow(&self, planned: &Planned) -> Result<(), String> {
        let end = self.chronicle.now() + planned.lasting;
        while self.chronicle.now() < end {
            for fault in [Fault::Blackhole, Fault::Pass] {
                self.ways.set(planned.client, None, fault);
                self.chronicle.sleep(BEAT).await;
            }
        }
        self.is_over(planned);
        Ok(())
    }

    /// Where replies can be counted, the k-th one of a server from now; else the one of a client that comes
    /// after so many bytes.
    fn lose_reply(&self, planned: &Planned) {
        let Planned { client, node, amount, .. } = *planned;
        let lost = self.cluster.as_ref().and_then(|cluster| cluster.lose_reply(node, amount % 20));
        if lost.is_some() {
            return self.begins(planned, Target::Server(node));
        }
        self.begins(planned, Target::Ways(client));
        self.ways.set(client, None, Fault::CutAfter(amount % 3000));
    }

    fn servers(&self) -> Result<&dyn Cluster, String> {
        self.cluster.as_deref().ok_or_else(|| "there are no servers".to_owned())
    }

    async fn hit_server(&self, planned: &Planned) -> Result<(), String> {
        let cluster = self.servers()?;
        let node = match planned.kind {
            Kind::LeaderKill | Kind::LeaderPause | Kind::LeaderCut => {
                cluster.leader().await.ok_or("nobody leads")?
            }
            _ => planned.node,
        };
        let target = Target::Server(node);
        let _claimed = self.claim(vec![target])?;
        self.begins(planned, target);
        match planned.kind {
            Kind::ServerKill | Kind::LeaderKill => {
                cluster.kill(node);
                self.lasts(planned).await;
                cluster.launch(node)?;
            }
            Kind::ServerPause | Kind::LeaderPause => {
                cluster.pause(node)?;
                self.lasts(planned).await;
                cluster.resume(node)?;
            }
            _ => {
                let others = || (0..cluster.nodes()).filter(|other| *other != node);
                others().try_for_each(|other| cluster.separate(node, other, Fault::Blackhole))?;
                self.lasts(planned).await;
                others().try_for_each(|other| cluster.separate(node, other, Fault::Pass))?;
            }
        }
        self.is_over(planned);
        Ok(())
    }

    async fn hit_peers(&self, planned: &Planned) -> Result<(), String> {
        let cluster = self.servers()?;
        let (one, other) = (planned.node, planned.other);
        let _claimed = self.claim(vec![Target::Peers(one.min(other), one.max(other))])?;
        self.begins(planned, Target::Peers(one, other));
        match planned.kind {
            Kind::PeerSplit => cluster.separate(one, other, Fault::Blackhole)?,
            Kind::PeerOneWay => cluster.mute(one, other, true)?,
            _ => {
                cluster.separate(one, other, Fault::Delay(Duration::from_millis(5 + planned.amount % 150)))?
            }
        }
        self.lasts(planned).await;
        cluster.separate(one, other, Fault::Pass)?;
        self.is_over(planned);
        Ok(())
    }

    async fn hit_store(&self, planned: &Planned) -> Result<(), String> {
        let cluster = self.servers()?;
        let _claimed = self.claim(vec![Target::Store])?;
        self.begins(planned, Target::Store);
        match planned.kind {
            Kind::Compact => cluster.operate(Operation::Compact).await?,
            Kind::Defragment => cluster.operate(Operation::Defragment(planned.node)).await?,
            _ => {
                // One that did not answer may be full all the same.
                let filled = cluster.operate(Operation::Fill).await;
                self.lasts(planned).await;
                // However long it takes: a store that stays full makes no progress.
                while cluster.operate(Operation::Clear).await.is_err() {
                    self.chronicle.sleep(BEAT).await;
                }
                filled?;
            }
        }
        self.is_over(planned);
        Ok(())
    }
}

impl Nemesis {
    /// Notes who leads, whenever that changes; for ever.
    pub(crate) async fn watch_leader(self: Arc<Self>) {
        let Some(cluster) = &self.cluster else { return };
        let mut known = None;
        loop {
            if let Some(node) = cluster.leader().await.filter(|node| known != Some(*node)) {
                known = Some(node);
                self.chronicle.note(None, What::Leader { node });
            }
            self.chronicle.sleep(BEAT * 4).await;
        }
    }
}
