//! A line's keys as an observer has them: read once, and kept up to date by a watch, so that a change costs
//! no request.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use etcd_client::{Event, EventType, KeyValue};
use futures_core::stream::BoxStream;
use lock_core::{Error, ErrorKind, Lease, Line, Result, sync::Signal};

use crate::watch::{Keys, Sink, Watch, Watcher};

/// How many events are kept while the keys are read: many more than come in meanwhile, unless the reader is not polled
/// any more.
const MAX_EARLY: usize = 1 << 16;

/// Where an observer's keys come from, and what they mean.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    fn lease(&self) -> &Lease;

    /// All keys, at that revision.
    async fn all(&self) -> Result<(i64, Vec<KeyValue>)>;

    /// Before something is tried again.
    async fn pause(&self);

    /// The line that the keys make up.
    fn line(&self, seen: &Seen) -> Result<Line>;
}

/// The line behind the keys that begin with `prefix`, and again whenever it has changed.
pub(crate) fn changes(
    source: impl Source,
    watcher: &Watcher,
    prefix: String,
) -> BoxStream<'static, Result<Line>> {
    let mirror = Arc::new(Mirror(Signal::new(Mirrored::default())));
    let watch = watcher.watch(Keys::Under(prefix), mirror.clone());
    let observer = Observer { source, mirror, last: None, _watch: watch };
    Box::pin(futures_util::stream::unfold(Some(observer), |observer| async {
        let mut observer = observer?;
        let line = observer.next().await;
        let goes_on = line.is_ok().then_some(observer);
        Some((line, goes_on))
    }))
}

/// The keys as they were at one revision.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) keys: BTreeMap<Vec<u8>, KeyValue>,
    /// Up to which everything is in `keys`.
    pub(crate) revision: i64,
    /// When the oldest of the keys was last seen to go: since then another one is the oldest. 0 before.
    pub(crate) passed: i64,
}

impl Seen {
    fn apply(&mut self, events: &[Event]) {
        let known = self.revision;
        for (event, kv) in events.iter().filter_map(|event| Some((event, event.kv()?))) {
            if kv.mod_revision() > known {
                match event.event_type() {
                    EventType::Put => drop(self.keys.insert(kv.key().to_vec(), kv.clone())),
                    EventType::Delete => self.remove(kv),
                }
                self.revision = self.revision.max(kv.mod_revision());
            }
        }
    }

    fn remove(&mut self, deleted: &KeyValue) {
        let oldest = self.keys.values().map(KeyValue::create_revision).min();
        let removed = self.keys.remove(deleted.key());
        if removed.is_some_and(|removed| Some(removed.create_revision()) == oldest) {
            self.passed = deleted.mod_revision();
        }
    }
}

struct Mirror(Signal<Mirrored>);

#[derive(Default)]
struct Mirrored {
    /// How often the keys were to be read: when the watch is opened, and when more has come since than is kept. What was
    /// read before the last time may lack what came in between.
    beginnings: u64,
    /// Whether they are being read: what comes before that is in what is read.
    reading: bool,
    /// Whether they have been read.
    loaded: bool,
    seen: Seen,
    /// What has come since they began to be read.
    early: Vec<Event>,
    /// The message that is being told: only whole ones show whole transactions.
    message: Vec<Event>,
}

impl Mirrored {
    fn begin(&mut self) {
        let seen = Seen { revision: self.seen.revision, ..Seen::default() };
        *self = Self { beginnings: self.beginnings + 1, seen, ..Self::default() };
    }

    /// Begins to read the keys.
    fn read(&mut self) -> u64 {
        self.reading = true;
        self.beginnings
    }

    fn load(&mut self, beginning: u64, revision: i64, all: Vec<KeyValue>) {
        if beginning != self.beginnings {
            return;
        }
        let keys = all.into_iter().map(|kv| (kv.key().to_vec(), kv)).collect();
        (self.seen, self.loaded) = (Seen { keys, revision, passed: 0 }, true);
        let early = std::mem::take(&mut self.early);
        self.seen.apply(&early);
    }
}

impl Sink for Mirror {
    fn opened(&self) {
        self.0.update(Mirrored::begin);
    }

    fn event(&self, event: &Event) {
        self.0.update_silently(|mirrored| mirrored.message.push(event.clone()));
    }

    fn told(&self) {
        self.0.update(|mirrored| {
            let mut message = std::mem::take(&mut mirrored.message);
            if mirrored.loaded {
                mirrored.seen.apply(&message);
            } else if mirrored.reading && !keep(&mut mirrored.early, &mut message) {
                mirrored.begin();
            }
        });
    }
}

/// Keeps what has come while the keys are read, unless that is too much.
fn keep<E>(early: &mut Vec<E>, message: &mut Vec<E>) -> bool {
    let keeps = early.len() + message.len() <= MAX_EARLY;
    if keeps {
        early.append(message);
    }
    keeps
}

struct Observer<S> {
    source: S,
    mirror: Arc<Mirror>,
    /// The revision that was told last.
    last: Option<i64>,
    _watch: Watch,
}

impl<S: Source> Observer<S> {
    async fn next(&mut self) -> Result<Line> {
        loop {
            let last = self.last;
            let news = self.mirror.0.wait(|mirrored| {
                let changed = last.is_none_or(|last| mirrored.seen.revision > last);
                (mirrored.beginnings > 0 && (!mirrored.loaded || changed)).then_some(mirrored.loaded)
            });
            let loaded = tokio::select! { biased;
                reason = self.source.lease().lost() => return Err(Error::lost(reason)),
                loaded = news => loaded,
            };
            if !loaded {
                self.load().await?;
                continue;
            }
            // Also when the line is as it was: somebody may have come and gone.
            let line = self.mirror.0.read(|mirrored| self.source.line(&mirrored.seen))?;
            self.last = Some(line.revision.cast_signed());
            return Ok(line);
        }
    }

    async fn load(&self) -> Result<()> {
        let beginning = self.mirror.0.update_silently(Mirrored::read);
        loop {
            match self.source.all().await {
                Ok((revision, all)) => {
                    self.mirror.0.update_silently(|mirrored| mirrored.load(beginning, revision, all));
                    return Ok(());
                }
                Err(error)
                    if error.kind() == ErrorKind::Unavailable && self.source.lease().check().is_ok() =>
                {
                    self.source.pause().await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_to_be_read_before_too_much_came_is_read_anew() {
        let mut mirrored = Mirrored::default();
        mirrored.begin();
        let before = mirrored.read();
        let (mut early, mut message) = (vec![0; MAX_EARLY - 1], vec![0]);
        assert!(keep(&mut early, &mut message) && message.is_empty());
        assert!(!keep(&mut early, &mut vec![0]));
        assert_eq!(early.len(), MAX_EARLY);
        mirrored.begin();
        mirrored.load(before, 7, Vec::new());
        assert!(!mirrored.loaded && !mirrored.reading, "nothing is kept until it is read");
        let anew = mirrored.read();
        mirrored.load(anew, 8, Vec::new());
        assert!(mirrored.loaded && mirrored.seen.revision == 8);
    }
}
