//! The transactions of `docs/etcd-protocol.md`, as etcd takes them, and what it answers.

use std::collections::BTreeMap;

use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use lock_core::{ClaimId, Mode, SessionId};

use super::standing::Who;
use crate::{
    keys::Namespace,
    news::{News, Ring},
    record::{Record, Seat},
};

pub(crate) fn exists(key: impl Into<Vec<u8>>) -> Compare {
    Compare::create_revision(key, CompareOp::Greater, 0)
}

pub(crate) fn absent(key: impl Into<Vec<u8>>) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, 0)
}

pub(crate) fn created_at(key: impl Into<Vec<u8>>, revision: i64) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, revision)
}

pub(crate) fn untouched(key: impl Into<Vec<u8>>, revision: i64) -> Compare {
    Compare::mod_revision(key, CompareOp::Equal, revision)
}

/// Nothing lies under the prefix.
fn none_under(prefix: impl Into<Vec<u8>>) -> Compare {
    absent(prefix).with_prefix()
}

/// Nothing under the prefix was created after `revision`.
fn none_new_under(prefix: impl Into<Vec<u8>>, revision: i64) -> Compare {
    Compare::create_revision(prefix, CompareOp::Less, revision + 1).with_prefix()
}

/// Under a session's lease, whose id is the session's number. Named in each put, and not kept with
/// `ignore_lease`: a bell that somebody deleted by hand comes back.
pub(crate) fn put_leased(key: String, value: impl Into<Vec<u8>>, session: SessionId) -> TxnOp {
    TxnOp::put(key, value, Some(PutOptions::new().with_lease(session.get().cast_signed())))
}

pub(crate) fn delete(key: String) -> TxnOp {
    TxnOp::delete(key, None)
}

pub(crate) fn get(key: impl Into<Vec<u8>>) -> TxnOp {
    TxnOp::get(key, None)
}

pub(crate) fn range(prefix: impl Into<Vec<u8>>) -> TxnOp {
    TxnOp::get(prefix, Some(GetOptions::new().with_prefix()))
}

/// At most `limit` keys, whichever: sorted reads go through all of them.
pub(crate) fn some_keys(prefix: impl Into<Vec<u8>>, limit: i64) -> TxnOp {
    TxnOp::get(prefix, Some(GetOptions::new().with_prefix().with_keys_only().with_limit(limit)))
}

/// When a newcomer goes straight in, without a place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Free {
    /// The line has no tail, so nobody queues, and the holders behind the gate let this mode in.
    NoTail,
    /// Its tail is a dead claim's: the queue was seen empty while the tail was last written at this revision.
    StaleTail(i64),
}

/// What the holders behind the gate must be like for a newcomer to go straight in.
fn let_in(who: &Who, mode: Mode, seen: i64) -> Compare {
    match mode {
        // A claim that is merely present never asks.
        Mode::Exclusive | Mode::Present => none_under(who.keys.holders()),
        Mode::Shared => none_under(who.keys.permit_holders()),
        // Nobody came since they were counted: who leaves makes room.
        Mode::Permits { .. } => none_new_under(who.keys.holders(), seen),
    }
}

/// How a newcomer wants to come in.
pub(super) struct Entry {
    pub(super) mode: Mode,
    pub(super) record: Vec<u8>,
    pub(super) free: Free,
    /// At which revision the holders' permits were counted; 0 when they leave no room.
    pub(super) seen: i64,
    /// Whether it takes a place in the queue when the line is not free.
    pub(super) may_wait: bool,
}

