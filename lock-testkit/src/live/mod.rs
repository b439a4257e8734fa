//! What tests of any store on real servers and the real clock have in common. It panics, as tests do.
//!
//! | file | |
//! |---|---|
//! | `waits` | waiting for what must happen |
//! | `turns` | who of theirs and ours had which turn in one queue, on record |
//! | `pool` | servers that are used again |
//! | `child` | a test in a process of its own |
//! | `said` | that nothing secret is logged or printed (with the feature `tls`) |
//! | `unusable` | files for TLS that cannot be used (with the feature `tls`) |
#![allow(clippy::unwrap_used, reason = "tests, in a place where several stores find them")]
#![allow(clippy::disallowed_methods, reason = "servers take real time")]

mod child;
mod pool;
#[cfg(feature = "tls")]
mod said;
mod turns;
#[cfg(feature = "tls")]
mod unusable;
mod waits;

use std::error::Error;

use lock_core::ErrorKind;

pub use self::{
    child::alone,
    pool::{Lent, Pool},
    turns::Turns,
    waits::{PATIENCE, asking, close, soon, takes_turns, until, waiting},
};
#[cfg(feature = "tls")]
pub use self::{
    said::{Said, bad_uris},
    unusable::{Unusable, unusable_files},
};

/// An error with its causes, as it would be printed.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Asserts that somebody was refused with an error of this kind that has this word in it.
///
/// # Panics
///
/// When it was another.
#[track_caller]
pub fn assert_refusal((kind, text): (ErrorKind, String), expected: ErrorKind, word: &str) {
    assert_eq!(kind, expected, "{text}");
    assert!(text.contains(word), "{text}");
}
