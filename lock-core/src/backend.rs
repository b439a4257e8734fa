//! The seam: what a store implements, and all that a recipe sees of it.
//!
//! A store's crate implements [`Backend`] and [`Session`] and passes the conformance suite; everything a user
//! touches is written once, above. `CONTRIBUTING.md` shows how to add one; `docs/contract.md` has the clauses
//! (C1–C17) that are cited here.

use std::{any::Any, fmt, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use futures_core::stream::BoxStream;

pub use crate::{answer::Answer, claim::Left, line::RawNames, record::Record};
use crate::{
    capability::Capabilities,
    claim::{Claim, ClaimId, Grant, Payload, Ticket},
    error::{Error, ErrorKind, Result},
    line::Mode,
    name::LineId,
    session::{Lease, SessionOptions},
    token::FencingToken,
};

/// A session that is shared.
pub type SharedSession = Arc<dyn Session>;

/// One kind of store, configured.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Opens a session, and proves by it that the store is reachable and allows us in.
    ///
    /// # Errors
    ///
    /// Clear and typed, within the store's connect timeout; nothing stays behind.
    async fn open(&self, options: SessionOptions) -> Result<SharedSession>;
}

/// Liveness in a store, and every operation on lines. All that a session put into the store vanishes when it
/// ends, cells apart.
///
/// The core calls [`leave`](Self::leave) for each claim that it stops wanting. It never drops the future of a
/// call that changes the store before it has ended (what a caller drops, the runtime finishes), so these need
/// not be cancel-safe; [`granted`](Self::granted), the reading calls and [`put_cell`](Self::put_cell) must
/// be. A call that fails with a retryable error is repeated while the session lives, with the same arguments.
///
/// The calls of a claim's life give an [`Answer`], so that a turn costs no more than the store makes it cost.
///
/// Errors need not name the operation or the line: the core adds them.
#[async_trait]
pub trait Session: Any + fmt::Debug + Send + Sync {
    /// What the store promises to this session.
    fn capabilities(&self) -> Capabilities;

    /// The local deadline and the lost signal. The session renews itself and reports each acknowledged
    /// renewal here; it calls [`Lease::suspect`] and [`Lease::lose`] when it learns something sooner.
    fn lease(&self) -> &Arc<Lease>;

    /// Takes a place at the end of `line`: one atomic step in the store, and the FIFO point. Idempotent by
    /// claim id (C9): a second call gives the first one's ticket.
    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket>;

    /// Waits until it is the ticket's turn. Dropping it keeps the place; calling it again is allowed, also
    /// when granted.
    ///
    /// # Errors
    ///
    /// The claim is not in line any more: its session ended (never granted after that: C10), or it was
    /// evicted.
    fn granted(&self, ticket: &Ticket) -> Answer<Grant>;

    /// Granted now, or nothing stays in line (C6). Idempotent by claim id.
    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>>;

    /// Withdraws or releases, and ends the claim's [`Fate`](crate::Fate). After `Ok`, no join of that id can
    /// ever take effect, even one that is under way; whatever else is in line stays untouched (C12). An
    /// id that is not there is `Ok` too.
    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()>;

    /// Replaces a granted claim's payload.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::ErrorKind::NotHeld) when the ticket is not granted.
    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()>;

    /// Weakens a granted claim's mode where it stands; its token stays.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::ErrorKind::NotHeld) when the ticket is not granted,
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) unless [`Mode::may_weaken_to`] allows it.
    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()>;

    /// The line as it is.
    async fn inspect(&self, line: &LineId) -> Result<Line>;

    /// The line as it is, and again whenever it has changed, also when that made it as it was before: whoever
    /// came and went between two looks may have written the cell. A slow reader gets the latest, never a
    /// backlog, and never an older revision than before. Ends after an error.
    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>>;

    /// The line's cell, linearizably.
    async fn cell(&self, line: &LineId) -> Result<Cell>;

    /// Writes the cell if it is at version `expected`, and if the ticket `under` is granted at that very
    /// point (C17).
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when it is at another version;
    /// [`NotHeld`](crate::ErrorKind::NotHeld) when the ticket is not granted;
    /// [`TooLarge`](crate::ErrorKind::TooLarge) above [`Cell::MAX_BYTES`].
    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion>;

    /// Removes the cell.
    async fn forget(&self, line: &LineId) -> Result<()>;

    /// An operator's force-release of anybody's claim; tells whether it was there. Its holder is told, perhaps
    /// after the next one was granted (C7); tokens go on rising.
    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool>;

    /// Leaves every line, then ends: the store is as it was found, cells apart (C16). Safe to repeat.
    async fn close(&self) -> Result<()>;

    /// Drops everything without a word, as a crash would: the store finds out by the ttl.
    fn abandon(&self);
}

/// A line as it was at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which line.
    pub id: LineId,
    /// Rises with every change of the line; comparable within one line of one store.
    pub revision: u64,
    /// Everybody in line, in ticket order.
    pub places: Vec<LinePlace>,
    /// How many things lie there that are not this library's and keep nobody waiting. A store that cannot
    /// tell whether they do fails with [`ErrorKind::Garbled`] instead.
    pub foreign: usize,
}

impl Line {
    /// Those who are granted.
    pub fn holders(&self) -> impl Iterator<Item = &LinePlace> {
        self.places.iter().filter(|place| place.token.is_some())
    }

    /// Those who wait, the next one first.
    pub fn waiters(&self) -> impl Iterator<Item = &LinePlace> {
        self.places.iter().filter(|place| place.token.is_none())
    }
}

/// One claim in a [`Line`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePlace {
    /// Its name: what [`evict`](Session::evict) takes.
    pub claim: ClaimId,
    /// Its place: smaller came earlier.
    pub place: u64,
    /// What it asks for.
    pub mode: Mode,
    /// Who asks.
    pub owner: Arc<str>,
    /// What it carries.
    pub payload: Payload,
    /// When it was made, by its maker's wall clock.
    pub since: SystemTime,
    /// Its token, if it is granted.
    pub token: Option<FencingToken>,
}

/// Which write of a cell; comparable with `==` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CellVersion(u64);

impl CellVersion {
    /// The cell is not there.
    pub const ABSENT: Self = Self(0);

    /// The version with this number. For implementors of a store; 0 is [`ABSENT`](Self::ABSENT), and no two
    /// writes to one line's cell share a number, not even after [`Session::forget`].
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A small durable value beside a line. Outlives the queue and every session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Which write this is.
    pub version: CellVersion,
    /// The value; empty when the cell is absent.
    pub bytes: Arc<[u8]>,
}

impl Cell {
    /// The most bytes that a cell holds.
    pub const MAX_BYTES: usize = 4096;

    /// Refuses a value that is too large. A store calls this before it writes.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) above [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn check_size(bytes: &[u8]) -> Result<()> {
        if bytes.len() <= Self::MAX_BYTES {
            return Ok(());
        }
        let message = format!("a cell has at most {} bytes, not {}", Self::MAX_BYTES, bytes.len());
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    /// A cell that is not there.
    #[must_use]
    pub fn absent() -> Self {
        Self { version: CellVersion::ABSENT, bytes: Arc::default() }
    }
}
