//! etcd's log: a watch of everything from the first revision on, at each member, past the proxies; and, for who has had
//! sessions ended, the log on the members' disks.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use yourturn::{
    ClaimId,
    etcd::client::{Client, ConnectOptions, Event, EventType, WatchOptions},
};

use super::{
    EndedByDeposed, Kept, Raw, Truth,
    book::Book,
    deposed,
    pulse::{Clock, EVERY, Pulses},
};
use crate::{chronicle::Chronicle, record::Line, workload::REGISTER};

/// After this, another member is asked.
const LIMIT: Duration = Duration::from_secs(1);

/// The last revision that is needed comes within this, once all is quiet.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sees all that happens.
pub(crate) struct Observer {
    endpoints: Vec<String>,
    /// Every key begins with it.
    namespace: String,
    chronicle: Chronicle,
    pulses: Pulses,
    /// By revision and key.
    changes: Mutex<BTreeMap<(i64, String), Change>>,
    /// Up to where each member's watch has come.
    seen: Vec<AtomicI64>,
    /// For each member, whether a part of the history was compacted before it was seen there.
    has_gap: Vec<AtomicBool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What was put, or nothing, and which members' watches have told so.
#[derive(Debug, Default)]
struct Change {
    value: Option<Vec<u8>>,
    told_by: Vec<usize>,
}

impl Observer {
    pub(crate) async fn start(
        endpoints: Vec<String>,
        namespace: &str,
        chronicle: Chronicle,
    ) -> Result<Arc<Self>, String> {
        let members = endpoints.len();
        let observer = Arc::new(Self {
            endpoints,
            namespace: format!("{namespace}/"),
            chronicle,
            pulses: Pulses::default(),
            changes: Mutex::default(),
            seen: (0..members).map(|_| AtomicI64::default()).collect(),
            has_gap: (0..members).map(|_| AtomicBool::default()).collect(),
            tasks: Mutex::default(),
        });
        let pulsing = Arc::clone(&observer);
        let mut tasks = vec![tokio::spawn(async move { pulsing.pulse().await })];
        for member in 0..members {
            let watcher = Arc::clone(&observer);
            tasks.push(tokio::spawn(async move { watcher.watch(member).await }));
        }
        *observer.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        Ok(observer)
    }

    /// All up to this revision has been seen, at every member.
    pub(crate) fn seen(&self) -> i64 {
        self.seen.iter().map(|seen| seen.load(Ordering::Acquire)).min().unwrap_or_default()
    }

    /// Watches a member, and again when that ends, from where it ended.
    async fn watch(&self, member: usize) {
        loop {
            // It failed: it may be down.
            let _ = self.watch_once(member).await;
            self.chronicle.sleep(EVERY * 4).await;
        }
    }

