//! The clients: as processes that are killed and stopped, or, where the store is in this process, as tasks
//! that are dropped.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
};
use yourturn::Memory;

use crate::{
    chronicle::Chronicle,
    process::Process,
    record::{Client, What},
    workload::{self, Job, Plug},
};

/// Once all is quiet, what a client has begun has ended within this: whoever is told to finish and does not is
/// stuck.
const LAST_TURNS: Duration = Duration::from_secs(30);

/// All clients.
pub(crate) struct Crew {
    members: Vec<Mutex<Member>>,
    chronicle: Chronicle,
    plan: CrewPlan,
}

/// What the clients are made with.
pub(crate) struct CrewPlan {
    /// Each one's way to the store.
    pub(crate) uris: Vec<String>,
    /// The store, when it is in this process.
    pub(crate) memory: Option<Memory>,
    pub(crate) registers: SocketAddr,
    pub(crate) seed: u64,
    pub(crate) workers: u64,
    pub(crate) lines: usize,
    pub(crate) ttl: Duration,
    pub(crate) long_holds: bool,
    /// The first client is broken.
    pub(crate) broken: bool,
}

struct Member {
    client: Client,
    running: Option<Running>,
}

enum Running {
    Process(Box<Process>),
    Tasks { plug: Plug, stop: Option<oneshot::Sender<()>>, ended: JoinHandle<Result<(), String>> },
}

impl Running {
    async fn kill(self) -> io::Result<()> {
        match self {
            Self::Process(process) => process.kill().await,
            Self::Tasks { plug, ended, .. } => {
                if let Some(coordinator) = plug.get() {
                    coordinator.abandon();
                }
                ended.abort();
                let _it_was_aborted = ended.await;
                Ok(())
            }
        }
    }

    /// Lets it end what it has begun; an error says what it died of.
    async fn finish(&mut self) -> Result<(), String> {
        match self {
            Self::Process(process) => process.finish().await.map_err(|error| error.to_string()),
            Self::Tasks { stop, ended, .. } => {
                let _it_listens = stop.take().map(|stop| stop.send(()));
                ended.await.unwrap_or_else(|error| Err(error.to_string()))
            }
        }
    }
}

impl Crew {
    /// Starts everybody.
    pub(crate) async fn start(plan: CrewPlan, chronicle: Chronicle) -> io::Result<Self> {
        let member = |number| Mutex::new(Member { client: Client { number, life: 0 }, running: None });
        let members = (0..plan.uris.len()).map(member).collect();
        let crew = Self { members, chronicle, plan };
        for number in 0..crew.members.len() {
            crew.begin(number).await?;
        }
        Ok(crew)
    }

    /// Begins the client's next life, unless it lives.
    pub(crate) async fn begin(&self, number: usize) -> io::Result<()> {
        let member = self.members.get(number).ok_or(io::ErrorKind::NotFound)?;
        let mut member = member.lock().await;
        if member.running.is_some() {
            return Ok(());
        }
        let CrewPlan { uris, memory, registers, seed, workers, lines, ttl, long_holds, broken } = &self.plan;
        let client = member.client;
        let job = Job {
            client,
            uri: uris.get(number).cloned().ok_or(io::ErrorKind::NotFound)?,
            registers: *registers,
            seed: *seed,
            workers: *workers,
            lines: *lines,
            ttl: *ttl,
            long_holds: *long_holds,
            broken: *broken && number == 0,
        };
        self.chronicle.note(Some(client), What::Started);
        member.running = Some(match memory {
            None => Running::Process(Box::new(Process::start(&job, self.chronicle.clone())?)),
            Some(memory) => tasks(job, memory.clone(), self.chronicle.clone()),
        });
        Ok(())
    }

    /// Kills the client. False when it does not live.
    pub(crate) async fn kill(&self, number: usize) -> io::Result<bool> {
        let member = self.members.get(number).ok_or(io::ErrorKind::NotFound)?;
        let mut member = member.lock().await;
        let Some(running) = member.running.take() else { return Ok(false) };
        let client = member.client;
        member.client.life += 1;
        running.kill().await?;
        self.chronicle.note(Some(client), What::Killed);
        Ok(true)
    }

    /// Stops the client for so long. False when it does not live; an error when it is killed meanwhile.
    pub(crate) async fn pause(&self, number: usize, time: Duration) -> io::Result<bool> {
        if !self.signal(number, Signal::STOP).await? {
            return Ok(false);
        }
        self.chronicle.sleep(time).await;
        self.signal(number, Signal::CONT).await
    }

    async fn signal(&self, number: usize, signal: Signal) -> io::Result<bool> {
        let member = self.members.get(number).ok_or(io::ErrorKind::NotFound)?;
        let member = member.lock().await;
        match &member.running {
            Some(Running::Process(process)) => process.signal(signal).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Lets everybody finish, and kills who is stuck. An error names what somebody died of.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        let mut all = Vec::new();
        for member in &self.members {
            let mut member = member.lock().await;
            let (client, chronicle) = (member.client, self.chronicle.clone());
            let Some(mut running) = member.running.take() else { continue };
            all.push(tokio::spawn(async move {
                let ended = tokio::select! { biased;
                    ended = running.finish() => ended,
                    () = chronicle.sleep(LAST_TURNS) => {
                        chronicle.note(Some(client), What::Stuck);
                        let killed = running.kill().await.map_err(|error| error.to_string());
                        chronicle.note(Some(client), What::Killed);
                        killed
                    }
                };
                ended.map_err(|error| format!("{client}: {error}"))
            }));
        }
        for one in all {
            one.await.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

fn tasks(job: Job, memory: Memory, chronicle: Chronicle) -> Running {
    let (plug, (stop, stopped)) = (Plug::default(), oneshot::channel());
    let log: workload::Log = Arc::new(move |record| chronicle.add(record));
    let stop_it = async {
        // When the sender is dropped, too.
        let _ = stopped.await;
    };
    let ended = tokio::spawn(workload::run(job, Some(memory), log, Arc::clone(&plug), stop_it));
    Running::Tasks { plug, stop: Some(stop), ended }
}
