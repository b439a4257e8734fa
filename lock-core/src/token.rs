//! Fencing tokens.

use std::{fmt, num::NonZeroU64, str::FromStr};

use crate::error::{Error, ErrorKind};

/// A number that comes with every grant and lets a resource refuse a holder that is too late.
///
/// Tokens of conflicting grants of one line strictly increase, in the order of the grants: across release,
/// crash, eviction and an empty queue (clause C3). How far that reaches, and whether a restarted store keeps
/// it, is the store's [`TokenScope`](crate::TokenScope).
///
/// A token is comparable **only within one line of one store and layout**. A resource remembers the highest
/// token that it has seen and refuses a lower one; a read lock's token is compared with the last *exclusive*
/// one. Tokens of permits name a grant, they do not order it.
///
/// The value lies in `1..=i64::MAX`, so that it fits a signed SQL column, a JSON number of most languages, or
/// a header.
///
/// ```
/// use lock_core::FencingToken;
///
/// let token: FencingToken = "42".parse()?;
/// assert_eq!(token.to_string(), "42");
/// assert_eq!(token.as_i64(), 42);
/// assert!("0".parse::<FencingToken>().is_err());
/// assert!(u64::MAX.to_string().parse::<FencingToken>().is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(NonZeroU64);

impl FencingToken {
    /// The token with this value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TokenRange`] when `value` is not in `1..=i64::MAX`. A store whose counter has run out
    /// reports this rather than wrap around.
    pub fn new(value: u64) -> Result<Self, Error> {
        NonZeroU64::new(value).filter(|value| i64::try_from(value.get()).is_ok()).map(Self).ok_or_else(|| {
            Error::new(ErrorKind::TokenRange, format!("a fencing token is in 1..={}, not {value}", i64::MAX))
        })
    }

    /// The value, in `1..=i64::MAX`.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The value for a signed column or header; always positive.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        self.0.get().cast_signed()
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FencingToken({})", self.0)
    }
}

impl FromStr for FencingToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let value = text.parse().map_err(|source| {
            Error::new(ErrorKind::TokenRange, format!("{text:?} is not a fencing token")).with_source(source)
        })?;
        Self::new(value)
    }
}
