//! The store in memory: what a server would be elsewhere. Every operation is one step under locks that are
//! held for a moment.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::queue::{Granted, Queue};
use crate::{
    backend::{Cell, CellVersion, Line},
    claim::{Claim, ClaimId, Fate, Grant, Left, Payload, Ticket},
    error::{Error, ErrorKind, Result},
    line::Mode,
    name::LineId,
    runtime::{SharedRuntime, boot_clock},
    session::{LostReason, SessionId},
    sync::locked,
    token::FencingToken,
};

/// How many parts lines and claims are spread over, so that unrelated ones seldom meet at a lock.
const PARTS: usize = 16;

/// Locks are taken in this order: one stripe of a member, then one shard. Nobody is woken under one: what a waker
/// runs may come back to this store.
#[derive(Debug)]
pub(super) struct Store {
    clock: Clock,
    /// Numbers everything: places, tokens, revisions and cell versions. Never goes back, so they need not be
    /// kept per line.
    counter: AtomicU64,
    members: Mutex<BTreeMap<SessionId, Arc<Member>>>,
    /// No session expires before this; nanoseconds on the store's clock.
    earliest_expiry: AtomicU64,
    /// Rings when a session is opened: it may be the next to expire.
    opened: Notify,
    shards: [Mutex<Shard>; PARTS],
    /// How many calls were served, renewals aside.
    #[cfg(feature = "testkit")]
    pub(super) served: AtomicU64,
    /// Declares fewer modes than there are.
    #[cfg(feature = "testkit")]
    pub(super) exclusive_only: AtomicBool,
}

/// The store's own clock, like a server's.
#[derive(Debug)]
enum Clock {
    Boot,
    Of(SharedRuntime),
}

/// A session, as the store knows it.
#[derive(Debug)]
pub(super) struct Member {
    id: SessionId,
    ttl: Duration,
    /// Nanoseconds on the store's clock; changed under the lock of `members`.
    expires: AtomicU64,
    ended: AtomicBool,
    stripes: [Mutex<Stripe>; PARTS],
    #[cfg(feature = "testkit")]
    pub(super) faults: super::faults::Faults,
}

/// Every [`PARTS`]th of a session's claims, numbered without gaps again.
#[derive(Debug, Default)]
struct Stripe {
    in_line: FxHashMap<u64, InLine>,
    left: Left,
    /// Those of `left` that an operator removed. A few.
    evicted: HashSet<u64>,
}

#[derive(Clone, Debug)]
struct InLine {
    line: LineId,
    place: u64,
    fate: Arc<Fate>,
}

impl Stripe {
    /// One that was evicted before its owner heard of its grant must not hear of something else.
    fn check_eviction(&self, number: u64) -> Result<()> {
        if self.evicted.contains(&number) { Err(Error::lost(LostReason::Evicted)) } else { Ok(()) }
    }
}

impl InLine {
    fn ticket(&self, claim: ClaimId) -> Ticket {
        Ticket { line: self.line.clone(), claim, place: self.place }
    }

    fn granted(&self, claim: ClaimId) -> Result<(Ticket, Grant)> {
        let token = self.fate.token().ok_or_else(not_held)?;
        Ok((self.ticket(claim), Grant { token, fate: self.fate.clone() }))
    }
}

/// Some of the lines.
#[derive(Debug, Default)]
struct Shard {
    queues: FxHashMap<LineId, Queue>,
    cells: FxHashMap<LineId, Cell>,
    /// There is one while somebody watches the line.
    observed: FxHashMap<LineId, Observed>,
    /// A line comes and goes with each turn that nobody else waits for: what it allocated serves the next.
    spare: Option<Queue>,
}

/// Who is to be woken, once nothing is locked.
#[must_use]
struct News {
    ended: Option<Arc<Fate>>,
    granted: Granted,
    observers: Option<Arc<Notify>>,
}

impl News {
    /// The one who goes hears of it before the one who comes.
    fn tell(self) {
        if let Some(fate) = self.ended {
            fate.ring();
        }
        if let Some(observers) = self.observers {
            observers.notify_waiters();
        }
        for (fate, token) in self.granted {
            fate.grant(token);
        }
    }
}

#[derive(Debug, Default)]
struct Observed {
    /// Rings when the line changes.
    changed: Arc<Notify>,
    /// How often it has changed since somebody watches.
    changes: u64,
    observers: usize,
}

