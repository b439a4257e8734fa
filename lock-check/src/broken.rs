//! Stores that are broken on purpose: memory behind a wrapper that breaks one clause and keeps the others.
//! What the suite, or the simulator, does not find wrong with them it would not find in a real store either.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lock_core::{
    Capabilities, Claim, ClaimId, Effect, Error, ErrorKind, Fate, FencingToken, Grant, Kind, Lease, Line,
    LineId, LostReason, Memory, Mode, Moment, Payload, Result, SessionId, SessionOptions, Ticket,
    backend::{Answer, Backend, Cell, CellVersion, Session, SharedSession},
    runtime::SharedRuntime,
};
use tokio::sync::Notify;

use crate::Clause;

/// What is wrong with a store. Those that show only now and then say how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// Every fourth claim that waits behind a lone exclusive holder is granted beside it.
    DoubleGrant,
    /// A try is granted beside a lone holder.
    GrantingTry,
    /// A waiter is granted when the one who stood before it is gone, whoever else is ahead.
    VanishGrants,
    /// A try overtakes those who wait.
    BargingTry,
    /// Every second newcomer behind two others takes the place of the one before it.
    Barging,
    /// Every third grant of a line carries the token of the one before.
    TokenRepeated,
    /// Tokens begin anew when the queue was empty.
    TokenReset,
    /// Of two who wait, the first gets the token of the second, and the second that of the first.
    TokensSwapped,
    /// A release makes every waiter look at the line.
    WakeAll,
    /// A release makes one waiter of each session look at the line.
    WakeAllSessions,
    /// A waiter with a crowd behind it does not hear of its turn.
    LostWake,
    /// A join that was given up before anybody waited for its grant is not withdrawn.
    GhostOnCancel,
    /// A join that lands after its leave takes a place.
    LateJoin,
    /// A join that is repeated takes two places.
    LostReplyTwice,
    /// A waiter whose session has ended is granted.
    GrantAfterExpiry,
    /// A release of what is gone releases the holder.
    ReleaseNewer,
    /// `a/b` is the same line as `a`.
    NameLeak,
    /// All kinds of primitive of one name share one cell.
    CellOfAllKinds,
    /// With the cell of `a` that of `a/b` is forgotten.
    ForgetsBelow,
    /// The store ends a session after half of the ttl that it granted.
    EarlyExpiry,
    /// The store ends a session after three times the ttl that it granted.
    SlowExpiry,
    /// When the reply to a join or a leave is lost, it is reported to have had no effect.
    WrongEffect,
    /// A cell is written under a ticket that waits.
    WaiterWrites,
    /// The lease is believed three times as long as it lasts.
    LateLost,
    /// Every third try on a free line is answered `None`.
    NoneFromFreeTry,
    /// A try that is repeated finds its own claim in line, takes it out and is answered `None`.
    NoneFromRepeatedTry,
    /// A cell is written under a ticket that is not granted any more.
    StaleCellWrite,
    /// A cell is written a moment after its version was looked at.
    LookThenWrite,
    /// Closing a session leaves its claims to the ttl.
    ResidueAfterClose,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::DoubleGrant,
        Self::GrantingTry,
        Self::VanishGrants,
        Self::BargingTry,
        Self::Barging,
        Self::TokenRepeated,
        Self::TokenReset,
        Self::TokensSwapped,
        Self::WakeAll,
        Self::WakeAllSessions,
        Self::LostWake,
        Self::GhostOnCancel,
        Self::LateJoin,
        Self::LostReplyTwice,
        Self::GrantAfterExpiry,
        Self::ReleaseNewer,
        Self::NameLeak,
        Self::CellOfAllKinds,
        Self::ForgetsBelow,
        Self::EarlyExpiry,
        Self::SlowExpiry,
        Self::WrongEffect,
        Self::WaiterWrites,
        Self::LateLost,
        Self::NoneFromFreeTry,
        Self::NoneFromRepeatedTry,
        Self::StaleCellWrite,
        Self::LookThenWrite,
        Self::ResidueAfterClose,
    ];

    /// The clause that it breaks.
    #[must_use]
    pub const fn clause(self) -> Clause {
        match self {
            Self::DoubleGrant | Self::GrantingTry | Self::VanishGrants => Clause::C1Exclusion,
            Self::Barging | Self::BargingTry => Clause::C2Fifo,
            Self::TokenRepeated | Self::TokenReset | Self::TokensSwapped => Clause::C3Fencing,
            Self::WakeAll | Self::WakeAllSessions | Self::LostWake => Clause::C4OneWake,
            Self::GhostOnCancel => Clause::C5Cancellation,
            Self::NoneFromFreeTry | Self::NoneFromRepeatedTry => Clause::C6Try,
            Self::LateLost | Self::EarlyExpiry => Clause::C7Lost,
            Self::SlowExpiry => Clause::C8Recovery,
            Self::WrongEffect => Clause::C13Errors,
            Self::LateJoin | Self::LostReplyTwice => Clause::C9LostReply,
            Self::GrantAfterExpiry => Clause::C10Posthumous,
            Self::NameLeak | Self::CellOfAllKinds | Self::ForgetsBelow => Clause::C11Names,
            Self::ReleaseNewer => Clause::C12Release,
            Self::ResidueAfterClose => Clause::C16Close,
            Self::StaleCellWrite | Self::LookThenWrite | Self::WaiterWrites => Clause::C17Cells,
        }
    }
}

