//! Processes that stand still for less than a session's timeout, and go on: stopped by a signal, or with a
//! runtime that is busy.

use std::{
    collections::BTreeMap,
    fmt,
    process::Stdio,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lock_core::{
    Moment,
    runtime::{Runtime as _, TokioRuntime},
};
use lock_testkit::server::zookeeper::{ZooKeeper, ZooKeeperOptions};
use lock_zk::client::{AddWatchMode, Client, EventType};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
};

use crate::support::{now, until};

pub(crate) const TICK: Duration = Duration::from_secs(1);
/// The shortest that the servers grant. The leader's count is coarse then, and simple rules are often wrong.
pub(crate) const TTL: Duration = Duration::from_secs(2);
const STOPPED: usize = 12;
const BUSY: usize = 4;
const STALLS: usize = 200;

/// Whose session was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Ours: when its guard was last seen valid, and until when it was to be.
    Guard,
    /// A plain client's: when its last ping and its last beat that were answered were sent.
    Plain,
}

/// What a process says of a session that it lost.
pub(crate) struct Loss {
    pub(crate) who: Who,
    /// The name of a node that ends with the session.
    pub(crate) session: String,
    pub(crate) times: [Moment; 2],
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.times.map(|time| time.since_zero().as_nanos());
        write!(f, "{:?} {} {first} {second}", self.who, self.session)
    }
}

impl FromStr for Loss {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let [who, session, first, second] = line.split(' ').collect::<Vec<_>>().try_into().map_err(drop)?;
        let who = if who == "Guard" { Who::Guard } else { Who::Plain };
        let time = |nanos: &str| Moment::from_zero(Duration::from_nanos(nanos.parse().unwrap()));
        Ok(Self { who, session: session.to_owned(), times: [time(first), time(second)] })
    }
}

/// A process that stands still now and then.
struct Holder {
    process: Child,
    stdin: ChildStdin,
    /// By a signal, or by having too much to do.
    stopped: bool,
}

impl Holder {
    fn start(server: &str, name: &str, stopped: bool, seen: &Arc<Seen>) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["holder", server, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                seen.losses.lock().unwrap().push(line.parse().unwrap());
            }
        });
        Self { stdin: process.stdin.take().unwrap(), process, stopped }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    async fn stand_still(&mut self, length: Duration) {
        if self.stopped {
            self.signal(Signal::STOP);
        } else {
            let line = format!("{}\n", length.as_millis());
            self.stdin.write_all(line.as_bytes()).await.unwrap();
        }
        tokio::time::sleep(length).await;
        if self.stopped {
            self.signal(Signal::CONT);
        }
    }

    /// Stands still again and again, until enough has been seen.
    async fn run(mut self, seen: Arc<Seen>) -> Self {
        let runtime = TokioRuntime::current().unwrap();
        let up_to = |percent: u64| TTL / 100 * u32::try_from(runtime.random_u64() % percent).unwrap();
        while !seen.enough.load(Ordering::Relaxed) {
            tokio::time::sleep(TTL / 100 * 15 + up_to(35)).await;
            // Long ones more often: they are closer to the end of the session.
            self.stand_still(TTL / 100 * 30 + up_to(60).max(up_to(60))).await;
            seen.stalls.fetch_add(1, Ordering::Relaxed);
        }
        self
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    stalls: AtomicUsize,
    enough: AtomicBool,
    losses: Mutex<Vec<Loss>>,
    /// When each session's node was seen to go, by somebody at the leader.
    ends: Mutex<BTreeMap<String, Moment>>,
}