impl Store {
    pub(super) fn new(clock: Option<SharedRuntime>) -> Self {
        Self {
            clock: clock.map_or(Clock::Boot, Clock::Of),
            counter: AtomicU64::new(0),
            members: Mutex::default(),
            earliest_expiry: AtomicU64::new(u64::MAX),
            opened: Notify::new(),
            shards: Default::default(),
            #[cfg(feature = "testkit")]
            served: AtomicU64::new(0),
            #[cfg(feature = "testkit")]
            exclusive_only: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        match &self.clock {
            Clock::Boot => boot_clock(),
            Clock::Of(runtime) => runtime.now(),
        }
        .as_nanos()
    }

    fn next_number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn shard(&self, line: &LineId) -> &Mutex<Shard> {
        part(&self.shards, line.hash_code())
    }

    // Sessions

    pub(super) fn open(&self, id: SessionId, ttl: Duration) -> Result<Arc<Member>> {
        let expires = self.now().saturating_add(nanos(ttl));
        let member = Arc::new(Member {
            id,
            ttl,
            expires: AtomicU64::new(expires),
            ended: AtomicBool::new(false),
            stripes: Default::default(),
            #[cfg(feature = "testkit")]
            faults: super::faults::Faults::default(),
        });
        let mut members = locked(&self.members);
        if members.contains_key(&id) {
            return Err(Error::new(ErrorKind::InvalidOption, format!("session {id} is open already")));
        }
        members.insert(id, member.clone());
        self.earliest_expiry.fetch_min(expires, Ordering::Relaxed);
        drop(members);
        self.opened.notify_waiters();
        Ok(member)
    }

    /// Starts the session's ttl anew; `false` when the session has ended.
    pub(super) fn renew(&self, member: &Member) -> bool {
        self.sweep();
        let members = locked(&self.members);
        if !members.contains_key(&member.id) {
            return false;
        }
        member.expires.store(self.now().saturating_add(nanos(member.ttl)), Ordering::Relaxed);
        true
    }

    /// Ends the sessions whose ttl has passed. Whoever visits the store does this;
    /// [`next_expiry`](Self::next_expiry) says when somebody should.
    pub(super) fn sweep(&self) {
        let now = self.now();
        if now < self.earliest_expiry.load(Ordering::Relaxed) {
            return;
        }
        let mut expired = Vec::new();
        let mut members = locked(&self.members);
        members.retain(|_, member| {
            let lives = now < member.expires.load(Ordering::Relaxed);
            if !lives {
                expired.push(member.clone());
            }
            lives
        });
        let earliest = members.values().map(|member| member.expires.load(Ordering::Relaxed)).min();
        self.earliest_expiry.store(earliest.unwrap_or(u64::MAX), Ordering::Relaxed);
        drop(members);
        for member in &expired {
            tracing::warn!(session = %member.id, "the session expired");
        }
        self.end_claims(&expired, LostReason::Expired);
    }

    /// How long it is at least until some session may expire.
    pub(super) fn next_expiry(&self) -> Duration {
        Duration::from_nanos(self.earliest_expiry.load(Ordering::Relaxed).saturating_sub(self.now()))
    }

    /// Rings when [`next_expiry`](Self::next_expiry) may have come closer.
    pub(super) fn opened(&self) -> &Notify {
        &self.opened
    }

    pub(super) fn close(&self, id: SessionId) {
        let closed = locked(&self.members).remove(&id);
        self.end_claims(closed.as_slice(), LostReason::Closed);
    }

    /// Those behind in a line go first, so that no place is handed from one dead claim to another.
    fn end_claims(&self, members: &[Arc<Member>], reason: LostReason) {
        let mut claims: Vec<InLine> = Vec::new();
        for member in members {
            // A join that holds its stripe now is in `in_line` before we look; one that comes later sees
            // this.
            member.ended.store(true, Ordering::Release);
            for stripe in &member.stripes {
                claims.extend(locked(stripe).in_line.drain().map(|(_, claim)| claim));
            }
        }
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.place));
        for claim in claims {
            self.depart(claim, reason).tell();
        }
    }

    // Claims

    pub(super) fn join(&self, member: &Member, line: &LineId, claim: &Claim) -> Result<Ticket> {
        self.sweep();
        let (stripe, number) = member.stripe(claim.id)?;
        let mut stripe = locked(stripe);
        if let Some(there) = stripe.in_line.get(&number) {
            return Ok(there.ticket(claim.id));
        }
        member.check()?;
        stripe.check_eviction(number)?;
        if stripe.left.contains(number) {
            return Err(Error::new(ErrorKind::NotHeld, "this claim has left the line"));
        }
        let (there, news) = self.enter(&mut locked(self.shard(line)), line, claim)?;
        let ticket = there.ticket(claim.id);
        stripe.in_line.insert(number, there);
        drop(stripe);
        news.tell();
        Ok(ticket)
    }

    pub(super) fn try_join(
        &self,
        member: &Member,
        line: &LineId,
        claim: &Claim,
    ) -> Result<Option<(Ticket, Grant)>> {
        self.sweep();
        let (stripe, number) = member.stripe(claim.id)?;
        let mut stripe = locked(stripe);
        if let Some(there) = stripe.in_line.get(&number) {
            return there.granted(claim.id).map(Some);
        }
        member.check()?;
        stripe.check_eviction(number)?;
        let mut shard = locked(self.shard(line));
        let busy = shard.queues.get(line).is_some_and(|queue| !queue.admits(claim.mode));
        if busy || stripe.left.contains(number) {
            stripe.left.insert(number);
            return Ok(None);
        }
        let (there, news) = self.enter(&mut shard, line, claim)?;
        drop(shard);
        let granted = there.granted(claim.id);
        stripe.in_line.insert(number, there);
        drop(stripe);
        news.tell();
        granted.map(Some)
    }

    fn enter(&self, shard: &mut Shard, line: &LineId, claim: &Claim) -> Result<(InLine, News)> {
        // Numbered under the shard's lock: places of one line rise in the order in which they are taken.
        let token = FencingToken::new(self.next_number())?;
        let Shard { queues, spare, .. } = shard;
        let queue = queues.entry(line.clone()).or_insert_with(|| spare.take().unwrap_or_default());
        let fate = queue.join(claim.clone(), token);
        let news = News { ended: None, granted: Granted::new(), observers: shard.change(line) };
        Ok((InLine { line: line.clone(), place: token.get(), fate }, news))
    }

    /// What becomes of the claim, while it is in line.
    pub(super) fn fate(&self, member: &Member, ticket: &Ticket) -> Result<Arc<Fate>> {
        let (stripe, number) = member.stripe(ticket.claim)?;
        let stripe = locked(stripe);
        if let Some(there) = stripe.in_line.get(&number).filter(|there| there.place == ticket.place) {
            return Ok(there.fate.clone());
        }
        member.check()?;
        Err(Error::new(ErrorKind::NotHeld, "the claim is not in line"))
    }

    /// Withdraws or releases; no join of this claim takes effect after it.
    pub(super) fn leave(&self, member: &Member, line: &LineId, claim: ClaimId) -> Result<()> {
        // A claim of a session that should have ended must not get the turn.
        self.sweep();
        let (stripe, number) = member.stripe(claim)?;
        let mut stripe = locked(stripe);
        if stripe.in_line.get(&number).is_some_and(|there| there.line != *line) {
            return Err(Error::new(ErrorKind::InvalidOption, "the claim is in another line"));
        }
        let news = self.withdraw(&mut stripe, number, LostReason::Released);
        drop(stripe);
        if let Some(news) = news {
            news.tell();
        }
        Ok(())
    }

    pub(super) fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        self.sweep();
        let Some(member) = locked(&self.members).get(&claim.session).cloned() else { return Ok(false) };
        let (stripe, number) = member.stripe(claim)?;
        let mut stripe = locked(stripe);
        if stripe.in_line.get(&number).is_none_or(|there| there.line != *line) {
            return Ok(false);
        }
        stripe.evicted.insert(number);
        let news = self.withdraw(&mut stripe, number, LostReason::Evicted);
        drop(stripe);
        if let Some(news) = news {
            news.tell();
        }
        Ok(true)
    }

    /// Takes the claim out of its line, if it is in one, for good.
    fn withdraw(&self, stripe: &mut Stripe, number: u64, reason: LostReason) -> Option<News> {
        stripe.left.insert(number);
        let there = stripe.in_line.remove(&number)?;
        Some(self.depart(there, reason))
    }

    /// The guard of the one who goes is invalid before anybody else comes.
    fn depart(&self, claim: InLine, reason: LostReason) -> News {
        let InLine { line, place, fate } = claim;
        let ended = fate.end_silently(reason).then_some(fate);
        let mut news = News { ended, granted: Granted::new(), observers: None };
        let mut shard = locked(self.shard(&line));
        let Some(queue) = shard.queues.get_mut(&line) else { return news };
        let Some(granted) = queue.leave(place, self.next_number()) else { return news };
        news.granted = granted;
        if queue.is_empty() {
            shard.spare = shard.queues.remove(&line);
        }
        news.observers = shard.change(&line);
        news
    }

    pub(super) fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.change(ticket, |claim| {
            claim.payload = payload;
            Ok(())
        })
    }

    pub(super) fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        self.change(ticket, |claim| {
            if !claim.mode.may_weaken_to(weaker) {
                let message = format!("{} cannot become {weaker} in place", claim.mode);
                return Err(Error::new(ErrorKind::InvalidOption, message));
            }
            claim.mode = weaker;
            Ok(())
        })
    }

    fn change(&self, ticket: &Ticket, change: impl FnOnce(&mut Claim) -> Result<()>) -> Result<()> {
        self.sweep();
        let mut shard = locked(self.shard(&ticket.line));
        let queue = shard.queues.get_mut(&ticket.line).ok_or_else(not_held)?;
        let mut outcome = Ok(());
        let granted = queue
            .change(ticket.place, ticket.claim, self.next_number(), |claim| outcome = change(claim))
            .ok_or_else(not_held)?;
        let news = News { ended: None, granted, observers: shard.change(&ticket.line) };
        drop(shard);
        news.tell();
        outcome
    }

    // Looking

    pub(super) fn inspect(&self, line: &LineId) -> Line {
        self.sweep();
        self.view(&locked(self.shard(line)), line)
    }

    fn view(&self, shard: &Shard, line: &LineId) -> Line {
        match shard.queues.get(line) {
            Some(queue) => queue.view(line),
            // Whatever this line went through had a smaller number.
            None => {
                let revision = self.counter.load(Ordering::Relaxed);
                Line { id: line.clone(), revision, places: Vec::new(), foreign: 0 }
            }
        }
    }

    pub(super) fn observe(self: &Arc<Self>, line: &LineId) -> Observer {
        let mut shard = locked(self.shard(line));
        let observed = shard.observed.entry(line.clone()).or_default();
        observed.observers += 1;
        Observer { store: self.clone(), line: line.clone(), changed: observed.changed.clone() }
    }

    // Cells

    pub(super) fn cell(&self, line: &LineId) -> Cell {
        locked(self.shard(line)).cells.get(line).cloned().unwrap_or_else(Cell::absent)
    }

    pub(super) fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        self.sweep();
        let mut shard = locked(self.shard(line));
        if let Some(ticket) = under {
            let holder = shard.queues.get(line).and_then(|queue| queue.holder(ticket.place, ticket.claim));
            holder.ok_or_else(not_held)?;
        }
        let found = shard.cells.get(line).map_or(CellVersion::ABSENT, |cell| cell.version);
        if found != expected {
            let message = format!("the cell is at version {}, not {}", found.get(), expected.get());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let version = CellVersion::new(self.next_number());
        shard.cells.insert(line.clone(), Cell { version, bytes: bytes.into() });
        Ok(version)
    }

    pub(super) fn forget(&self, line: &LineId) {
        locked(self.shard(line)).cells.remove(line);
    }

    #[cfg(feature = "testkit")]
    pub(super) fn member(&self, id: SessionId) -> Option<Arc<Member>> {
        locked(&self.members).get(&id).cloned()
    }

    /// Makes a session's ttl end now.
    #[cfg(feature = "testkit")]
    pub(super) fn expire(&self, member: &Member) {
        member.expires.store(0, Ordering::Relaxed);
        self.earliest_expiry.store(0, Ordering::Relaxed);
        self.sweep();
    }

    /// How much space the session's past takes.
    #[cfg(test)]
    fn runs_of_left(member: &Member) -> usize {
        member.stripes.iter().map(|stripe| locked(stripe).left.runs()).sum()
    }

    #[cfg(feature = "testkit")]
    pub(super) fn residue(&self) -> super::Residue {
        let mut residue = super::Residue { sessions: locked(&self.members).len(), ..Default::default() };
        for shard in &self.shards {
            let shard = locked(shard);
            residue.lines += shard.queues.len();
            residue.claims += shard.queues.values().map(Queue::len).sum::<usize>();
            residue.cells += shard.cells.len();
            residue.observers += shard.observed.values().map(|observed| observed.observers).sum::<usize>();
        }
        residue
    }
}

