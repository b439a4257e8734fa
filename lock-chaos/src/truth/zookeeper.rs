//! ZooKeeper's log: the transactions that its servers have written down.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tokio::task::JoinHandle;
use yourturn::{
    ClaimId,
    backend::Record,
    zookeeper::client::{Acls, Client, CreateMode, Error},
};

use super::{
    Truth,
    book::Book,
    pulse::{EVERY, Pulses},
    txnlog::{self, Change},
};
use crate::{chronicle::Chronicle, record::Line, workload::REGISTER};

/// As long as the servers let a session last.
const SESSION: Duration = Duration::from_secs(60);

const PULSE: &str = "/pulse";

/// Writes pulses, and reads the log in the end.
pub(crate) struct Observer {
    pulses: Arc<Pulses>,
    pulsing: JoinHandle<()>,
}

impl Observer {
    /// Makes the nodes for guarded writes, too.
    pub(crate) async fn start(servers: &str, lines: usize, chronicle: Chronicle) -> Result<Self, String> {
        let client = connect(servers).await.map_err(|error| error.to_string())?;
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let nodes = [PULSE.to_owned(), format!("/{REGISTER}")].into_iter();
        for node in nodes.chain((0..lines).map(|number| format!("/{REGISTER}/{number}"))) {
            client.create(&node, b"", &options).await.map_err(|error| format!("{node}: {error}"))?;
        }
        let (pulses, servers) = (Arc::new(Pulses::default()), servers.to_owned());
        let of_task = Arc::clone(&pulses);
        let pulsing = tokio::spawn(async move { pulse(client, &servers, &of_task, &chronicle).await });
        Ok(Self { pulses, pulsing })
    }

    /// Everything that is in these folders.
    pub(crate) async fn finish(
        &self,
        folders: impl Iterator<Item = PathBuf>,
        namespace: &str,
    ) -> io::Result<Truth> {
        self.pulsing.abort();
        // What was committed is in the logs of a majority. What a leader wrote down while it was cut off is in
        // its own, and stays there when it comes back and is given a snapshot.
        let mut transactions: BTreeMap<u64, (usize, Vec<Change>)> = BTreeMap::new();
        let mut servers = 0;
        for folder in folders {
            servers += 1;
            for (zxid, changes) in written_in(&folder)? {
                transactions.entry(zxid).or_insert((0, changes)).0 += 1;
            }
        }
        let committed = transactions.into_iter().filter(|(_, (logs, _))| logs * 2 > servers);
        let mut raw = Vec::new();
        let mut reader = Reader { namespace: format!("/{namespace}/"), ..Reader::default() };
        for (zxid, (_, mut changes)) in committed {
            // What is put first.
            changes.sort_by_key(|change| matches!(change, Change::Deleted { .. }));
            for change in changes {
                raw.extend(reader.raw(zxid, &change));
                reader.enter(zxid, change);
            }
        }
        Ok(Truth { raw, ..reader.book.close(&self.pulses.clock()) })
    }
}

/// All transactions of a server, each once.
fn written_in(folder: &Path) -> io::Result<BTreeMap<u64, Vec<Change>>> {
    let mut transactions = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("log.") {
            transactions.extend(txnlog::read(&fs::read(file.path())?));
        }
    }
    Ok(transactions)
}

async fn connect(servers: &str) -> Result<Client, Error> {
    Client::connector().with_session_timeout(SESSION).connect(servers).await
}

async fn pulse(mut client: Client, servers: &str, pulses: &Pulses, chronicle: &Chronicle) {
    loop {
        let sent = chronicle.now();
        match client.set_data(PULSE, b"", None).await {
            Ok(stat) => pulses.add(stat.mzxid.cast_unsigned(), sent, chronicle.now()),
            Err(Error::SessionExpired | Error::ClientClosed) => {
                if let Ok(another) = connect(servers).await {
                    client = another;
                }
            }
            Err(_) => {}
        }
        chronicle.sleep(EVERY).await;
    }
}

/// The nodes of claims, as far as the log has been read.
#[derive(Default)]
struct Reader {
    /// Every path begins with it.
    namespace: String,
    book: Book,
    nodes: HashMap<String, Node>,
    of_session: HashMap<i64, Vec<String>>,
}

struct Node {
    claim: ClaimId,
    queues: bool,
}

/// Of a queue's node; `docs/zookeeper-protocol.md` says what else there is.
#[derive(Deserialize)]
struct Place {
    claim: String,
    #[serde(flatten)]
    record: Record,
}

impl Reader {
    fn enter(&mut self, zxid: u64, change: Change) {
        match change {
            Change::Created { path, data, owner } => {
                let Some(node) = self.created(zxid, &path, &data) else { return };
                self.nodes.insert(path.clone(), node);
                self.of_session.entry(owner.unwrap_or_default()).or_default().push(path);
            }
            Change::Set { path, data } => {
                if path.strip_prefix('/').is_some_and(|path| path.starts_with(REGISTER)) {
                    self.book.writes(&data, zxid);
                }
            }
            Change::Deleted { path } => self.deleted(zxid, &path),
            Change::SessionClosed { session } => {
                for path in self.of_session.remove(&session).unwrap_or_default() {
                    self.deleted(zxid, &path);
                }
            }
        }
    }

    /// For people: revision, where, and what; none for what is not of interest.
    fn raw(&self, zxid: u64, change: &Change) -> Option<(u64, String, Option<String>)> {
        let (path, data) = match change {
            Change::Created { path, data, .. } | Change::Set { path, data } => (path.clone(), Some(data)),
            Change::Deleted { path } => (path.clone(), None),
            Change::SessionClosed { session } => {
                return Some((zxid, format!("session {session:x}"), None));
            }
        };
        let data = data.map(|data| String::from_utf8_lossy(data).into_owned());
        (path != PULSE).then_some((zxid, path, data))
    }

    fn created(&mut self, zxid: u64, path: &str, data: &[u8]) -> Option<Node> {
        let mut parts = path.strip_prefix(&self.namespace)?.split('/');
        let line = Line::of_key(parts.next()?, parts.next()?)?;
        match (parts.next()?, parts.next()?) {
            ("q", _queue) => {
                let Place { claim, record } = serde_json::from_slice(data).ok()?;
                parts.next()?;
                let claim = claim.parse().ok()?;
                self.book.queues(claim, line, &record, zxid);
                Some(Node { claim, queues: true })
            }
            ("h", holder) => {
                let record = serde_json::from_slice(data).ok()?;
                let claim = holder.split_once('-')?.1.parse().ok()?;
                self.book.is_admitted(claim, line, &record, zxid);
                Some(Node { claim, queues: false })
            }
            _ => None,
        }
    }

    fn deleted(&mut self, zxid: u64, path: &str) {
        match self.nodes.remove(path) {
            Some(Node { claim, queues: true }) => self.book.leaves_the_queue(claim, zxid),
            Some(Node { claim, queues: false }) => self.book.leaves_the_holders(claim, zxid),
            None => {}
        }
    }
}
