//! A line as people and observers see it: from the keys that lie under it at one revision.

use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::KeyValue;
use futures_core::stream::BoxStream;
use lock_core::{FencingToken, Lease, Line, LineId, LinePlace, Mode, Result, backend::Record};

use crate::{
    error::{self, garbled},
    keys::{LineKeys, Part},
    mirror::{self, Seen, Source},
    queue::Queue,
    request::range,
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
        let Record { owner, mode, since, payload, place } = error::record(kv.key(), kv.value())?;
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
    Ok(Line { id: id.clone(), revision: revision.cast_unsigned(), places, foreign: 0 })
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
        let keys = self.namespace.line(id);
        let prefix = keys.all().to_owned();
        mirror::changes(Watched { queue: self.clone(), id: id.clone(), keys }, &self.watcher, prefix)
    }
}

struct Watched {
    queue: Arc<Queue>,
    id: LineId,
    keys: LineKeys,
}

#[async_trait]
impl Source for Watched {
    fn lease(&self) -> &Lease {
        &self.queue.lease
    }

    async fn all(&self) -> Result<(i64, Vec<KeyValue>)> {
        self.queue.all(&self.keys).await
    }

    async fn pause(&self) {
        self.queue.pause().await;
    }

    fn line(&self, seen: &Seen) -> Result<Line> {
        line(&self.id, &self.keys, seen.revision, seen.keys.values())
    }
}
