//! A line as people and observers see it: from the keys that lie under it at one revision.

use std::{collections::BTreeMap, sync::Arc};

use etcd_client::{Event, EventType, KeyValue};
use futures_core::stream::BoxStream;
use lock_core::{Error, ErrorKind, FencingToken, Line, LineId, LinePlace, Mode, Result, sync::Signal};

use crate::{
    error::garbled,
    keys::{LineKeys, Part},
    queue::{Queue, txn::range},
    record::Record,
    watch::{Keys, Sink, Watch},
};

/// The line that these keys, all under it, make up.
///
/// # Errors
///
/// [`Garbled`](lock_core::ErrorKind::Garbled) for a key or value that is not ours to understand.
pub(crate) fn line<'a>(
    id: &LineId,
    keys: &LineKeys,
    revision: i64,
    all: impl Iterator<Item = &'a KeyValue>,
) -> Result<Line> {
    let (mut places, mut gate_is_empty) = (Vec::new(), true);
    for kv in all {
        let (claim, holds) = match keys.part(kv.key()) {
            Some(Part::Node(claim)) => (claim, false),
            Some(Part::Shared(claim) | Part::Permits(claim)) => {
                gate_is_empty = false;
                (claim, true)
            }
            Some(Part::Present(claim)) => (claim, true),
            Some(Part::Tail | Part::Mark | Part::Next(_) | Part::Cell | Part::Void(_)) => continue,
            None => return Err(garbled(kv.key(), "is not one of this line's")),
        };
        let Record { owner, mode, since, payload, place } = Record::read(kv.key(), kv.value())?;
        let place = place.unwrap_or(kv.create_revision().cast_unsigned());
        let token = if holds { Some(FencingToken::new(place)?) } else { None };
        places.push(LinePlace { claim, place, mode, owner, payload, since, token });
    }
    places.sort_by_key(|place| place.place);
    // The head of the queue holds when it wants to be alone and is.
    let head = places.iter_mut().find(|place| place.token.is_none());
    if let Some(head) = head.filter(|head| gate_is_empty && head.mode == Mode::Exclusive) {
        head.token = Some(FencingToken::new(head.place)?);
    }
    Ok(Line { id: id.clone(), revision: revision.cast_unsigned(), places })
}

impl Queue {
    /// The line as it is.
    pub(crate) async fn inspect(&self, id: &LineId) -> Result<Line> {
        let keys = self.namespace.line(id);
        let (revision, all) = self.all(&keys).await?;
        line(id, &keys, revision, all.iter())
    }

    async fn all(&self, keys: &LineKeys) -> Result<(i64, Vec<KeyValue>)> {
        let mut reply = self.look(vec![range(keys.all())]).await?;
        Ok((reply.revision, reply.keys()))
    }

    /// The line as it is, and whenever it has changed.
    pub(crate) fn changes(self: &Arc<Self>, id: &LineId) -> BoxStream<'static, Result<Line>> {
        let (keys, mirror) = (self.namespace.line(id), Arc::new(Mirror(Signal::new(Mirrored::default()))));
        let watch = self.watcher.watch(Keys::Under(keys.all().to_owned()), mirror.clone());
        let (queue, id) = (self.clone(), id.clone());
        let observer = Observer { queue, id, keys, mirror, last: None, _watch: watch };
        Box::pin(futures_util::stream::unfold(Some(observer), |observer| async {
            let mut observer = observer?;
            let line = observer.next().await;
            let goes_on = line.is_ok().then_some(observer);
            Some((line, goes_on))
        }))
    }
}

/// A line's keys, kept up to date by a watch, so that a change costs no request.
struct Mirror(Signal<Mirrored>);

#[derive(Default)]
struct Mirrored {
    /// How often the watch was opened: what was read before the last time may lack what came in between.
    openings: u64,
    /// Whether the keys have been read since the watch was opened.
    loaded: bool,
    keys: BTreeMap<Vec<u8>, KeyValue>,
    /// Up to which everything is in `keys`.
    revision: i64,
    /// What came before the keys were read.
    early: Vec<Event>,
    /// The message that is being told: only whole ones show whole transactions.
    message: Vec<Event>,
}

impl Mirrored {
    fn load(&mut self, opening: u64, revision: i64, all: Vec<KeyValue>) {
        if opening != self.openings {
            return;
        }
        self.keys = all.into_iter().map(|kv| (kv.key().to_vec(), kv)).collect();
        (self.revision, self.loaded) = (revision, true);
        let early = std::mem::take(&mut self.early);
        self.apply(&early);
    }

    fn apply(&mut self, events: &[Event]) {
        let known = self.revision;
        for (event, kv) in events.iter().filter_map(|event| Some((event, event.kv()?))) {
            if kv.mod_revision() > known {
                match event.event_type() {
                    EventType::Put => drop(self.keys.insert(kv.key().to_vec(), kv.clone())),
                    EventType::Delete => drop(self.keys.remove(kv.key())),
                }
                self.revision = self.revision.max(kv.mod_revision());
            }
        }
    }
}

impl Sink for Mirror {
    fn opened(&self) {
        self.0.update(|mirrored| {
            let (openings, revision) = (mirrored.openings + 1, mirrored.revision);
            *mirrored = Mirrored { openings, revision, ..Mirrored::default() };
        });
    }

    fn event(&self, event: &Event) {
        self.0.update_silently(|mirrored| mirrored.message.push(event.clone()));
    }

    fn told(&self) {
        self.0.update(|mirrored| {
            let mut message = std::mem::take(&mut mirrored.message);
            if mirrored.loaded {
                mirrored.apply(&message);
            } else {
                mirrored.early.append(&mut message);
            }
        });
    }
}

struct Observer {
    queue: Arc<Queue>,
    id: LineId,
    keys: LineKeys,
    mirror: Arc<Mirror>,
    last: Option<Line>,
    _watch: Watch,
}

impl Observer {
    async fn next(&mut self) -> Result<Line> {
        loop {
            let seen = self.last.as_ref().map(|line| line.revision.cast_signed());
            let news = self.mirror.0.wait(|mirrored| {
                let changed = seen.is_none_or(|seen| mirrored.revision > seen);
                (mirrored.openings > 0 && (!mirrored.loaded || changed)).then_some(mirrored.loaded)
            });
            let loaded = tokio::select! { biased;
                reason = self.queue.lease.lost() => return Err(Error::lost(reason)),
                loaded = news => loaded,
            };
            if !loaded {
                self.load().await?;
                continue;
            }
            let view =
                |mirrored: &Mirrored| line(&self.id, &self.keys, mirrored.revision, mirrored.keys.values());
            let line = self.mirror.0.read(view)?;
            let unchanged = self.last.as_ref().is_some_and(|last| last.places == line.places);
            self.last = Some(line.clone());
            if !unchanged {
                return Ok(line);
            }
        }
    }

    async fn load(&self) -> Result<()> {
        let opening = self.mirror.0.read(|mirrored| mirrored.openings);
        loop {
            match self.queue.all(&self.keys).await {
                Ok((revision, all)) => {
                    self.mirror.0.update_silently(|mirrored| mirrored.load(opening, revision, all));
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Unavailable && self.queue.lease.check().is_ok() => {
                    self.queue.pause().await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
