//! The transactions of `docs/etcd-protocol.md`, as etcd takes them, and what it answers.

use std::collections::BTreeMap;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use lock_core::{ClaimId, Mode, SessionId, backend::Record, bug::Bug};

use super::standing::{State, Who};
use crate::{
    keys::{LineKeys, Namespace},
    news::{News, Ring},
    pointers::{Mark, Tail},
    request::{
        absent, created_at, delete, exists, get, none_new_under, none_under, put_leased, some_keys, untouched,
    },
};

/// When a newcomer goes straight in, without a place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Free {
    /// The line has no tail, so nobody queues, and the holders behind the gate let this mode in.
    NoTail,
    /// Its tail is that of a claim that is no more: the queue was seen empty while the tail was last written
    /// at this revision.
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
    pub(super) record: Record,
    pub(super) outlook: Outlook,
}

/// What is known of a line before a claim enters it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    pub(super) free: Free,
    /// At which revision the holders' permits were counted; 0 when they leave no room.
    pub(super) seen: i64,
}

impl Outlook {
    pub(super) const UNKNOWN: Self = Self { free: Free::NoTail, seen: 0 };
}

impl Entry {
    /// It has not come in before, no request of it was voided, and its session has not ended.
    fn once(&self, who: &Who) -> Vec<Compare> {
        let (seat, node) = (self.seat(who), who.keys.node(who.id));
        let elsewhere = (seat != node).then(|| absent(seat));
        [absent(node), absent(who.keys.void(who.id)), is_alive(who)].into_iter().chain(elsewhere).collect()
    }

    /// What an earlier request has done, when it has come in before.
    fn look(&self, who: &Who) -> Vec<TxnOp> {
        let live = get(who.namespace.live(who.id.session));
        vec![get(self.seat(who)), get(who.keys.node(who.id)), live]
    }

    /// Where it sits when it comes straight in.
    fn seat(&self, who: &Who) -> String {
        who.keys.seat(self.record.mode, who.id)
    }

    /// Nobody is in the way.
    fn is_free(&self, who: &Who) -> Vec<Compare> {
        let tail = match self.outlook.free {
            Free::NoTail => absent(who.keys.tail()),
            Free::StaleTail(revision) => untouched(who.keys.tail(), revision),
        };
        // The queue is empty whenever there is no tail. To look under `q/` would cost as much as the line has
        // had claims since the last compaction: etcd walks over deleted keys.
        vec![tail, let_in(who, self.record.mode, self.outlook.seen)]
    }

    fn put(&self, key: String, who: &Who) -> TxnOp {
        put_leased(key, self.record.write(), who.id.session)
    }

    /// The end of the queue. Who comes behind another asks who that is.
    fn tail(who: &Who, first: bool) -> TxnOp {
        let tail = Tail { claim: who.id, first }.to_string();
        let before = (!first).then(|| PutOptions::new().with_prev_key());
        TxnOp::put(who.keys.tail(), tail, before)
    }

    /// Straight in when nobody is in the way, otherwise a place in the queue.
    ///
    /// An exclusive claim's node is the same either way. It is put outside the inner transaction: etcd counts
    /// what an inner one puts as nothing, and would let it pass when there is no space left.
    pub(super) fn join(&self, who: &Who) -> Txn {
        let node = self.put(who.keys.node(who.id), who);
        let free = Txn::new().when(self.is_free(who));
        let enter = match self.record.mode {
            Mode::Exclusive => {
                let enter = free.and_then(vec![Self::tail(who, true)]).or_else(vec![Self::tail(who, false)]);
                vec![node, TxnOp::txn(enter)]
            }
            _ => {
                let seat = self.put(self.seat(who), who);
                vec![TxnOp::txn(free.and_then(vec![seat]).or_else(vec![Self::tail(who, false), node]))]
            }
        };
        Txn::new().when(self.once(who)).and_then(enter).or_else(self.look(who))
    }