    async fn watch_once(&self, member: usize) -> Result<(), yourturn::etcd::client::Error> {
        let (Some(endpoint), Some(seen), Some(has_gap)) =
            (self.endpoints.get(member), self.seen.get(member), self.has_gap.get(member))
        else {
            return Ok(());
        };
        let options = ConnectOptions::new().with_connect_timeout(LIMIT).with_keep_alive(LIMIT, LIMIT);
        let mut client = Client::connect([endpoint], Some(options)).await?;
        let from = seen.load(Ordering::Acquire) + 1;
        let from = WatchOptions::new().with_all_keys().with_start_revision(from);
        let mut stream = client.watch("", Some(from)).await?;
        while let Some(answer) = stream.message().await? {
            if answer.compact_revision() > 0 {
                has_gap.store(true, Ordering::Release);
                seen.fetch_max(answer.compact_revision(), Ordering::AcqRel);
            }
            if answer.canceled() {
                break;
            }
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let mut last = 0;
            for event in answer.events() {
                let Some((revision, key, value)) = self.change(event) else { continue };
                last = last.max(revision);
                if let Some(key) = key {
                    let change = changes.entry((revision, key)).or_default();
                    change.value = value;
                    change.told_by.push(member);
                }
            }
            seen.fetch_max(last, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The revision of an event, its key if that is of interest, and what was put there.
    fn change(&self, event: &Event) -> Option<(i64, Option<String>, Option<Vec<u8>>)> {
        let kv = event.kv()?;
        let key = kv.key_str().ok()?;
        let value = (event.event_type() == EventType::Put).then(|| kv.value().to_vec());
        let interesting = key.starts_with(&self.namespace) || key.starts_with(REGISTER);
        Some((kv.mod_revision(), interesting.then(|| key.to_owned()), value))
    }

    async fn pulse(&self) {
        for endpoint in self.endpoints.iter().cycle() {
            let _ = self.pulse_at(endpoint).await;
            self.chronicle.sleep(EVERY).await;
        }
    }

    /// Until it fails.
    async fn pulse_at(&self, endpoint: &str) -> Result<(), yourturn::etcd::client::Error> {
        let options = ConnectOptions::new().with_connect_timeout(LIMIT).with_timeout(LIMIT);
        let mut client = Client::connect([endpoint], Some(options)).await?;
        loop {
            let sent = self.chronicle.now();
            let answer = client.put("pulse", "", None).await?;
            let revision = answer.header().map_or(0, |header| header.revision());
            self.pulses.add(revision.cast_unsigned(), sent, self.chronicle.now());
            self.chronicle.sleep(EVERY).await;
        }
    }

    /// Everything, up to now.
    pub(crate) async fn finish(&self, members: &[Kept]) -> Result<Truth, String> {
        let last = self.last_revision().await?;
        let end = self.chronicle.now() + PATIENCE;
        // Pulses go on, so there are events to hear of.
        while self.seen() < last {
            if self.chronicle.now() > end {
                return Err(format!("the log was seen up to revision {}, of {last}", self.seen()));
            }
            self.chronicle.sleep(EVERY).await;
        }
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
        let whole: Vec<usize> = self.without_gap().collect();
        if whole.is_empty() {
            return Err("a part of the log was compacted before it was seen".to_owned());
        }
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut changes: Vec<_> = changes.into_iter().collect();
        // Of one revision, what is put first.
        changes.sort_by_key(|((revision, _), change)| (*revision, change.value.is_none()));
        let (mut book, mut raw, mut untold) = (Book::default(), Vec::new(), Vec::new());
        for ((revision, key), Change { value, told_by }) in changes {
            let revision = revision.cast_unsigned();
            for member in whole.iter().filter(|member| !told_by.contains(member)) {
                untold.push(format!("member {member} told nobody of revision {revision}, {key}"));
            }
            self.enter(&mut book, &key, value.as_deref(), revision);
            let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
            raw.push((revision, key, value));
        }
        let clock = self.pulses.clock();
        let ended_by_deposed = self.ended_by_deposed(&raw, members, &clock);
        let ended_by_deposed = ended_by_deposed.map_err(|error| format!("the members' logs: {error}"))?;
        Ok(Truth { raw, untold, ended_by_deposed, ..book.close(&clock) })
    }

    fn ended_by_deposed(
        &self,
        changes: &[Raw],
        members: &[Kept],
        clock: &Clock,
    ) -> io::Result<Vec<EndedByDeposed>> {
        let leases = deposed::find(members)?;
        let ended =
            changes.iter().filter(|(_, _, value)| value.is_none()).filter_map(|(revision, key, _)| {
                let (session, lease) = self.session(key)?;
                let (at, how) = (clock.stamp(*revision), leases.get(&lease)?.clone());
                Some(EndedByDeposed { session: session.to_owned(), at, how })
            });
        Ok(ended.collect())
    }

    /// The session that lives as long as this key, and its lease.
    fn session<'a>(&self, key: &'a str) -> Option<(&'a str, i64)> {
        let session = key.strip_prefix(&self.namespace)?.strip_prefix("session/")?.strip_suffix("/live")?;
        Some((session, u64::from_str_radix(session, 16).ok()?.cast_signed()))
    }

    /// The members whose watches have had everything to tell.
    fn without_gap(&self) -> impl Iterator<Item = usize> {
        let gaps = self.has_gap.iter().enumerate();
        gaps.filter(|(_, gap)| !gap.load(Ordering::Acquire)).map(|(member, _)| member)
    }

    async fn last_revision(&self) -> Result<i64, String> {
        let mut said = String::new();
        for endpoint in &self.endpoints {
            let options = ConnectOptions::new().with_connect_timeout(LIMIT).with_timeout(LIMIT);
            let answer = async {
                let mut client = Client::connect([endpoint], Some(options)).await?;
                client.get("pulse", None).await
            };
            match answer.await {
                Ok(answer) => return Ok(answer.header().map_or(0, |header| header.revision())),
                Err(error) => said = error.to_string(),
            }
        }
        Err(format!("the last revision: {said}"))
    }

    /// One change of one key. `docs/etcd-protocol.md` says what they mean.
    fn enter(&self, book: &mut Book, key: &str, value: Option<&[u8]>, revision: u64) {
        if let (true, Some(value)) = (key.starts_with(REGISTER), value) {
            return book.writes(value, revision);
        }
        let Some((line, part, claim)) = key.strip_prefix(&self.namespace).and_then(parts) else { return };
        let record = value.and_then(|value| serde_json::from_slice(value).ok());
        match (part, &record) {
            ("q", Some(record)) => book.queues(claim, line, record, key, revision),
            ("h/s" | "h/p", Some(record)) => book.is_admitted(claim, line, record, key, revision),
            ("q" | "h/s" | "h/p", None) if value.is_none() => book.is_gone(claim, key, revision),
            _ => {}
        }
    }
}

/// The line, what is kept there, and of which claim.
fn parts(key: &str) -> Option<(Line, &str, ClaimId)> {
    let (kind, rest) = key.split_once('/')?;
    let (name, rest) = rest.split_once('/')?;
    let (part, claim) = rest.rsplit_once('/')?;
    Some((Line::of_key(kind, name)?, part, claim.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_apart() {
        let (line, part, claim) = parts("mutex/l5/q/000000000000002a.3").unwrap();
        assert_eq!((line, part, claim.number), (Line(5), "q", 3));
        assert_eq!(parts("semaphore/l3/h/p/000000000000002a.3").unwrap().1, "h/p");
        for key in ["mutex/l5/tail", "mutex/l5/q/000000000000002a.3/next", "session/000000000000002a/live"] {
            assert!(parts(key).is_none(), "{key}");
        }
    }
}