/// Takes a place, or goes straight in when the line is free.
pub(super) fn enter(who: &Who, entry: &Entry) -> Txn {
    let Entry { mode, free, seen, may_wait, .. } = *entry;
    let (tail, node, void) = (who.keys.tail(), who.keys.node(who.id), who.keys.void(who.id));
    let (seat, id, session) = (who.keys.seat(mode, who.id), who.id.to_string(), who.id.session);
    let record = || put_leased(who.keys.record(who.id), entry.record.clone(), session);
    let queue = || {
        let last = TxnOp::put(tail.clone(), id.clone(), Some(PutOptions::new().with_prev_key()));
        vec![last, put_leased(node.clone(), "", session), record()]
    };
    let straight_in = match mode {
        Mode::Exclusive => queue(),
        _ => vec![put_leased(seat.clone(), Seat::new(mode, None).write(), session), record()],
    };
    let once = vec![absent(node.clone()), absent(void.clone()), absent(seat.clone())];
    let look = vec![get(seat.clone()), get(node.clone()), get(void.clone())];
    if mode == Mode::Present {
        return Txn::new().when(once).and_then(straight_in).or_else(look);
    }
    let is_free = match free {
        Free::NoTail => absent(tail.clone()),
        Free::StaleTail(revision) => untouched(tail.clone(), revision),
    };
    // The queue is empty whenever there is no tail, unless somebody deleted the tail by hand.
    let is_free = vec![is_free, none_under(who.keys.queue()), let_in(who, mode, seen)];
    let barred_by = if mode == Mode::Shared { who.keys.permit_holders() } else { who.keys.holders() };
    let otherwise = if may_wait {
        queue()
    } else {
        vec![get(tail.clone()), some_keys(who.keys.queue(), 1), some_keys(barred_by, 1)]
    };
    let enter = TxnOp::txn(Txn::new().when(is_free).and_then(straight_in).or_else(otherwise));
    Txn::new().when(once).and_then(vec![enter]).or_else(look)
}

/// Makes sure that no join of the claim can land any more, or finds that one has.
pub(super) fn void(who: &Who, mode: Mode) -> Txn {
    let (node, seat) = (who.keys.node(who.id), who.keys.seat(mode, who.id));
    Txn::new()
        .when(vec![absent(node.clone()), absent(seat.clone())])
        .and_then(vec![put_leased(who.keys.void(who.id), "", who.id.session)])
        .or_else(vec![get(seat), get(node)])
}

/// Tells the predecessor that we wait behind it, and its session too.
pub(super) fn link(who: &Who, behind: ClaimId) -> Txn {
    let (node, ahead) = (who.keys.node(who.id), who.keys.node(behind));
    let bell = who.namespace.bell(behind.session);
    let news = Ring::new(behind, News::Followed(who.id)).to_string();
    Txn::new()
        .when(vec![exists(ahead.clone()), exists(node.clone())])
        .and_then(vec![
            put_leased(ahead, who.id.to_string(), behind.session),
            put_leased(bell, news, behind.session),
        ])
        .or_else(vec![
            get(node),
            get(who.namespace.live(who.id.session)),
            get(who.namespace.live(behind.session)),
            some_keys(who.keys.queue(), 2),
            some_keys(who.keys.holders(), 1),
        ])
}

/// A claim's way out of the queue: to nowhere, or to a seat behind the gate.
#[derive(Debug)]
pub(super) struct Departure<'a> {
    pub(super) who: &'a Who,
    /// The last revision of its node that is known.
    pub(super) touched: i64,
    /// The claim before it; none for the head.
    pub(super) behind: Option<ClaimId>,
    /// The claim after it, if that has linked.
    pub(super) next: Option<ClaimId>,
    /// What the next one is told.
    pub(super) news: News,
    pub(super) to: To,
    /// Whether an operator does this to the claim.
    pub(super) evicted: bool,
    /// Whether a join of it may still be on its way.
    pub(super) doubt: bool,
}

/// Where a claim goes that leaves the queue.
#[derive(Debug)]
pub(super) enum To {
    Nowhere,
    /// Admitted: only beside holders that its mode tolerates.
    Gate(Mode),
    /// Weakened where it held.
    Weaker(Mode, Record),
}

/// How the next one is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bells {
    Rung,
    /// By deleting its session's bell, which makes the session look for itself: a store that is full lets
    /// nobody write.
    Deleted,
}

