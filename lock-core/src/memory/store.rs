//! The store in memory: what a server would be elsewhere. Every operation is one step under locks that are held for a moment.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    left::Left,
    queue::{Entry, Granted, Queue},
};
use crate::{
    backend::{Cell, CellVersion, Line},
    claim::{Claim, ClaimId, Fate, Payload, Ticket},
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

/// Locks are taken in this order: one stripe of a member, then one shard.
#[derive(Debug)]
pub(super) struct Store {
    clock: Clock,
    /// Numbers everything: places, tokens, revisions and cell versions. Never goes back, so they need not be kept per line.
    counter: AtomicU64,
    members: Mutex<BTreeMap<SessionId, Arc<Member>>>,
    /// No session expires before this; nanoseconds on the store's clock.
    earliest_expiry: AtomicU64,
    /// Rings when a session is opened: it may be the next to expire.
    opened: Notify,
    shards: [Mutex<Shard>; PARTS],
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

/// Some of a session's claims.
#[derive(Debug, Default)]
struct Stripe {
    in_line: HashMap<u64, InLine>,
    left: Left,
}

#[derive(Clone, Debug)]
struct InLine {
    line: LineId,
    place: u64,
    fate: Arc<Fate>,
}

impl InLine {
    fn ticket(&self, claim: ClaimId) -> Ticket {
        Ticket { line: self.line.clone(), claim, place: self.place }
    }
}

/// Some of the lines.
#[derive(Debug, Default)]
struct Shard {
    queues: HashMap<LineId, Queue>,
    cells: HashMap<LineId, Cell>,
    /// Rung when the line changes. There is one while somebody watches the line.
    observers: HashMap<LineId, Arc<Notify>>,
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
        }
    }

    fn now(&self) -> u64 {
        let now = match &self.clock {
            Clock::Boot => boot_clock(),
            Clock::Of(runtime) => runtime.now(),
        };
        nanos(now.since_zero())
    }

    fn next_number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn shard(&self, line: &LineId) -> &Mutex<Shard> {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        part(&self.shards, hasher.finish())
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

    /// Ends the sessions whose ttl has passed. Whoever visits the store does this; [`next_expiry`](Self::next_expiry) says when
    /// somebody should.
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
        for member in expired {
            tracing::warn!(session = %member.id, "the session expired");
            self.end_claims(&member, LostReason::Expired);
        }
    }

    /// How long it is at least until some session may expire.
    pub(super) fn next_expiry(&self) -> Duration {
        Duration::from_nanos(self.earliest_expiry.load(Ordering::Relaxed).saturating_sub(self.now()))
    }

    /// Rings when [`next_expiry`](Self::next_expiry) may have come closer.
    pub(super) fn opened(&self) -> &Notify {
        &self.opened
    }

    pub(super) fn close(&self, member: &Member, reason: LostReason) {
        locked(&self.members).remove(&member.id);
        self.end_claims(member, reason);
    }

    /// Those behind in the same line go first, so that no place is handed from one dead claim to the next.
    fn end_claims(&self, member: &Member, reason: LostReason) {
        // A join that holds its stripe now is in `in_line` before we look; one that comes later sees this.
        member.ended.store(true, Ordering::Release);
        let mut claims: Vec<InLine> = Vec::new();
        for stripe in &member.stripes {
            claims.extend(locked(stripe).in_line.drain().map(|(_, claim)| claim));
        }
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.place));
        for claim in &claims {
            self.depart(claim, reason);
        }
    }

    // Claims

    pub(super) fn join(&self, member: &Member, line: &LineId, claim: &Claim) -> Result<Ticket> {
        self.sweep();
        let mut stripe = locked(member.stripe(claim.id));
        if let Some(there) = stripe.in_line.get(&claim.id.number) {
            return Ok(there.ticket(claim.id));
        }
        member.check()?;
        if stripe.left.contains(claim.id.number) {
            return Err(Error::new(ErrorKind::NotHeld, "this claim has left the line"));
        }
        let (there, granted) = self.enter(&mut locked(self.shard(line)), line, claim)?;
        stripe.in_line.insert(claim.id.number, there.clone());
        grant(granted);
        Ok(there.ticket(claim.id))
    }

    pub(super) fn try_join(&self, member: &Member, line: &LineId, claim: &Claim) -> Result<Option<Ticket>> {
        self.sweep();
        let mut stripe = locked(member.stripe(claim.id));
        if let Some(there) = stripe.in_line.get(&claim.id.number) {
            return Ok(Some(there.ticket(claim.id)));
        }
        member.check()?;
        let mut shard = locked(self.shard(line));
        let busy = shard.queues.get(line).is_some_and(|queue| !queue.admits(claim.mode));
        if busy || stripe.left.contains(claim.id.number) {
            stripe.left.insert(claim.id.number);
            return Ok(None);
        }
        let (there, granted) = self.enter(&mut shard, line, claim)?;
        drop(shard);
        stripe.in_line.insert(claim.id.number, there.clone());
        grant(granted);
        Ok(Some(there.ticket(claim.id)))
    }

    fn enter(&self, shard: &mut Shard, line: &LineId, claim: &Claim) -> Result<(InLine, Granted)> {
        // Numbered under the shard's lock: places of one line rise in the order in which they are taken.
        let token = FencingToken::new(self.next_number())?;
        let fate = Arc::new(Fate::default());
        let there = InLine { line: line.clone(), place: token.get(), fate: fate.clone() };
        let queue = shard.queues.entry(line.clone()).or_default();
        let granted = queue.join(Entry { claim: claim.clone(), token, fate });
        shard.ring(line);
        Ok((there, granted))
    }

    /// Where the claim stands, if it is in line.
    pub(super) fn fate(&self, member: &Member, ticket: &Ticket) -> Option<Arc<Fate>> {
        let stripe = locked(member.stripe(ticket.claim));
        let there = stripe.in_line.get(&ticket.claim.number)?;
        (there.place == ticket.place).then(|| there.fate.clone())
    }

    pub(super) fn leave(&self, member: &Member, line: &LineId, claim: ClaimId, reason: LostReason) -> bool {
        let mut stripe = locked(member.stripe(claim));
        if stripe.in_line.get(&claim.number).is_some_and(|there| there.line != *line) {
            return false;
        }
        stripe.left.insert(claim.number);
        let Some(there) = stripe.in_line.remove(&claim.number) else { return false };
        self.depart(&there, reason);
        true
    }

    /// The one who goes knows it before the one who comes.
    fn depart(&self, claim: &InLine, reason: LostReason) {
        claim.fate.end(reason);
        let mut shard = locked(self.shard(&claim.line));
        let Some(queue) = shard.queues.get_mut(&claim.line) else { return };
        let Some((_, granted)) = queue.leave(claim.place, self.next_number()) else { return };
        if queue.is_empty() {
            shard.queues.remove(&claim.line);
        }
        shard.ring(&claim.line);
        drop(shard);
        grant(granted);
    }

    pub(super) fn evict(&self, line: &LineId, claim: ClaimId) -> bool {
        self.sweep();
        let member = locked(&self.members).get(&claim.session).cloned();
        member.is_some_and(|member| self.leave(&member, line, claim, LostReason::Evicted))
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
        let mut shard = locked(self.shard(&ticket.line));
        let queue = shard.queues.get_mut(&ticket.line).ok_or_else(not_held)?;
        let mut outcome = Ok(());
        let granted = queue
            .change(ticket.place, ticket.claim, self.next_number(), |claim| outcome = change(claim))
            .ok_or_else(not_held)?;
        shard.ring(&ticket.line);
        drop(shard);
        grant(granted);
        outcome
    }

    // Looking

    pub(super) fn inspect(&self, line: &LineId) -> Line {
        self.sweep();
        let shard = locked(self.shard(line));
        match shard.queues.get(line) {
            Some(queue) => queue.view(line),
            // Whatever this line went through had a smaller number.
            None => {
                Line { id: line.clone(), revision: self.counter.load(Ordering::Relaxed), places: Vec::new() }
            }
        }
    }

    pub(super) fn observe(self: &Arc<Self>, line: &LineId) -> Observer {
        let changed = locked(self.shard(line)).observers.entry(line.clone()).or_default().clone();
        Observer { store: self.clone(), line: line.clone(), changed }
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

    #[cfg(feature = "testkit")]
    pub(super) fn residue(&self) -> super::Residue {
        let mut residue = super::Residue { sessions: locked(&self.members).len(), ..Default::default() };
        for shard in &self.shards {
            let shard = locked(shard);
            residue.lines += shard.queues.len();
            residue.claims += shard.queues.values().map(Queue::len).sum::<usize>();
            residue.cells += shard.cells.len();
            residue.observers += shard.observers.len();
        }
        residue
    }
}

