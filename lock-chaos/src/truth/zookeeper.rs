//! ZooKeeper's log: the transactions that its servers have written down.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
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
    Kept, Truth,
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

    /// Everything that was committed.
    pub(crate) fn finish(&self, servers: &[Kept], namespace: &str) -> io::Result<Truth> {
        self.pulsing.abort();
        let mut transactions = BTreeMap::new();
        for server in servers {
            transactions.extend(written_in(&server.transactions)?);
        }
        let ends = ends_of_epochs(servers.iter().map(|server| server.log.as_str()));
        transactions.retain(|zxid, _| ends.get(&epoch(*zxid)).is_none_or(|end| zxid <= end));
        let mut raw = Vec::new();
        let mut reader = Reader { namespace: format!("/{namespace}/"), ..Reader::default() };
        for (zxid, mut changes) in transactions {
            // What is put first.
            changes.sort_by_key(|change| matches!(change, Change::Deleted { .. }));
            for change in changes {
                raw.extend(reader.raw(zxid, &change));
                reader.enter(zxid, change);
            }
        }
        let diverged = divergences(servers.iter().map(|server| server.log.as_str()));
        Ok(Truth { raw, ends, diverged, ..reader.book.close(&self.pulses.clock()) })
    }
}

const fn epoch(zxid: u64) -> u64 {
    zxid >> 32
}

/// The last zxid of each epoch that another one has followed.
///
/// A leader that was cut off has written down what was never committed, and when it comes back and is given a
/// snapshot, that stays in its file. What counts of the epochs before is what the next leader had when it
/// began to lead: it says so as it brings the first ones who follow it up to date, and says when it has a
/// quorum of them.
fn ends_of_epochs<'a>(logs: impl Iterator<Item = &'a str>) -> HashMap<u64, u64> {
    let mut ends = HashMap::new();
    for log in logs {
        let mut had = None;
        for line in log.lines() {
            if line.contains("LEADING - LEADER ELECTION TOOK") {
                had = None;
            } else if line.contains("Synchronizing with Learner") {
                had = had.or_else(|| hexadecimal(line, "lastProcessedZxid=0x"));
            } else if line.contains("Have quorum of supporters") {
                let (Some(had), Some(leads)) = (had.take(), hexadecimal(line, "last processed zxid: 0x"))
                else {
                    continue;
                };
                let led = epoch(had)..epoch(leads);
                // Nobody who led in between had a quorum.
                ends.extend(led.map(|epoch| (epoch, if epoch == self::epoch(had) { had } else { 0 })));
            }
        }
    }
    ends
}

/// Which servers say that their data are not the leader's.
fn divergences<'a>(logs: impl Iterator<Item = &'a str>) -> Vec<String> {
    let first = |(server, log)| {
        let zxid = divergence(log)?;
        Some(format!("by its own digests, the data of s{server} differ from revision {zxid:#x} on"))
    };
    logs.enumerate().filter_map(first).collect()
}

/// The first transaction after which a server's data were not what the leader's were: each has a digest of
/// all data, and who applies it compares.
fn divergence(log: &str) -> Option<u64> {
    let told = log.lines().filter(|line| line.contains("Digests are not matching"));
    told.filter_map(|line| line.rsplit_once("alue:")?.1.trim().parse().ok()).min()
}

/// The number after this.
fn hexadecimal(line: &str, after: &str) -> Option<u64> {
    let (_, rest) = line.split_once(after)?;
    let end = rest.find(|digit: char| !digit.is_ascii_hexdigit()).unwrap_or(rest.len());
    u64::from_str_radix(rest.get(..end)?, 16).ok()
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
    nodes: HashMap<String, ClaimId>,
    of_session: HashMap<i64, Vec<String>>,
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
                let Some(claim) = self.created(zxid, &path, &data) else { return };
                self.nodes.insert(path.clone(), claim);
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

    /// Whose node it is; none: nobody's.
    fn created(&mut self, zxid: u64, path: &str, data: &[u8]) -> Option<ClaimId> {
        let mut parts = path.strip_prefix(&self.namespace)?.split('/');
        let line = Line::of_key(parts.next()?, parts.next()?)?;
        match (parts.next()?, parts.next()?) {
            ("q", _queue) => {
                let Place { claim, record } = serde_json::from_slice(data).ok()?;
                parts.next()?;
                let claim = claim.parse().ok()?;
                self.book.queues(claim, line, &record, path, zxid);
                Some(claim)
            }
            ("h", holder) => {
                let record = serde_json::from_slice(data).ok()?;
                let claim = holder.split_once('-')?.1.parse().ok()?;
                self.book.is_admitted(claim, line, &record, path, zxid);
                Some(claim)
            }
            _ => None,
        }
    }

    fn deleted(&mut self, zxid: u64, path: &str) {
        if let Some(claim) = self.nodes.remove(path) {
            self.book.is_gone(claim, path, zxid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_differ_say_so() {
        let warning = |rest| format!("11:11:35.562 [main] WARN DataTree - {rest}");
        let log = [
            warning("[669 times] Message: Digests are not matching. Value is Zxid. Last value:12884902558"),
            warning("Message:Digests are not matching. Value is Zxid. Value:12884901889"),
            warning("Snapshot loaded in 86 ms"),
        ];
        let logs = [warning("Snapshot loaded in 86 ms"), log.join("\n")];
        let told = divergences(logs.iter().map(String::as_str));
        assert_eq!(told, ["by its own digests, the data of s1 differ from revision 0x300000001 on"]);
    }

    #[test]
    fn an_epoch_ends_with_what_its_successor_had() {
        let synchronizing = |had| {
            format!(
                "Synchronizing with Learner sid: 3 maxCommittedLog=0x0 minCommittedLog=0x0 lastProcessedZxid=0x{had} peerLastZxid=0x0"
            )
        };
        let quorum = |leads| {
            format!(
                "Have quorum of supporters, sids: [[1, 3],[1, 3]]; starting up and setting last processed zxid: 0x{leads}"
            )
        };
        let leading = || "LEADING - LEADER ELECTION TOOK - 7 MS".to_owned();
        let first = [leading(), synchronizing("0"), quorum("100000000"), synchronizing("100000005")];
        // It failed once, and nobody knows what it would have had then.
        let second = [
            leading(),
            synchronizing("10000000f"),
            leading(),
            synchronizing("100000009"),
            quorum("300000000"),
        ];
        let logs = [first.join("\n"), second.join("\n")];
        let mut ends: Vec<_> = ends_of_epochs(logs.iter().map(String::as_str)).into_iter().collect();
        ends.sort_unstable();
        assert_eq!(ends, [(0, 0), (1, 0x1_0000_0009), (2, 0)]);
    }
}
