//! A line as people and observers see it: everybody who stands in it, Go's clients too.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use etcd_client::KeyValue;
use futures_core::stream::BoxStream;
use lock_core::{
    ClaimId, FencingToken, Kind, Lease, Line, LineId, LinePlace, Mode, Payload, Result, SessionId,
    sync::locked,
};

use super::{
    Go,
    entry::Entry,
    keys::{LineKeys, Numbered},
};
use crate::{
    mirror::{self, Seen, Source},
    request::range,
};

/// The claim behind a place in line, and what it says of itself when it is a lock's of this library.
///
/// Those of others are called by their lease and the revision at which they came: one that comes again is
/// another claim.
pub(super) fn claim(line: &LineId, keys: &LineKeys, kv: &KeyValue) -> (ClaimId, Option<Entry>) {
    let session = SessionId::new(kv.lease().cast_unsigned());
    let ours = match (line.kind(), keys.number(kv.key(), kv.lease())) {
        (Kind::Election, Some(Numbered::As(number))) => Some((number, None)),
        (Kind::Election, _) | (_, None) => None,
        (_, Some(_)) => Entry::read(kv.key(), kv.value()).ok().map(|entry| (entry.claim, Some(entry))),
    };
    let (number, entry) = ours.unwrap_or((kv.create_revision().cast_unsigned(), None));
    (ClaimId { session, number }, entry)
}

/// The line that these places make up. `passed` is the revision at which the first in line last went, as far
/// as that is known: since then the next one is the first.
fn line<'a>(
    id: &LineId,
    keys: &LineKeys,
    revision: i64,
    passed: i64,
    all: impl Iterator<Item = &'a KeyValue>,
) -> Result<Line> {
    let mut all: Vec<&KeyValue> = all.collect();
    all.sort_by_key(|kv| kv.create_revision());
    let places = all.iter().enumerate().map(|(at, kv)| place(id, keys, kv, (at == 0).then_some(passed)));
    let places = places.collect::<Result<_>>()?;
    Ok(Line { id: id.clone(), revision: revision.cast_unsigned(), places, foreign: 0 })
}

/// One place; `first` says since when it is the first, if it is.
fn place(id: &LineId, keys: &LineKeys, kv: &KeyValue, first: Option<i64>) -> Result<LinePlace> {
    let (claim, entry) = claim(id, keys, kv);
    let (created, shown) = (kv.create_revision(), entry.as_ref().and_then(|entry| entry.token));
    let token = match first {
        None => None,
        Some(_) if id.kind() == Kind::Election => Some(created.cast_unsigned()),
        Some(_) if shown.is_some() => shown,
        // One of ours that waited shows its token after a while.
        Some(since) if entry.is_some() && since > created => None,
        Some(since) => Some(since.max(created).cast_unsigned()),
    };
    let (owner, since, payload): (Arc<str>, SystemTime, Payload) = match entry {
        Some(Entry { record, .. }) => (record.owner, record.since, record.payload),
        None => (stranger(keys, kv).into(), UNIX_EPOCH, payload(kv.value())?),
    };
    let token = token.map(FencingToken::new).transpose()?;
    Ok(LinePlace {
        claim,
        place: created.cast_unsigned(),
        mode: Mode::Exclusive,
        owner,
        payload,
        since,
        token,
    })
}

/// What is known of somebody who does not say who it is.
fn stranger(keys: &LineKeys, kv: &KeyValue) -> String {
    if kv.lease() != 0 && keys.number(kv.key(), kv.lease()).is_some() {
        return format!("etcd lease {:x}", kv.lease());
    }
    let key: String = String::from_utf8_lossy(kv.key()).chars().take(200).collect();
    match kv.lease() {
        0 => format!("etcd key {key:?}, without a lease"),
        lease => format!("etcd key {key:?}, lease {lease:x}"),
    }
}

/// As much of it as there is room for.
fn payload(value: &[u8]) -> Result<Payload> {
    Payload::new(value.get(..Payload::MAX_BYTES).unwrap_or(value))
}

impl Go {
    /// The line as it is.
    pub(super) async fn inspect(&self, id: &LineId) -> Result<Line> {
        let keys = self.room.line(id)?;
        let mut reply = self.look(vec![range(keys.prefix())]).await?;
        let all = reply.keys();
        let line = line(id, &keys, reply.revision, 0, all.iter())?;
        Ok(self.with_own_tokens(line))
    }

    /// Of its own claims a session knows the tokens.
    fn with_own_tokens(&self, mut line: Line) -> Line {
        if let Some(first) = line.places.first_mut()
            && let Some(standing) = locked(&self.table).claim(first.claim)
            && standing.line == line.id
        {
            first.token = standing.fate.token();
        }
        line
    }

    /// The line as it is, and whenever it has changed.
    pub(super) fn changes(self: &Arc<Self>, id: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        let keys = self.room.line(id)?;
        let prefix = keys.prefix().to_owned();
        let source = Watched { go: self.clone(), id: id.clone(), keys };
        Ok(mirror::changes(source, &self.watcher, prefix))
    }
}

struct Watched {
    go: Arc<Go>,
    id: LineId,
    keys: LineKeys,
}

#[async_trait]
impl Source for Watched {
    fn lease(&self) -> &Lease {
        &self.go.lease
    }

    async fn all(&self) -> Result<(i64, Vec<KeyValue>)> {
        let mut reply = self.go.look(vec![range(self.keys.prefix())]).await?;
        Ok((reply.revision, reply.keys()))
    }

    async fn pause(&self) {
        self.go.pause().await;
    }

    fn line(&self, seen: &Seen) -> Result<Line> {
        line(&self.id, &self.keys, seen.revision, seen.passed, seen.keys.values())
    }
}