/// A crowd: more than wait behind one in any of the suite's cases but that of C4, and as many as do when a
/// simulation ends.
const CROWD: usize = 6;

/// A store in memory with a flaw.
#[derive(Clone, Debug)]
pub struct Broken {
    memory: Memory,
    flaw: Option<Flaw>,
    shared: Arc<Shared>,
}

impl Broken {
    /// `memory`, as it looks through this flaw; or through the same wrapper without one, to show that the
    /// wrapper breaks nothing.
    #[must_use]
    pub fn new(memory: Memory, flaw: Option<Flaw>) -> Self {
        Self { memory, flaw, shared: Arc::default() }
    }
}

/// What all sessions of a broken store know.
#[derive(Debug, Default)]
struct Shared {
    /// Counts chances to go wrong.
    chances: AtomicU64,
    stand_ins: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Claims in line, with the session that made them.
    joined: HashMap<ClaimId, (SharedSession, Claim)>,
    /// Claims that have another place than their owner believes.
    moved: HashMap<ClaimId, Ticket>,
    /// Claims whose grant was waited for.
    awaited: HashSet<ClaimId>,
    last_token: HashMap<LineId, FencingToken>,
    /// Tokens that were given to somebody else than their owner.
    swapped: HashMap<ClaimId, FencingToken>,
    /// The revision of a line at which a session has looked at it.
    looked: HashMap<(SessionId, LineId), u64>,
    /// The version of each cell.
    cells: HashMap<LineId, CellVersion>,
    /// The place before the first since the line was empty.
    base: HashMap<LineId, u64>,
    bells: HashMap<LineId, Arc<Notify>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("joined", &self.joined.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this chance is one of every `n`.
    fn every(&self, n: u64) -> bool {
        (self.chances.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(n)
    }

    /// The same claim under an id that nobody else uses.
    fn stand_in(&self, claim: &Claim) -> Claim {
        let number = (1 << 40) + self.stand_ins.fetch_add(1, Ordering::Relaxed);
        Claim { id: ClaimId { number, ..claim.id }, ..claim.clone() }
    }

    fn bell(&self, line: &LineId) -> Arc<Notify> {
        self.state().bells.entry(line.clone()).or_default().clone()
    }
}

#[async_trait]
impl Backend for Broken {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        let (runtime, ttl) = (options.runtime.clone(), options.ttl);
        // What the store does, and what it lets its client believe.
        let (kept, believed) = match self.flaw {
            Some(Flaw::LateLost) => (ttl, ttl * 3),
            Some(Flaw::EarlyExpiry) => (ttl / 2, ttl),
            Some(Flaw::SlowExpiry) => (ttl * 3, ttl),
            _ => (ttl, ttl),
        };
        let sent = runtime.now();
        let inner = self.memory.open(SessionOptions { ttl: kept, ..options }).await?;
        let lease = if kept == believed {
            inner.lease().clone()
        } else {
            let lease = Arc::new(Lease::new(runtime.clone(), sent, believed));
            let believing = believe(lease.clone(), inner.clone(), kept, believed, runtime.clone());
            runtime.spawn(Box::pin(believing));
            lease
        };
        let Self { memory, flaw, shared } = self.clone();
        Ok(Arc::new(BrokenSession { inner, lease, memory, flaw, shared, runtime }))
    }
}

/// Reports each renewal of a session that the store keeps for `kept` as one for `believed`.
async fn believe(
    lease: Arc<Lease>,
    inner: SharedSession,
    kept: Duration,
    believed: Duration,
    runtime: SharedRuntime,
) {
    // What a lease takes off its ttl, to find out when the renewal was sent.
    let fresh = Lease::new(runtime.clone(), Moment::from_zero(Duration::ZERO), kept);
    let trusted = fresh.deadline().since_zero();
    while inner.lease().check().is_ok() && lease.check().is_ok() {
        lease.renewed(inner.lease().deadline() - trusted, believed);
        runtime.sleep_until(runtime.now() + kept / 20).await;
    }
}

#[derive(Clone, Debug)]
struct BrokenSession {
    inner: SharedSession,
    lease: Arc<Lease>,
    memory: Memory,
    flaw: Option<Flaw>,
    shared: Arc<Shared>,
    runtime: SharedRuntime,
}

impl BrokenSession {
    /// The line that is used for `line`.
    fn line(&self, line: &LineId) -> LineId {
        let first = line.name().as_str().split('/').next().unwrap_or_default();
        match first.parse() {
            Ok(name) if self.flaw == Some(Flaw::NameLeak) => LineId::new(line.kind(), name),
            _ => line.clone(),
        }
    }