impl Departure<'_> {
    pub(super) fn txn(&self, bells: Bells) -> Txn {
        let who = self.who;
        let mut when = vec![untouched(who.keys.node(who.id), self.touched)];
        let mut look = vec![get(who.keys.node(who.id)), get(who.namespace.live(who.id.session))];
        if let Some(ahead) = self.behind.map(|claim| who.keys.node(claim)) {
            when.push(exists(ahead));
        }
        if let Some(next) = self.next.map(|claim| who.keys.node(claim)) {
            when.push(exists(next.clone()));
            look.push(get(next));
        }
        if let To::Gate(mode) | To::Weaker(mode, _) = self.to {
            look.push(get(who.keys.seat(mode, who.id)));
        }
        if matches!(self.to, To::Gate(Mode::Shared)) {
            when.push(none_under(who.keys.permit_holders()));
        }
        Txn::new().when(when).and_then(self.operations(bells)).or_else(look)
    }

    fn operations(&self, bells: Bells) -> Vec<TxnOp> {
        let (who, session) = (self.who, self.who.id.session);
        let mut then = vec![delete(who.keys.node(who.id))];
        match &self.to {
            To::Nowhere => then.push(delete(who.keys.record(who.id))),
            To::Gate(mode) => then.push(self.seat(*mode)),
            To::Weaker(mode, record) => {
                then.push(self.seat(*mode));
                then.push(put_leased(who.keys.record(who.id), record.write(), session));
            }
        }
        if self.doubt {
            then.push(put_leased(who.keys.void(who.id), "", session));
        }
        let told = self.next.map(|next| (next, self.news));
        let told = told.into_iter().chain(self.evicted.then_some((who.id, News::Evicted)));
        then.extend(ring(&who.namespace, told, bells));
        if self.next.is_none() {
            let (tail, id) = (who.keys.tail(), who.id.to_string());
            let restored = match self.behind {
                Some(ahead) => TxnOp::put(tail.clone(), ahead.to_string(), None),
                None => delete(tail.clone()),
            };
            let i_am_last = Compare::value(tail, CompareOp::Equal, id);
            then.push(TxnOp::txn(Txn::new().when(vec![i_am_last]).and_then(vec![restored])));
        }
        then
    }

    fn seat(&self, mode: Mode) -> TxnOp {
        let seat = Seat::new(mode, Some(self.who.place()));
        put_leased(self.who.keys.seat(mode, self.who.id), seat.write(), self.who.id.session)
    }
}

/// Tells these claims; one write for each session's bell, since a transaction writes a key once.
pub(super) fn ring(
    namespace: &Namespace,
    told: impl IntoIterator<Item = (ClaimId, News)>,
    bells: Bells,
) -> Vec<TxnOp> {
    let mut sessions: BTreeMap<SessionId, Vec<String>> = BTreeMap::new();
    for (claim, news) in told {
        sessions.entry(claim.session).or_default().push(Ring::new(claim, news).to_string());
    }
    let write = |(session, lines): (SessionId, Vec<String>)| match bells {
        Bells::Rung => put_leased(namespace.bell(session), lines.join("\n"), session),
        Bells::Deleted => delete(namespace.bell(session)),
    };
    sessions.into_iter().map(write).collect()
}

/// Gives up a seat behind the gate, or being present.
pub(super) fn unseat(who: &Who, mode: Mode, seat: i64, doubt: bool, evicted: bool) -> Txn {
    let key = who.keys.seat(mode, who.id);
    let mut then = vec![delete(key.clone()), delete(who.keys.record(who.id))];
    if doubt {
        then.push(put_leased(who.keys.void(who.id), "", who.id.session));
    }
    then.extend(ring(&who.namespace, evicted.then_some((who.id, News::Evicted)), Bells::Rung));
    Txn::new().when(vec![created_at(key, seat)]).and_then(then)
}

/// The answer to a transaction.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) succeeded: bool,
    pub(crate) revision: i64,
    answers: std::vec::IntoIter<TxnOpResponse>,
}

impl From<TxnResponse> for Reply {
    fn from(response: TxnResponse) -> Self {
        let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        Self { succeeded: response.succeeded(), revision, answers: response.op_responses().into_iter() }
    }
}

/// The answers, one after another, in the order of the operations.
impl Reply {
    pub(super) fn keys(&mut self) -> Vec<KeyValue> {
        match self.answers.next() {
            Some(TxnOpResponse::Get(mut got)) => got.take_kvs(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn key(&mut self) -> Option<KeyValue> {
        self.keys().into_iter().next()
    }

    /// What a put replaced.
    pub(super) fn replaced(&mut self) -> Option<KeyValue> {
        match self.answers.next() {
            Some(TxnOpResponse::Put(mut put)) => put.take_prev_key(),
            _ => None,
        }
    }

    pub(super) fn nested(&mut self) -> Option<Self> {
        match self.answers.next() {
            Some(TxnOpResponse::Txn(reply)) => Some(reply.into()),
            _ => None,
        }
    }
}
