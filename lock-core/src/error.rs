//! One error type: what was tried, on which line, whether it may be retried, whether it took effect (clause
//! C13).

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::{name::LineId, session::LostReason};

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not work.
///
/// The text names the operation, the line and the effect; the underlying cause is only in
/// [`source`](StdError::source), so that a chain printer shows it once. It never holds a secret.
///
/// A lock that somebody else holds is no error: the `try_*` calls answer `Ok(None)`.
#[derive(Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<&'static str>,
    line: Option<LineId>,
    message: String,
    effect: Effect,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name breaks the rules of [`Name`](crate::Name).
    InvalidName,
    /// An option is unknown, malformed or out of range.
    InvalidOption,
    /// No store of this build answers to the URI's scheme.
    UnknownScheme,
    /// The store cannot do this (clause C15). Nothing was sent to it.
    Unsupported,
    /// The store could not be reached, or did not answer.
    Unavailable,
    /// The store refuses us: the credentials are wrong, or do not allow this.
    Denied,
    /// The store has no room left. What was there stays, and can be left.
    Full,
    /// The store refused the request for a reason of its own; the cause says which.
    Refused,
    /// The session ended: its claims are gone, its guards are dead.
    SessionLost,
    /// This claim is not, or no longer, the holder.
    NotHeld,
    /// The cell was not at the expected version.
    Conflict,
    /// A payload or a cell's value is larger than the limit.
    TooLarge,
    /// As many claims as the caller allows are in line already. Nothing stays in line.
    QueueFull,
    /// Clients disagree on what a primitive is, such as how many permits a semaphore has.
    Disagreement,
    /// A participant of the barrier has gone before all had come, or before all had left.
    Broken,
    /// The call would wait for its own caller, for ever.
    Deadlock,
    /// A call that would block was made inside an async runtime, whose thread it would keep from its tasks.
    /// Nothing was done.
    InsideAsync,
    /// The coordinator was closed or abandoned.
    Closed,
    /// There is no async runtime, or the one that the coordinator was opened on has ended.
    RuntimeStopped,
    /// The store holds something at our place that this library did not write, or a newer version of it did.
    Garbled,
    /// A fencing token is outside `1..=i64::MAX`.
    TokenRange,
}

impl ErrorKind {
    fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::SessionLost)
    }
}

/// Whether a failed operation changed the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It did not, and it never will.
    None,
    /// It may have, or may still do so.
    Unknown,
}

impl Error {
    /// An error of this kind that took no effect. For implementors of a store.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Inner {
            kind,
            operation: None,
            line: None,
            message,
            effect: Effect::None,
            source: None,
        }))
    }

    /// What a call on a claim or a session that ended like this answers. For implementors of a store.
    #[must_use]
    pub fn lost(reason: LostReason) -> Self {
        let kind = match reason {
            LostReason::Closed | LostReason::Abandoned => ErrorKind::Closed,
            LostReason::RuntimeStopped => ErrorKind::RuntimeStopped,
            LostReason::Evicted | LostReason::MaxHold | LostReason::Released => ErrorKind::NotHeld,
            LostReason::Deadline | LostReason::Expired | LostReason::Denied => ErrorKind::SessionLost,
        };
        Self::new(kind, reason.to_string())
    }

    /// There was no answer within the time that the caller would wait.
    pub(crate) fn no_answer() -> Self {
        Self::new(ErrorKind::Unavailable, "the store did not answer").with_unknown_effect()
    }

    /// Says what was tried, unless that is known already.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Says on which line, unless that is known already.
    #[must_use]
    pub fn on(mut self, line: &LineId) -> Self {
        self.0.line.get_or_insert_with(|| line.clone());
        self
    }

    /// Changes what kind of failure this is: who makes a call may know more than who found the failure. For
    /// implementors of a store.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Marks the outcome as unknown: the store may have done it.
    #[must_use]
    pub fn with_unknown_effect(mut self) -> Self {
        self.0.effect = Effect::Unknown;
        self
    }

    /// The same, where what was done before it had this effect.
    #[must_use]
    pub(crate) fn after(self, effect: Effect) -> Self {
        match effect {
            Effect::None => self,
            Effect::Unknown => self.with_unknown_effect(),
        }
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was tried: the name of the call, such as `lock`.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The line that it was tried on.
    #[must_use]
    pub fn line(&self) -> Option<&LineId> {
        self.0.line.as_ref()
    }

    /// Whether nothing is wrong with what was asked for: the store could not be reached, or the session was
    /// lost and the next call opens another. The same call may be made again at once, unchanged.
    ///
    /// What stands in the way of other calls may be over at some time too: others leave a line that is full
    /// ([`QueueFull`](ErrorKind::QueueFull)), somebody makes room in the store ([`Full`](ErrorKind::Full)),
    /// and after a round that is [`Broken`](ErrorKind::Broken) comes another. Whether to come back then is
    /// for the caller to say.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }

    /// Whether the store was changed.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.operation, &self.line) {
            (Some(operation), Some(line)) => write!(f, "{operation} {line}: ")?,
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(line)) => write!(f, "{line}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)?;
        match (self.effect, self.kind.is_retryable()) {
            (Effect::None, false) => Ok(()),
            (Effect::None, true) => f.write_str(" (took no effect; may be retried)"),
            (Effect::Unknown, false) => f.write_str(" (may have taken effect)"),
            (Effect::Unknown, true) => f.write_str(" (may have taken effect; may be retried)"),
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("operation", &self.operation)
            .field("line", &self.line)
            .field("message", &self.message)
            .field("effect", &self.effect)
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Inner {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Kind, Name};

    fn line() -> LineId {
        LineId::new(Kind::Mutex, "a/b".parse::<Name>().unwrap())
    }

    #[test]
    fn c13_an_error_says_what_where_and_with_what_effect() {
        let error =
            Error::new(ErrorKind::Unavailable, "no answer").during("lock").on(&line()).with_unknown_effect();
        assert_eq!(
            error.to_string(),
            "lock mutex \"a/b\": no answer (may have taken effect; may be retried)"
        );
        assert_eq!(error.effect(), Effect::Unknown);
        assert!(error.is_retryable());
        assert_eq!(error.line(), Some(&line()));
    }

    #[test]
    fn the_first_context_stays_and_the_cause_is_only_the_source() {
        let cause = "x".parse::<u8>().unwrap_err();
        let text = cause.to_string();
        let error =
            Error::new(ErrorKind::InvalidOption, "bad").with_source(cause).during("connect").during("lock");
        assert_eq!(error.operation(), Some("connect"));
        assert_eq!(error.to_string(), "connect: bad");
        assert_eq!(error.source().unwrap().to_string(), text);
    }

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