    /// An exclusive claim's place in the queue, where others of its session are in line, so that it would hardly
    /// come straight in: without the inner transaction, which costs etcd more than the rest. If they have gone
    /// meanwhile, it is the head of the queue, and knows whether somebody holds behind the gate.
    pub(super) fn queue(&self, who: &Who) -> Txn {
        let node = self.put(who.keys.node(who.id), who);
        let enter = vec![Self::tail(who, false), node, some_keys(who.keys.holders(), 1)];
        Txn::new().when(self.once(who)).and_then(enter).or_else(self.look(who))
    }

    /// A place behind this claim, if it is the last, and the word to it: a join and a link, between which nobody can come.
    /// Otherwise a place in the queue, behind whoever is.
    pub(super) fn follow(&self, who: &Who, ahead: ClaimId) -> Txn {
        let node = self.put(who.keys.node(who.id), who);
        let tail = TxnOp::put(who.keys.tail(), Tail { claim: who.id, first: false }.to_string(), None);
        let is_last = [Tail::names(&who.keys.tail(), ahead).to_vec(), is_there(who, ahead)].concat();
        Txn::new()
            .when([self.once(who), is_last].concat())
            .and_then([vec![tail, node], word_to(who, ahead)].concat())
            .or_else(vec![TxnOp::txn(self.queue(who))])
    }

    /// Straight in over the tail that a claim of this session has left behind, last written at this revision;
    /// or nothing. It needs no look whether an earlier request has landed: that would have written another
    /// tail. And no inner transaction, which costs etcd more than the rest: this is how a lock is taken again
    /// and again that nobody else wants.
    pub(super) fn again(&self, who: &Who, tail: i64) -> Txn {
        let (void, tail) = (absent(who.keys.void(who.id)), untouched(who.keys.tail(), tail));
        Txn::new()
            .when(vec![void, tail, none_under(who.keys.holders()), is_alive(who)])
            .and_then(vec![self.put(who.keys.node(who.id), who), Self::tail(who, true)])
    }

    /// What makes it a holder at once.
    fn straight_in(&self, who: &Who) -> Vec<TxnOp> {
        let tail = (self.record.mode == Mode::Exclusive).then(|| Self::tail(who, true));
        [self.put(self.seat(who), who)].into_iter().chain(tail).collect()
    }

    /// Straight in when nobody is in the way, otherwise nothing but a look at who is.
    pub(super) fn try_join(&self, who: &Who) -> Txn {
        let barred_by = match self.record.mode {
            Mode::Shared => who.keys.permit_holders(),
            _ => who.keys.holders(),
        };
        let others = [get(who.keys.void(who.id)), get(who.keys.tail()), some_keys(barred_by, 1)];
        Txn::new()
            .when([self.once(who), self.is_free(who)].concat())
            .and_then(self.straight_in(who))
            .or_else([self.look(who), others.to_vec()].concat())
    }

    /// Somebody who is merely present is never in anybody's way.
    pub(super) fn be_present(&self, who: &Who) -> Txn {
        Txn::new().when(self.once(who)).and_then(self.straight_in(who)).or_else(self.look(who))
    }
}

/// Its session has not ended. A lease may be granted once more, by a request that was given up and lands late: what
/// lands with it must not come into a line, for nobody would be told when that lease ends.
fn is_alive(who: &Who) -> Compare {
    exists(who.namespace.live(who.id.session))
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
    let (node, when) = (who.keys.node(who.id), is_there(who, behind));
    Txn::new().when([when, vec![exists(node.clone())]].concat()).and_then(word_to(who, behind)).or_else(vec![
        get(node),
        get(who.namespace.live(who.id.session)),
        get(who.namespace.live(behind.session)),
        get(who.keys.mark()),
        some_keys(who.keys.holders(), 1),
    ])
}

/// The claim that is to be told is in the queue.
fn is_there(who: &Who, behind: ClaimId) -> Vec<Compare> {
    if Bug::LinkUnchecked.is_seeded() { Vec::new() } else { vec![exists(who.keys.node(behind))] }
}

/// That this claim waits behind that one.
fn word_to(who: &Who, behind: ClaimId) -> Vec<TxnOp> {
    let news = Ring::new(behind, News::Followed(who.id)).to_string();
    vec![
        put_leased(who.keys.next(behind), who.id.to_string(), behind.session),
        put_leased(who.namespace.bell(behind.session), news, behind.session),
    ]
}