    /// The line whose cell is used for that of `line`.
    fn line_of_cell(&self, line: &LineId) -> LineId {
        match self.flaw {
            Some(Flaw::CellOfAllKinds) => LineId::new(Kind::Mutex, line.name().clone()),
            _ => self.line(line),
        }
    }

    /// Where the claim really stands.
    fn ticket(&self, ticket: &Ticket) -> Ticket {
        let moved = self.shared.state().moved.get(&ticket.claim).cloned();
        moved.unwrap_or_else(|| Ticket { line: self.line(&ticket.line), ..ticket.clone() })
    }

    fn grant(&self, ticket: &Ticket, grant: Grant) -> Grant {
        let mut state = self.shared.state();
        let token = match self.flaw {
            Some(Flaw::TokenRepeated) if self.shared.every(3) => state.last_token.get(&ticket.line).copied(),
            Some(Flaw::TokenReset) => {
                let base = state.base.get(&ticket.line).copied().unwrap_or_default();
                FencingToken::new(grant.token.get().saturating_sub(base)).ok()
            }
            Some(Flaw::TokensSwapped) => self.swapped(&mut state, ticket, grant.token),
            _ => None,
        };
        let grant = Grant { token: token.unwrap_or(grant.token), ..grant };
        state.last_token.insert(ticket.line.clone(), grant.token);
        grant
    }

    /// The token of the first who waits, which gets this one for it.
    fn swapped(&self, state: &mut State, ticket: &Ticket, token: FencingToken) -> Option<FencingToken> {
        let next = self.memory.peek(&ticket.line).waiters().next().cloned();
        if let Some(next) = next
            && ![ticket.claim, next.claim].iter().any(|claim| state.swapped.contains_key(claim))
        {
            state.swapped.insert(ticket.claim, FencingToken::new(next.place).ok()?);
            state.swapped.insert(next.claim, token);
        }
        state.swapped.get(&ticket.claim).copied()
    }

    /// The line was empty before this place was taken.
    fn note_base(&self, ticket: &Ticket) {
        if self.memory.peek(&ticket.line).places.first().is_none_or(|first| first.place == ticket.place) {
            self.shared.state().base.insert(ticket.line.clone(), ticket.place - 1);
        }
    }

