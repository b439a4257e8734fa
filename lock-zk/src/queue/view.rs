//! A line as people and observers see it.

use lock_core::{ClaimId, FencingToken, Line, LineId, LinePlace, Mode, Result, backend::Record};

use super::{Queue, place::Place};
use crate::{
    error::record,
    mirror::{Dir, Mirror},
    paths::{LinePaths, holder, sequence},
};

/// How often a line is read again that changed meanwhile.
const ATTEMPTS: usize = 3;

/// The nodes of a line.
#[derive(Default)]
pub(crate) struct Seen {
    /// The last transaction that changed it.
    revision: i64,
    queued: Vec<(ClaimId, Record, i64)>,
    beyond: Vec<(ClaimId, Record, i64)>,
    /// How many nodes are not ours.
    foreign: usize,
    /// Whether some went while the others were read.
    changed: bool,
}

impl Seen {
    /// What this session's server has.
    pub(crate) async fn read(queue: &Queue, paths: &LinePaths, mirror: &mut Mirror) -> Result<Self> {
        let mut seen = Self::default();
        for _ in 0..ATTEMPTS {
            seen = Self::attempt(queue, paths, mirror).await?;
            if !seen.changed {
                break;
            }
        }
        Ok(seen)
    }

    async fn attempt(queue: &Queue, paths: &LinePaths, mirror: &mut Mirror) -> Result<Self> {
        let connection = &queue.connection;
        let listed = mirror.list(connection, queue.namespace.root(), paths).await?;
        let mut seen = Self { revision: listed.revision, changed: !listed.settled, ..Self::default() };
        let ours = |dir, is_ours: fn(&str) -> bool| {
            let ours = listed.names(dir).iter().filter(|name| is_ours(name));
            ours.map(|name| format!("{}/{name}", listed.path(dir))).collect::<Vec<String>>()
        };
        let mut queued = ours(Dir::Queue, |name| sequence(name).is_some());
        // All names are of one length.
        queued.sort_unstable();
        let mut beyond = ours(Dir::Holders, |name| holder(name).is_some());
        beyond.extend(ours(Dir::Present, |name| name.parse::<ClaimId>().is_ok()));
        let all = [Dir::Queue, Dir::Holders, Dir::Present].map(|dir| listed.names(dir).len());
        seen.foreign = listed.strangers + all.iter().sum::<usize>() - queued.len() - beyond.len();
        let (all, watched) =
            ([queued.as_slice(), &beyond].concat(), |index| index == 0 || index >= queued.len());
        for (index, (path, node)) in mirror.read(connection, all, watched).await?.into_iter().enumerate() {
            let Some((data, stat)) = node else {
                seen.changed = true;
                continue;
            };
            if index < queued.len() {
                let Place { claim, record } = Place::read(&path, &data)?;
                seen.queued.push((claim, record, stat.czxid));
                continue;
            }
            let name = path.rsplit_once('/').map_or("", |(_, name)| name);
            if let Some(claim) = holder(name).map(|(claim, _)| claim).or_else(|| name.parse().ok()) {
                seen.beyond.push((claim, record(&path, &data)?, stat.czxid));
            }
        }
        seen.revision = seen.revision.max(mirror.last_write());
        Ok(seen)
    }

    /// The line that these make up.
    pub(crate) fn line(self, id: &LineId) -> Result<Line> {
        let mut places = Vec::new();
        let (mut admitted, mut gate_is_empty) = (0, true);
        for (claim, record, czxid) in self.beyond {
            let place = record.place.unwrap_or(czxid.cast_unsigned());
            if record.mode != Mode::Present {
                admitted = admitted.max(place);
                gate_is_empty = false;
            }
            places.push(line_place(claim, record, place, Some(FencingToken::new(place)?)));
        }
        // The queue was read first. Whoever has passed the gate since then is in both, and nobody is left of
        // those who were ahead of it.
        let queued = self.queued.into_iter().filter(|(_, _, place)| place.cast_unsigned() > admitted);
        places.extend(
            queued.map(|(claim, record, place)| line_place(claim, record, place.cast_unsigned(), None)),
        );
        places.sort_by_key(|place| place.place);
        let head = places.iter_mut().find(|place| place.token.is_none());
        // The head of the queue holds when it wants to be alone and is.
        if let Some(head) = head.filter(|head| gate_is_empty && !self.changed && head.mode == Mode::Exclusive)
        {
            head.token = Some(FencingToken::new(head.place)?);
        }
        Ok(Line { id: id.clone(), revision: self.revision.cast_unsigned(), places, foreign: self.foreign })
    }
}

fn line_place(claim: ClaimId, record: Record, place: u64, token: Option<FencingToken>) -> LinePlace {
    let Record { owner, mode, since, payload, .. } = record;
    LinePlace { claim, place, mode, owner, payload, since, token }
}