/// Tells the claim behind one that has gone.
pub(super) fn tell(namespace: &Namespace, keys: &LineKeys, news: (ClaimId, News)) -> Txn {
    Txn::new().when(vec![exists(keys.node(news.0))]).and_then(ring(namespace, [news], None))
}

/// Takes the tail away that this claim has left behind, unless somebody has come since.
pub(super) fn sweep(keys: &LineKeys, gone: ClaimId) -> Txn {
    Txn::new().when(Tail::names(&keys.tail(), gone)).and_then(delete_tail(keys))
}

/// With the line's last claim go the pointers.
fn delete_tail(keys: &LineKeys) -> Vec<TxnOp> {
    vec![delete(keys.tail()), delete(keys.mark())]
}

/// A claim's way out of the queue: to nowhere, or to a seat behind the gate.
#[derive(Clone, Debug)]
pub(super) struct Departure<'a> {
    pub(super) who: &'a Who,
    /// The revision at which somebody last linked behind it, as far as is known; 0 for nobody.
    pub(super) touched: i64,
    /// The claim before it; none for the head.
    pub(super) behind: Option<ClaimId>,
    /// The claim after it, if that has linked.
    pub(super) next: Option<ClaimId>,
    /// What the next one is told.
    pub(super) news: News,
    /// The next one is of the same session: it hears of this from the answer, and its bell is not rung.
    pub(super) tells_here: bool,
    pub(super) to: To,
    /// Whether an operator does this to the claim.
    pub(super) evicted: bool,
    /// Whether a join of it may still be on its way.
    pub(super) doubt: bool,
    /// As which it comes back, as far as that can be guessed.
    pub(super) back: Option<ClaimId>,
    /// The claim that comes next, as far as that can be guessed: it may link while this one is on its way out.
    pub(super) expected: Option<ClaimId>,
}

/// Where a claim goes that leaves the queue.
#[derive(Clone, Debug)]
pub(super) enum To {
    Nowhere,
    /// Admitted: only beside holders that its mode tolerates.
    Gate(Record),
    /// Weakened where it held.
    Weaker(Record),
}

impl To {
    /// What it publishes there.
    fn record(&self) -> Option<&Record> {
        match self {
            Self::Nowhere => None,
            Self::Gate(record) | Self::Weaker(record) => Some(record),
        }
    }
}

impl<'a> Departure<'a> {
    /// That of a claim of this session, with what is known of it.
    pub(super) fn own(who: &'a Who, state: &State, behind: Option<ClaimId>, news: News, to: To) -> Self {
        let (touched, next, doubt) = (state.touched, state.behind(), state.doubt());
        let tells_here = next.is_some_and(|next| next.session == who.id.session);
        let (evicted, back, expected) = (false, None, None);
        Self { who, touched, behind, next, news, tells_here, to, evicted, doubt, back, expected }
    }

    /// What it is when that claim of another session has linked meanwhile.
    pub(super) fn handing_on_to(&self, linked: ClaimId) -> Self {
        Self { next: Some(linked), expected: None, ..self.clone() }
    }

    pub(super) fn txn(&self) -> Txn {
        let who = self.who;
        let (node, next) = (who.keys.node(who.id), who.keys.next(who.id));
        let mut when = vec![exists(&*node), untouched(&*next, self.touched)];
        if Bug::LeaveUnchecked.is_seeded() {
            when.clear();
        }
        let mut look = vec![get(node), get(next), get(who.namespace.live(who.id.session))];
        if let Some(ahead) = self.behind.map(|claim| who.keys.node(claim)) {
            when.push(exists(ahead));
        }
        if let Some(next) = self.next.map(|claim| who.keys.node(claim)) {
            when.push(exists(next.clone()));
            look.push(get(next));
        }
        look.extend(self.to.record().map(|record| get(who.keys.seat(record.mode, who.id))));
        if matches!(&self.to, To::Gate(record) if record.mode == Mode::Shared) {
            when.push(none_under(who.keys.permit_holders()));
        }
        let otherwise = match self.expected {
            Some(expected) => vec![TxnOp::txn(self.hand_on(expected, look))],
            None => look,
        };
        Txn::new().when(when).and_then(self.operations()).or_else(otherwise)
    }