    /// Moves the one before the last in line behind the last.
    async fn demote(&self, line: &LineId) -> Result<()> {
        let waiting: Vec<ClaimId> = self.memory.peek(line).waiters().map(|place| place.claim).collect();
        let [.., victim, _] = waiting[..] else { return Ok(()) };
        let Some((session, claim)) = self.shared.state().joined.get(&victim).cloned() else { return Ok(()) };
        if !self.shared.every(2) {
            return Ok(());
        }
        let stand_in = self.shared.stand_in(&claim);
        let ticket = session.join(line, &stand_in).await?;
        self.shared.state().moved.insert(victim, ticket);
        session.leave(line, victim).await
    }

    /// A try that should have failed.
    async fn granted_all_the_same(&self, line: &LineId, claim: &Claim) -> Result<Option<(Ticket, Grant)>> {
        let somebody_waits = self.memory.peek(line).waiters().count() > 0;
        match self.flaw {
            Some(Flaw::GrantingTry) if !somebody_waits => {}
            Some(Flaw::BargingTry) if somebody_waits => {}
            _ => return Ok(None),
        }
        let ticket = self.inner.join(line, &self.shared.stand_in(claim)).await?;
        self.shared.state().moved.insert(claim.id, ticket.clone());
        let ticket = Ticket { claim: claim.id, ..ticket };
        let grant = Self::forged(&ticket)?;
        Ok(Some((ticket, grant)))
    }

    /// An error as it is reported.
    fn reported(&self, error: Error) -> Error {
        if self.flaw == Some(Flaw::WrongEffect) && error.effect() == Effect::Unknown {
            return Error::new(error.kind(), error.to_string());
        }
        error
    }

    fn forged(ticket: &Ticket) -> Result<Grant> {
        let (fate, token) = (Arc::new(Fate::default()), FencingToken::new(ticket.place)?);
        fate.grant(token);
        Ok(Grant { token, fate })
    }

    /// Whether the claim is first behind a lone exclusive holder, and itself exclusive.
    fn is_second(&self, ticket: &Ticket) -> bool {
        let line = self.memory.peek(&ticket.line);
        let exclusive =
            |index: usize| line.places.get(index).is_some_and(|place| place.mode == Mode::Exclusive);
        exclusive(0) && exclusive(1) && line.places.get(1).is_some_and(|place| place.claim == ticket.claim)
    }

    fn is_in_line(&self, line: &LineId, claim: ClaimId) -> bool {
        self.memory.peek(line).places.iter().any(|place| place.claim == claim)
    }

    fn waits(&self, ticket: &Ticket) -> bool {
        self.memory.peek(&ticket.line).waiters().any(|place| place.claim == ticket.claim)
    }

    fn has_a_crowd(&self, ticket: &Ticket) -> bool {
        self.memory.peek(&ticket.line).waiters().count() >= CROWD
    }

    /// Whoever stood right before the claim when this was asked.
    async fn predecessor_is_gone(&self, ticket: &Ticket) {
        let places = || self.memory.peek(&ticket.line).places;
        let before = places().iter().rev().find(|place| place.place < ticket.place).map(|place| place.claim);
        loop {
            let places = places();
            let there = |claim| places.iter().any(|place| place.claim == claim);
            if there(ticket.claim) && !before.is_some_and(there) {
                return;
            }
            self.runtime.sleep_until(self.runtime.now() + Duration::from_millis(5)).await;
        }
    }

    /// Whether one that is woken looks at the line.
    fn looks(&self, ticket: &Ticket) -> bool {
        let revision = self.memory.peek(&ticket.line).revision;
        let here = (ticket.claim.session, ticket.line.clone());
        let before = self.shared.state().looked.insert(here, revision);
        self.flaw == Some(Flaw::WakeAll) || before != Some(revision)
    }