impl Member {
    /// Where the claim belongs, and its number there.
    fn stripe(&self, claim: ClaimId) -> Result<(&Mutex<Stripe>, u64)> {
        if claim.session != self.id {
            return Err(Error::new(ErrorKind::InvalidOption, "the claim is another session's"));
        }
        Ok((part(&self.stripes, claim.number), claim.number / PARTS as u64))
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// `Ok` unless the session has ended.
    pub(super) fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::Acquire) { Err(Error::lost(LostReason::Expired)) } else { Ok(()) }
    }
}

impl Shard {
    /// Counts a change of the line, and says who is to be woken.
    fn change(&mut self, line: &LineId) -> Option<Arc<Notify>> {
        let observed = self.observed.get_mut(line)?;
        observed.changes += 1;
        Some(observed.changed.clone())
    }
}

/// Somebody who watches a line.
#[derive(Debug)]
pub(super) struct Observer {
    store: Arc<Store>,
    line: LineId,
    changed: Arc<Notify>,
}

impl Observer {
    /// The line as soon as it has changed more often than `seen`, and how often it has.
    pub(super) async fn next(&self, seen: Option<u64>) -> (u64, Line) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(next) = self.look(seen) {
                return next;
            }
            changed.await;
        }
    }

    fn look(&self, seen: Option<u64>) -> Option<(u64, Line)> {
        self.store.sweep();
        let shard = locked(self.store.shard(&self.line));
        let changes = shard.observed.get(&self.line)?.changes;
        (seen != Some(changes)).then(|| (changes, self.store.view(&shard, &self.line)))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let mut shard = locked(self.store.shard(&self.line));
        if let Some(observed) = shard.observed.get_mut(&self.line) {
            observed.observers -= 1;
            if observed.observers == 0 {
                shard.observed.remove(&self.line);
            }
        }
    }
}