    /// Once it is known that something has changed: when that is this claim, which has linked and is there, it is told.
    /// Its link shows that the one that leaves is there, too: they go together.
    fn hand_on(&self, linked: ClaimId, look: Vec<TxnOp>) -> Txn {
        let keys = &self.who.keys;
        let has_linked = Compare::value(keys.next(self.who.id), CompareOp::Equal, linked.to_string());
        Txn::new()
            .when(vec![has_linked, exists(keys.node(linked))])
            .and_then(self.handing_on_to(linked).operations())
            .or_else(look)
    }

    fn operations(&self) -> Vec<TxnOp> {
        let (who, session) = (self.who, self.who.id.session);
        let mut then = vec![delete(who.keys.node(who.id))];
        // One of the same session has not linked in the store.
        if self.touched > 0 || self.next.is_some() && !self.tells_here {
            then.push(delete(who.keys.next(who.id)));
        }
        then.extend(
            self.to
                .record()
                .map(|record| put_leased(who.keys.seat(record.mode, who.id), record.write(), session)),
        );
        // Who evicts cannot know whether a join of the claim is still on its way.
        if self.doubt || self.evicted {
            then.push(put_leased(who.keys.void(who.id), "", session));
        }
        let mute = Bug::WithdrawUnlinked.is_seeded() && self.behind.is_some();
        let told = self.next.filter(|_| !self.tells_here && !mute).map(|next| (next, self.news));
        let told = told.into_iter().chain(self.evicted.then_some((who.id, News::Evicted)));
        then.extend(ring(&who.namespace, told, self.back));
        if self.next.is_none() {
            then.push(self.hand_back_the_tail());
        }
        then
    }

    /// Nobody has linked: who is last hands the tail back, otherwise somebody is about to link and finds the
    /// mark.
    fn hand_back_the_tail(&self) -> TxnOp {
        let (keys, left) = (&self.who.keys, self.who.id);
        let handed_back = match self.behind {
            Some(claim) => {
                let tail = Tail { claim, first: false }.to_string();
                vec![TxnOp::put(keys.tail(), tail, None), delete(keys.next(claim))]
            }
            None => delete_tail(keys),
        };
        let mark = Mark { left, behind: self.behind }.to_string();
        let marked = vec![TxnOp::put(keys.mark(), mark, None)];
        TxnOp::txn(Txn::new().when(Tail::names(&keys.tail(), left)).and_then(handed_back).or_else(marked))
    }
}

/// Tells these claims; one write for each session's bell, since a transaction writes a key once. Whoever gets a turn is
/// told who comes `back`.
pub(super) fn ring(
    namespace: &Namespace,
    told: impl IntoIterator<Item = (ClaimId, News)>,
    back: Option<ClaimId>,
) -> Vec<TxnOp> {
    let mut sessions: BTreeMap<SessionId, Vec<String>> = BTreeMap::new();
    for (claim, news) in told {
        let ring = Ring { back: back.filter(|_| news == News::Turn), ..Ring::new(claim, news) };
        sessions.entry(claim.session).or_default().push(ring.to_string());
    }
    let write = |(session, lines): (SessionId, Vec<String>)| {
        put_leased(namespace.bell(session), lines.join("\n"), session)
    };
    sessions.into_iter().map(write).collect()
}

/// Gives up a seat behind the gate, or being present.
pub(super) fn unseat(who: &Who, mode: Mode, seat: i64, doubt: bool, evicted: bool) -> Txn {
    let key = who.keys.seat(mode, who.id);
    let mut then = vec![delete(key.clone())];
    if doubt || evicted {
        then.push(put_leased(who.keys.void(who.id), "", who.id.session));
    }
    then.extend(ring(&who.namespace, evicted.then_some((who.id, News::Evicted)), None));
    Txn::new().when(vec![created_at(key, seat)]).and_then(then)
}