    async fn granted_at_last(&self, ticket: &Ticket) -> Result<Grant> {
        loop {
            let now_at = self.ticket(ticket);
            let bell = self.shared.bell(&now_at.line);
            let outcome = tokio::select! { biased;
                outcome = self.inner.granted(&now_at) => outcome,
                () = bell.notified(), if matches!(self.flaw, Some(Flaw::WakeAll | Flaw::WakeAllSessions)) => {
                    if self.looks(&now_at) {
                        self.inner.inspect(&now_at.line).await?;
                    }
                    continue;
                }
                () = self.predecessor_is_gone(&now_at), if self.flaw == Some(Flaw::VanishGrants) => Self::forged(&now_at),
            };
            match outcome {
                Ok(grant) => return Ok(grant),
                // It was moved meanwhile.
                Err(_) if self.ticket(ticket) != now_at => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a claim's life comes to.
impl BrokenSession {
    async fn joined(&self, line: &LineId, claim: &Claim) -> Result<Ticket> {
        let line = self.line(line);
        let again = self.is_in_line(&line, claim.id);
        let ticket = match self.inner.join(&line, claim).await {
            Err(error) if error.kind() == ErrorKind::NotHeld && self.flaw == Some(Flaw::LateJoin) => {
                self.inner.join(&line, &self.shared.stand_in(claim)).await?
            }
            Ok(_) if again && self.flaw == Some(Flaw::LostReplyTwice) => {
                let ticket = self.inner.join(&line, &self.shared.stand_in(claim)).await?;
                self.shared.state().moved.insert(claim.id, ticket.clone());
                ticket
            }
            ticket => ticket.map_err(|error| self.reported(error))?,
        };
        self.shared.state().joined.insert(claim.id, (self.inner.clone(), claim.clone()));
        match self.flaw {
            Some(Flaw::Barging) => self.demote(&line).await?,
            Some(Flaw::TokenReset) => self.note_base(&ticket),
            // So that a caller can go away at this point.
            Some(Flaw::GhostOnCancel) => tokio::task::yield_now().await,
            _ => {}
        }
        Ok(Ticket { claim: claim.id, ..ticket })
    }

    /// Which version of the cell a write is to replace that expects this one.
    async fn version_to_replace(&self, line: &LineId, expected: CellVersion) -> CellVersion {
        let version = || self.shared.state().cells.get(line).copied().unwrap_or(CellVersion::ABSENT);
        if self.flaw != Some(Flaw::LookThenWrite) || version() != expected {
            return expected;
        }
        tokio::task::yield_now().await;
        version()
    }

    /// The lines whose cells are forgotten with that of `line`.
    fn forgotten_with(&self, line: &LineId) -> Vec<LineId> {
        let cells = &mut self.shared.state().cells;
        cells.remove(line);
        let below = format!("{}/", line.name());
        let nested =
            |other: &&LineId| other.kind() == line.kind() && other.name().as_str().starts_with(&below);
        match self.flaw {
            Some(Flaw::ForgetsBelow) => cells.keys().filter(nested).cloned().collect(),
            _ => Vec::new(),
        }
    }

    async fn granted_or_so(&self, ticket: &Ticket) -> Result<Grant> {
        self.shared.state().awaited.insert(ticket.claim);
        if self.flaw == Some(Flaw::DoubleGrant) && self.is_second(ticket) && self.shared.every(4) {
            return Self::forged(ticket);
        }
        let waits = self.waits(ticket);
        match self.granted_at_last(ticket).await {
            Ok(_) if self.flaw == Some(Flaw::LostWake) && waits && self.has_a_crowd(ticket) => {
                std::future::pending().await
            }
            Err(error)
                if error.kind() == ErrorKind::SessionLost && self.flaw == Some(Flaw::GrantAfterExpiry) =>
            {
                Self::forged(ticket)
            }
            granted => Ok(self.grant(ticket, granted?)),
        }
    }

    async fn tried(&self, line: &LineId, claim: &Claim) -> Result<Option<(Ticket, Grant)>> {
        let line = self.line(line);
        let free = self.memory.peek(&line).places.is_empty();
        if self.flaw == Some(Flaw::NoneFromFreeTry) && free && self.shared.every(3) {
            return Ok(None);
        }
        if self.flaw == Some(Flaw::NoneFromRepeatedTry) && self.is_in_line(&line, claim.id) {
            self.inner.leave(&line, claim.id).await?;
            return Ok(None);
        }
        let taken = self.inner.try_join(&line, claim).await.map_err(|error| self.reported(error))?;
        let Some((ticket, grant)) = taken else { return self.granted_all_the_same(&line, claim).await };
        self.shared.state().awaited.insert(claim.id);
        self.note_base(&ticket);
        let grant = self.grant(&ticket, grant);
        Ok(Some((ticket, grant)))
    }

    async fn left(&self, line: &LineId, claim: ClaimId) -> Result<()> {
        let line = self.line(line);
        let (moved, awaited) = {
            let mut state = self.shared.state();
            state.joined.remove(&claim);
            (state.moved.get(&claim).map(|ticket| ticket.claim), state.awaited.contains(&claim))
        };
        let claim = moved.unwrap_or(claim);
        let places = self.memory.peek(&line).places;
        let in_line = places.iter().any(|place| place.claim == claim);
        if self.flaw == Some(Flaw::GhostOnCancel) && in_line && !awaited {
            return Ok(());
        }
        if self.flaw == Some(Flaw::ReleaseNewer) && !in_line {
            let holder = places.first().map(|place| place.claim);
            let known = holder.and_then(|holder| self.shared.state().joined.get(&holder).cloned());
            if let Some((session, newer)) = known {
                session.leave(&line, newer.id).await?;
            }
        }
        self.inner.leave(&line, claim).await.map_err(|error| self.reported(error))?;
        self.shared.bell(&line).notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl Session for BrokenSession {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        let (this, line, claim) = (self.clone(), line.clone(), claim.clone());
        Answer::later(async move { this.joined(&line, &claim).await })
    }

    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        let (this, ticket) = (self.clone(), ticket.clone());
        Answer::later(async move { this.granted_or_so(&ticket).await })
    }

    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        let (this, line, claim) = (self.clone(), line.clone(), claim.clone());
        Answer::later(async move { this.tried(&line, &claim).await })
    }

    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        let (this, line) = (self.clone(), line.clone());
        Answer::later(async move { this.left(&line, claim).await })
    }

    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.inner.update(&self.ticket(ticket), payload).await
    }

    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        self.inner.set_mode(&self.ticket(ticket), weaker).await
    }

