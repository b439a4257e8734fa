//! etcd's log: a watch of everything from the first revision on, past the proxies.

use std::{
    collections::BTreeMap,
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
    Truth,
    book::Book,
    pulse::{EVERY, Pulses},
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
    /// By revision: keys, with what was put there or nothing.
    changes: Mutex<BTreeMap<i64, Vec<Change>>>,
    seen: AtomicI64,
    /// A part of the history was compacted before it was seen.
    has_gap: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

type Change = (String, Option<Vec<u8>>);

impl Observer {
    pub(crate) async fn start(
        endpoints: Vec<String>,
        namespace: &str,
        chronicle: Chronicle,
    ) -> Result<Arc<Self>, String> {
        let observer = Arc::new(Self {
            endpoints,
            namespace: format!("{namespace}/"),
            chronicle,
            pulses: Pulses::default(),
            changes: Mutex::default(),
            seen: AtomicI64::default(),
            has_gap: AtomicBool::default(),
            tasks: Mutex::default(),
        });
        let (watcher, pulsing) = (Arc::clone(&observer), Arc::clone(&observer));
        let tasks = [tokio::spawn(async move { watcher.watch().await }), tokio::spawn(async move {
            pulsing.pulse().await;
        })];
        observer.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
        Ok(observer)
    }

    /// All up to this revision has been seen.
    pub(crate) fn seen(&self) -> i64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Watches one member, and another one when that ends, from where it ended.
    async fn watch(&self) {
        for endpoint in self.endpoints.iter().cycle() {
            // It failed: the next one goes on.
            let _ = self.watch_at(endpoint).await;
            self.chronicle.sleep(EVERY).await;
        }
    }

    async fn watch_at(&self, endpoint: &str) -> Result<(), yourturn::etcd::client::Error> {
        let options = ConnectOptions::new().with_connect_timeout(LIMIT);
        let mut client = Client::connect([endpoint], Some(options)).await?;
        let from = WatchOptions::new().with_all_keys().with_start_revision(self.seen() + 1);
        let mut stream = client.watch("", Some(from)).await?;
        while let Some(answer) = stream.message().await? {
            if answer.compact_revision() > 0 {
                self.has_gap.store(true, Ordering::Release);
                self.seen.fetch_max(answer.compact_revision(), Ordering::AcqRel);
            }
            if answer.canceled() {
                break;
            }
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let mut last = 0;
            for event in answer.events() {
                let Some((revision, change)) = self.change(event) else { continue };
                last = last.max(revision);
                changes.entry(revision).or_default().extend(change);
            }
            self.seen.fetch_max(last, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The revision of an event, and what it changed, if it is of interest.
    fn change(&self, event: &Event) -> Option<(i64, Option<Change>)> {
        let kv = event.kv()?;
        let key = kv.key_str().ok()?;
        let value = (event.event_type() == EventType::Put).then(|| kv.value().to_vec());
        let interesting = key.starts_with(&self.namespace) || key.starts_with(REGISTER);
        Some((kv.mod_revision(), interesting.then(|| (key.to_owned(), value))))
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
    pub(crate) async fn finish(&self) -> Result<Truth, String> {
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
        if self.has_gap.load(Ordering::Acquire) {
            return Err("a part of the log was compacted before it was seen".to_owned());
        }
        let mut book = Book::default();
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        for (revision, mut changes) in changes {
            // What is put first.
            changes.sort_by_key(|(_, value)| value.is_none());
            for (key, value) in changes {
                self.enter(&mut book, &key, value.as_deref(), revision.cast_unsigned());
            }
        }
        Ok(book.close(&self.pulses.clock()))
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
            ("q", Some(record)) => book.queues(claim, line, record, revision),
            ("h/s" | "h/p", Some(record)) => book.is_admitted(claim, line, record, revision),
            ("q", None) if value.is_none() => book.leaves_the_queue(claim, revision),
            ("h/s" | "h/p", None) if value.is_none() => book.leaves_the_holders(claim, revision),
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
