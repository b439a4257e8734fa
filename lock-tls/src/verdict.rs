//! Why a server could not be spoken with, when TLS is the reason.

use std::error::Error as StdError;

use lock_core::ErrorKind;

/// What is wrong between us and a server, and stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It demands a client certificate, or does not take ours.
    Refused,
    /// Its certificate is signed by nobody whom we trust.
    Untrusted,
    /// Its certificate is valid for other names.
    OtherName,
    /// Its certificate has expired, or is not valid yet.
    Expired,
    /// Something else is wrong with its certificate.
    Unacceptable,
    /// It speaks something else.
    NoTls,
}

impl Verdict {
    /// What a failure says. Nothing for what may be over at the next attempt: silence, a connection that
    /// breaks.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn of(failure: &(dyn StdError + 'static)) -> Option<Self> {
        crate::said::verdict(failure)
    }

    /// Without TLS, nothing is known of why a connection could not be made.
    #[cfg(not(feature = "rustls"))]
    #[must_use]
    pub fn of(_failure: &(dyn StdError + 'static)) -> Option<Self> {
        None
    }

    /// What kind of failure it is when every server fails so.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Refused => ErrorKind::Denied,
            Self::Expired => ErrorKind::Unavailable,
            Self::Untrusted | Self::OtherName | Self::Unacceptable | Self::NoTls => ErrorKind::InvalidOption,
        }
    }

    /// What is wrong with a server of this store, and what to do.
    #[must_use]
    pub fn says(self, store: &str) -> String {
        match self {
            Self::Refused => format!(
                "{store} refuses the TLS connection: it demands a client certificate (options cert and key), or does not take this one"
            ),
            Self::Untrusted => format!(
                "{store}'s certificate is signed by no authority that is trusted here: name the right one with the option ca"
            ),
            Self::OtherName => {
                format!("{store}'s certificate is valid for other names than the one it was asked for")
            }
            Self::Expired => format!(
                "{store}'s certificate has expired or is not valid yet: it must be renewed, or this machine's clock is wrong"
            ),
            Self::Unacceptable => format!("{store}'s certificate is not acceptable"),
            Self::NoTls => {
                format!("what answers does not speak TLS as {store} does: does it serve without TLS?")
            }
        }
    }
}