fn not_held() -> Error {
    Error::new(ErrorKind::NotHeld, "the claim is not granted")
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn part<T>(parts: &[T; PARTS], number: u64) -> &T {
    let [first, ..] = parts;
    usize::try_from(number % PARTS as u64).ok().and_then(|index| parts.get(index)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::name::Kind;

    fn claim(session: SessionId, number: u64) -> Claim {
        let (owner, payload) = ("test".into(), Payload::default());
        let id = ClaimId { session, number };
        Claim { id, mode: Mode::Exclusive, owner, payload, since: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn a_session_takes_no_more_space_the_longer_it_lives() {
        let (store, line) = (Store::new(None), LineId::new(Kind::Mutex, "x".parse().unwrap()));
        let member = store.open(SessionId::new(1), Duration::from_mins(1)).unwrap();
        let long_held = claim(member.id, 5);
        for number in 0..10_000 {
            let claim = claim(member.id, number);
            if claim == long_held {
                store.join(&member, &LineId::new(Kind::Mutex, "y".parse().unwrap()), &claim).unwrap();
            } else if number % 2 == 0 {
                store.join(&member, &line, &claim).unwrap();
                store.leave(&member, &line, claim.id).unwrap();
            } else {
                store.try_join(&member, &line, &claim).unwrap().unwrap();
                store.leave(&member, &line, claim.id).unwrap();
            }
        }
        assert!(Store::runs_of_left(&member) <= PARTS + 1, "{}", Store::runs_of_left(&member));
    }

    #[test]
    fn c12_a_claim_of_another_session_or_line_is_not_touched() {
        let store = Store::new(None);
        let line = |name: &str| LineId::new(Kind::Mutex, name.parse().unwrap());
        let [a, b] = [1, 2].map(|id| store.open(SessionId::new(id), Duration::from_mins(1)).unwrap());
        let mine = claim(a.id, 0);
        store.join(&a, &line("x"), &mine).unwrap();
        assert!(store.leave(&a, &line("x"), ClaimId { session: b.id, number: 0 }).is_err());
        assert!(store.leave(&a, &line("y"), mine.id).is_err());
        assert!(!store.evict(&line("y"), mine.id).unwrap());
        assert!(!store.evict(&line("x"), ClaimId { session: a.id, number: u64::MAX }).unwrap());
        assert_eq!(store.inspect(&line("x")).places.len(), 1);
        store.leave(&a, &line("x"), ClaimId { session: a.id, number: u64::MAX }).unwrap();
    }

    #[test]
    fn c10_sessions_that_expire_together_grant_nothing_to_one_another() {
        let (store, line) = (Store::new(None), LineId::new(Kind::Mutex, "x".parse().unwrap()));
        let members: Vec<_> =
            (1..=20).map(|id| store.open(SessionId::new(id), Duration::from_mins(1)).unwrap()).collect();
        let tickets: Vec<_> =
            members.iter().map(|m| store.join(m, &line, &claim(m.id, 0)).unwrap()).collect();
        let fates: Vec<_> = members.iter().zip(&tickets).map(|(m, t)| store.fate(m, t).unwrap()).collect();
        for member in members.iter().take(19) {
            member.expires.store(0, Ordering::Relaxed);
        }
        store.earliest_expiry.store(0, Ordering::Relaxed);
        store.leave(&members[0], &line, tickets[0].claim).unwrap();
        let granted = fates.iter().position(|fate| fate.token().is_some());
        assert_eq!(granted, Some(19), "only the one who lives");
        assert_eq!(store.inspect(&line).places.len(), 1);
    }
}