    async fn inspect(&self, line: &LineId) -> Result<Line> {
        self.inner.inspect(&self.line(line)).await
    }

    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        self.inner.changes(&self.line(line)).await
    }

    async fn cell(&self, line: &LineId) -> Result<Cell> {
        self.inner.cell(&self.line_of_cell(line)).await
    }

    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        let (line, under) = (self.line_of_cell(line), under.map(|ticket| self.ticket(ticket)));
        let expected = self.version_to_replace(&line, expected).await;
        match self.inner.put_cell(&line, expected, bytes, under.as_ref()).await {
            Err(error) if error.kind() == ErrorKind::NotHeld && self.flaw == Some(Flaw::StaleCellWrite) => {
                let version = self.inner.cell(&line).await?.version;
                self.inner.put_cell(&line, version, bytes, None).await
            }
            Err(error) if error.kind() == ErrorKind::NotHeld && self.flaw == Some(Flaw::WaiterWrites) => {
                if under.is_some_and(|ticket| self.waits(&ticket)) {
                    self.inner.put_cell(&line, expected, bytes, None).await
                } else {
                    Err(error)
                }
            }
            written => {
                self.shared.state().cells.extend(written.as_ref().ok().map(|version| (line, *version)));
                written
            }
        }
    }

    async fn forget(&self, line: &LineId) -> Result<()> {
        let line = self.line_of_cell(line);
        for below in self.forgotten_with(&line) {
            self.inner.forget(&below).await?;
        }
        self.inner.forget(&line).await
    }

    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let moved = self.shared.state().moved.get(&claim).map(|ticket| ticket.claim);
        self.inner.evict(&self.line(line), moved.unwrap_or(claim)).await
    }

    async fn close(&self) -> Result<()> {
        if self.flaw == Some(Flaw::ResidueAfterClose) {
            self.lease.lose(LostReason::Closed);
            return Ok(());
        }
        self.inner.close().await
    }

    fn abandon(&self) {
        self.inner.abandon();
    }
}