impl Member {
    fn stripe(&self, claim: ClaimId) -> &Mutex<Stripe> {
        part(&self.stripes, claim.number)
    }

    /// `Ok` unless the session has ended.
    pub(super) fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::Acquire) { Err(Error::lost(LostReason::Expired)) } else { Ok(()) }
    }
}

impl Shard {
    fn ring(&self, line: &LineId) {
        if let Some(changed) = self.observers.get(line) {
            changed.notify_waiters();
        }
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
    /// The line as soon as its revision is another than `seen`.
    pub(super) async fn next(&self, seen: Option<u64>) -> Line {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let line = self.store.inspect(&self.line);
            if seen != Some(line.revision) {
                return line;
            }
            changed.await;
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let mut shard = locked(self.store.shard(&self.line));
        // One is ours, one is the shard's.
        if Arc::strong_count(&self.changed) == 2 {
            shard.observers.remove(&self.line);
        }
    }
}

fn not_held() -> Error {
    Error::new(ErrorKind::NotHeld, "the claim is not granted")
}

fn grant(granted: Granted) {
    for (fate, token) in granted {
        fate.grant(token);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn part<T>(parts: &[T; PARTS], number: u64) -> &T {
    let [first, ..] = parts;
    usize::try_from(number % PARTS as u64).ok().and_then(|index| parts.get(index)).unwrap_or(first)
}
