//! A claim: one request for a turn.

mod fate;
mod place;

pub use fate::Fate;
pub(crate) use place::{Place, Unfinished, Via};

use std::{fmt, sync::Arc, time::SystemTime};

use crate::{
    error::{Error, ErrorKind, Result},
    line::Mode,
    name::LineId,
    session::SessionId,
    token::FencingToken,
};

/// Names a claim for all time: its session, and its number in it. A store does nothing twice for one id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId {
    /// The session that made it.
    pub session: SessionId,
    /// Its number among the claims of that session, from 0 upwards without gaps.
    pub number: u64,
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimId({self})")
    }
}

/// One request for a turn in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub id: ClaimId,
    /// What it asks for.
    pub mode: Mode,
    /// Who asks, for people to read; host and process by default.
    pub owner: Arc<str>,
    /// What the recipe publishes with it, such as a leader's address.
    pub payload: Payload,
    /// When it was made, by its maker's wall clock; for people to read.
    pub since: SystemTime,
}

/// A few bytes that a claim carries, for everybody to read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Arc<[u8]>);

impl Payload {
    /// The most bytes that a payload holds.
    pub const MAX_BYTES: usize = 4096;

    /// A payload of these bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] for more than [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > Self::MAX_BYTES {
            let message = format!("a payload has at most {} bytes, not {}", Self::MAX_BYTES, bytes.len());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({:?})", String::from_utf8_lossy(&self.0))
    }
}

/// A claim's place in a line: a plain value, given by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which line.
    pub line: LineId,
    /// Whose place.
    pub claim: ClaimId,
    /// The place: smaller came earlier. Strictly increasing per line, never used twice.
    pub place: u64,
}

/// It is a claim's turn.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What a resource can tell a late holder by.
    pub token: FencingToken,
    /// Where the store says that this claim, alone of its session, lost its turn.
    pub fate: Arc<Fate>,
}