impl Seen {
    /// Sees all nodes that go.
    async fn watch(self: Arc<Self>, server: &str) {
        let patient = Client::connector().with_session_timeout(Duration::from_secs(30));
        let client = patient.connect(server).await.unwrap();
        let mut watcher = client.watch("/", AddWatchMode::PersistentRecursive).await.unwrap();
        tokio::spawn(async move {
            let _client = client;
            loop {
                let event = watcher.changed().await;
                let at = now();
                if event.event_type == EventType::Session {
                    return eprintln!("sees no more: {:?}", event.session_state);
                }
                if event.event_type == EventType::NodeDeleted {
                    let name = event.path.rsplit('/').next().unwrap().to_owned();
                    self.ends.lock().unwrap().entry(name).or_insert(at);
                }
            }
        });
    }

    /// How much later than the end of its session each deadline is, by this rule.
    fn excess(&self, who: Who, deadline: impl Fn(&Loss) -> Moment) -> Vec<Duration> {
        let (losses, ends) = (self.losses.lock().unwrap(), self.ends.lock().unwrap());
        let lost = losses.iter().filter(|loss| loss.who == who);
        let excess = lost.filter_map(|loss| Some(deadline(loss).saturating_since(*ends.get(&loss.session)?)));
        excess.filter(|excess| !excess.is_zero()).collect()
    }

    fn lost(&self, who: Who) -> usize {
        self.losses.lock().unwrap().iter().filter(|loss| loss.who == who).count()
    }

    fn knows_all_ends(&self) -> bool {
        let ends = self.ends.lock().unwrap();
        self.losses.lock().unwrap().iter().all(|loss| ends.contains_key(&loss.session))
    }
}

const PING: (&str, fn(&Loss) -> Moment) = ("last ping + ttl", |loss| loss.times[0] + TTL);
const BEAT: (&str, fn(&Loss) -> Moment) = ("last beat + ttl", |loss| loss.times[1] + TTL);
const HALF: (&str, fn(&Loss) -> Moment) = ("last beat + ttl/2", |loss| loss.times[1] + TTL / 2);

pub(crate) async fn stalls() {
    let options = ZooKeeperOptions { servers: 3, tick: TICK, ..ZooKeeperOptions::default() };
    let server = ZooKeeper::with(options).await.unwrap();
    let endpoints = server.endpoints();
    let leader = server.leader().await.unwrap();
    let seen = Arc::new(Seen::default());
    seen.clone().watch(&endpoints[leader]).await;
    let mut holders = Vec::new();
    for number in 0..STOPPED + BUSY {
        let follower = &endpoints[(leader + 1 + number % 2) % 3];
        let holder = Holder::start(follower, &number.to_string(), number < STOPPED, &seen);
        holders.push(tokio::spawn(holder.run(seen.clone())));
    }
    until("enough stalls, each rule refuted", async || {
        let refuted = [PING, BEAT, HALF].iter().all(|(_, rule)| !seen.excess(Who::Plain, rule).is_empty());
        refuted && seen.stalls.load(Ordering::Relaxed) >= STALLS
    })
    .await;
    seen.enough.store(true, Ordering::Relaxed);
    let mut running = Vec::new();
    for holder in holders {
        running.push(holder.await.unwrap());
    }
    until("each session that was lost has ended", async || seen.knows_all_ends()).await;

    let (guards, sessions) = (seen.lost(Who::Guard), seen.lost(Who::Plain));
    println!(
        "{} stalls of 0.3 to 0.9 of ttl {TTL:?}: {guards} guards lost, none valid after its session; {sessions} \
         plain sessions ended:",
        seen.stalls.load(Ordering::Relaxed)
    );
    for (name, rule) in [PING, BEAT, HALF] {
        let excess = seen.excess(Who::Plain, rule);
        println!("{name} too late {} times, by up to {:?}", excess.len(), excess.iter().max().unwrap());
    }
    assert_eq!(
        seen.excess(Who::Guard, |loss| loss.times[0]),
        Vec::<Duration>::new(),
        "guards were seen valid too late"
    );
    assert_eq!(
        seen.excess(Who::Guard, |loss| loss.times[1]),
        Vec::<Duration>::new(),
        "guards were to be valid too long"
    );
    assert!(guards > 0);
}
