//! A line as people and observers see it: from the keys that lie under it at one revision.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use etcd_client::KeyValue;
use futures_core::stream::BoxStream;
use lock_core::{ClaimId, FencingToken, Lease, Line, LineId, LinePlace, Mode, Result};

use crate::{
    error::garbled,
    keys::{LineKeys, Part},
    mirror::{self, Seen, Source},
    queue::{Queue, txn::range},
    record::{Record, Seat},
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
    let mut records = BTreeMap::new();
    let (mut queue, mut seated) = (BTreeMap::new(), Vec::new());
    for kv in all {
        let seat = |created: i64| {
            Seat::read(kv.key(), kv.value()).map(|seat| seat.place.unwrap_or(created.cast_unsigned()))
        };
        match keys.part(kv.key()) {
            Some(Part::Record(claim)) => drop(records.insert(claim, Record::read(kv.key(), kv.value())?)),
            Some(Part::Node(claim)) => drop(queue.insert(kv.create_revision().cast_unsigned(), claim)),
            Some(Part::Shared(claim) | Part::Permits(claim)) => {
                seated.push((seat(kv.create_revision())?, claim, true))
            }
            Some(Part::Present(claim)) => seated.push((seat(kv.create_revision())?, claim, false)),
            Some(Part::Tail | Part::Cell | Part::Void(_)) => {}
            None => return Err(garbled(kv.key(), "is not one of this line's")),
        }
    }
    let gate_is_empty = !seated.iter().any(|(_, _, behind_the_gate)| *behind_the_gate);
    let mut place = |place: u64, claim: ClaimId, seated: bool| {
        let record = records.remove(&claim);
        let record = record.ok_or_else(|| garbled(keys.record(claim).as_bytes(), "is missing"))?;
        let Record { owner, mode, since, payload } = record;
        let holds = seated || mode == Mode::Exclusive && gate_is_empty && queue.keys().next() == Some(&place);
        let token = if holds { Some(FencingToken::new(place)?) } else { None };
        Ok(LinePlace { claim, place, mode, owner, payload, since, token })
    };
    let seats = seated.iter().map(|(at, claim, _)| (*at, *claim, true));
    let waiting = queue.iter().map(|(at, claim)| (*at, *claim, false));
    let mut places: Vec<LinePlace> =
        seats.chain(waiting).map(|(at, claim, seated)| place(at, claim, seated)).collect::<Result<_>>()?;
    places.sort_by_key(|place| place.place);
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
