//! What keeps a session from being opened: the client tries on, and does not say.

use std::{io, sync::Mutex};

use lock_core::{Error, ErrorKind, sync::locked};
use lock_tls::{Verdict, is_hung_up};

/// The failure so far that says most.
#[derive(Default)]
pub(crate) struct Trouble(Mutex<Option<Failure>>);

struct Failure {
    verdict: Option<Verdict>,
    error: Error,
}

impl Trouble {
    /// A server could not be spoken with. What TLS says of it, and so will say again.
    pub(crate) fn note(&self, server: &str, error: io::Error, secure: bool) -> Option<Verdict> {
        tracing::debug!(server, %error, "the server does not answer");
        let verdict = Verdict::of(&error);
        let why = match verdict {
            Some(Verdict::OtherName) => {
                format!("{}: reach it by one of these", Verdict::OtherName.says("ZooKeeper"))
            }
            Some(verdict) => verdict.says("ZooKeeper"),
            None if is_hung_up(&error) => suspicion(secure).to_owned(),
            None => return None,
        };
        let error = Error::new(ErrorKind::Unavailable, format!("{why} ({server})")).with_source(error);
        let mut known = locked(&self.0);
        if verdict.is_some() || known.as_ref().is_none_or(|known| known.verdict.is_none()) {
            *known = Some(Failure { verdict, error });
        }
        verdict
    }

    /// What is known better than that there was no answer in time.
    pub(crate) fn instead_of(&self, error: Error) -> Error {
        let known = locked(&self.0).take().filter(|_| error.kind() == ErrorKind::Unavailable);
        known.map_or(error, |failure| failure.error)
    }

    /// When every server fails so.
    pub(crate) fn conclude(&self) -> Option<Error> {
        let Failure { verdict, error } = locked(&self.0).take()?;
        let kind = verdict.map_or(error.kind(), Verdict::kind);
        Some(error.with_kind(kind))
    }
}

/// What a server may want that hangs up on us.
fn suspicion(secure: bool) -> &'static str {
    if secure {
        "ZooKeeper closes the connection without an answer: does it serve without TLS, demand a client certificate (cert, key), or allow no more connections from here (maxClientCnxns)?"
    } else {
        "ZooKeeper closes the connection without an answer: does it demand TLS (tls=true), or allow no more connections from here (maxClientCnxns)?"
    }
}
