//! A claim: one request for a turn.

mod fate;
mod left;
mod place;
mod unfinished;
mod via;

pub use fate::Fate;
pub use left::Left;
pub(crate) use place::Place;
pub(crate) use unfinished::{Unfinished, in_a_task};
pub(crate) use via::Via;

use std::{fmt, str::FromStr, sync::Arc, time::SystemTime};

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

/// As it is displayed, and in no other spelling.
impl FromStr for ClaimId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('.').and_then(|(session, number)| {
            let session = SessionId::new(u64::from_str_radix(session, 16).ok()?);
            Some(Self { session, number: number.parse().ok()? })
        });
        parsed.filter(|id| id.to_string() == text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Error::new(ErrorKind::InvalidOption, format!("{shown:?} is not the name of a claim"))
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_known_by_one_spelling() {
        let id = ClaimId { session: SessionId::new(0xfe), number: 7 };
        assert_eq!(id.to_string(), "00000000000000fe.7");
        assert_eq!(id.to_string().parse::<ClaimId>().unwrap(), id);
        for text in
            ["", "fe.7", "00000000000000fe.07", "00000000000000FE.7", "00000000000000fe.+7", "x.7", "."]
        {
            assert_eq!(text.parse::<ClaimId>().unwrap_err().kind(), ErrorKind::InvalidOption, "{text:?}");
        }
    }
}
