//! What etcd answers, as errors of this library.

use std::{error::Error as StdError, io};

use lock_core::{Error, ErrorKind, Result, backend::Record};
use lock_tls::Verdict;

/// gRPC's names for what a status means: <https://grpc.io/docs/guides/status-codes/>.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const UNAVAILABLE: i32 = 14;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// An error of the client, as if the request had had no effect. Who made a request that changes the store
/// marks what is [`Unavailable`](ErrorKind::Unavailable) as unknown.
pub(crate) fn translated(error: etcd_client::Error) -> Error {
    if let etcd_client::Error::GRpcStatus(status) = &error
        && let Some(verdict) = StdError::source(status).and_then(Verdict::of)
    {
        return Error::new(ErrorKind::Unavailable, described(verdict)).with_source(error);
    }
    let (kind, message) = match (answer(&error), &error) {
        (Some(status), _) => refusal(status.code() as i32, status.message()),
        (_, etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_)) => {
            (ErrorKind::InvalidOption, "etcd's client refuses the options")
        }
        _ => (ErrorKind::Unavailable, UNREACHABLE),
    };
    Error::new(kind, message).with_source(error)
}

/// What a member has said: a status that has a source is what became of a connection, whatever its code.
fn answer(error: &etcd_client::Error) -> Option<&tonic::Status> {
    match error {
        etcd_client::Error::GRpcStatus(status) if StdError::source(status).is_none() => Some(status),
        _ => None,
    }
}

/// There is no connection with a member.
pub(crate) fn not_reached(error: io::Error) -> Error {
    let message = Verdict::of(&error).map_or_else(|| UNREACHABLE.to_owned(), described);
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}

const UNREACHABLE: &str = "etcd cannot be reached";

const NO_SPACE: &str = "etcd has no space left (mvcc: database space exceeded)";
const LEASE_ENDED: &str = "etcd has ended the session's lease";

/// What is wrong with a member. Others may do better.
fn described(verdict: Verdict) -> String {
    let said = verdict.says("etcd");
    if verdict == Verdict::OtherName { format!("{said}: see the option server_name") } else { said }
}

/// What the server means by a status. Texts are compared where several causes share a code; they have been
/// the same since etcd 3.0.
fn refusal(status: i32, text: &str) -> (ErrorKind, &'static str) {
    let denied = |message| (ErrorKind::Denied, message);
    match status {
        code::RESOURCE_EXHAUSTED if text.contains("space exceeded") => (ErrorKind::Full, NO_SPACE),
        code::NOT_FOUND if text.contains("lease not found") => (ErrorKind::SessionLost, LEASE_ENDED),
        // A token that was made before somebody changed a user or a role: a new connection has a new one.
        code::INVALID_ARGUMENT if text.contains("auth store is old") => {
            (ErrorKind::Unavailable, "etcd's users or roles have changed since this connection was made")
        }
        code::UNAUTHENTICATED => denied("etcd does not take the token that it gave to this user any more"),
        code::PERMISSION_DENIED => {
            denied("the user's roles do not allow this: one must be to read and write the namespace's prefix")
        }
        code::INVALID_ARGUMENT if text.contains("authentication failed") => {
            denied("etcd knows no such user with this password")
        }
        code::INVALID_ARGUMENT if text.contains("user name") => denied(
            "etcd demands a user: give credentials, or a client certificate whose common name is the user's",
        ),
        code::FAILED_PRECONDITION if text.contains("authentication is not enabled") => {
            (ErrorKind::InvalidOption, "credentials are given, but etcd's authentication is not enabled")
        }
        code::INVALID_ARGUMENT
        | code::FAILED_PRECONDITION
        | code::OUT_OF_RANGE
        | code::UNIMPLEMENTED
        | code::NOT_FOUND => (ErrorKind::Refused, "etcd refuses the request"),
        _ => (ErrorKind::Unavailable, "etcd did not answer"),
    }
}

/// Whether a member says that it cannot answer now, as one does that knows of no leader.
pub(crate) fn cannot_answer(error: &etcd_client::Error) -> bool {
    answer(error).is_some_and(|status| status.code() as i32 == code::UNAVAILABLE)
}

/// Whether the member itself answered, so that there is no need to ask another.
pub(crate) fn is_an_answer(error: &etcd_client::Error) -> bool {
    answer(error).is_some_and(|status| {
        let (status, text) = (status.code() as i32, status.message());
        status == code::RESOURCE_EXHAUSTED || refusal(status, text).0 != ErrorKind::Unavailable
    })
}

/// What kind of failure it is when every member fails so, because of TLS.
pub(crate) fn if_all_fail_so(error: &Error) -> Option<ErrorKind> {
    of_the_connection(error).and_then(Verdict::of).map(Verdict::kind)
}

/// Whether the other side has closed the connection: a member that dies does so, and one that is spoken to in
/// the wrong way.
pub(crate) fn is_hung_up(error: &Error) -> bool {
    of_the_connection(error).is_some_and(lock_tls::is_hung_up)
}

/// What went wrong with the connection, when that was it.
fn of_the_connection(error: &Error) -> Option<&(dyn StdError + 'static)> {
    let source = StdError::source(error)?;
    match source.downcast_ref() {
        Some(etcd_client::Error::GRpcStatus(status)) => StdError::source(status),
        Some(_) => None,
        None => Some(source),
    }
}

/// Whether the user is known, and its roles do not allow what was asked for.
pub(crate) fn is_forbidden(error: &Error) -> bool {
    answered(error).is_some_and(|status| status.code() as i32 == code::PERMISSION_DENIED)
}

/// Whether a lease could not be granted because there is one of that name.
pub(crate) fn is_lease_there(error: &Error) -> bool {
    answered(error).is_some_and(|status| status.message().contains("lease already exists"))
}

/// What the member has said that is behind this error.
fn answered(error: &Error) -> Option<&tonic::Status> {
    StdError::source(error).and_then(|source| source.downcast_ref()).and_then(answer)
}

/// Marks what may have been carried out: what failed on the way, and what a full store refuses, since it says so after
/// the fact as well (`quotaApplierV3` in etcd's `apply.go`).
pub(crate) fn unknown_unless_refused(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Full => error.with_unknown_effect(),
        _ => error,
    }
}

/// A full store has refused a request, and a look has shown that it was not carried out.
pub(crate) fn full() -> Error {
    Error::new(ErrorKind::Full, NO_SPACE)
}

/// What a claim that goes on without its turn answers.
pub(crate) fn not_held(why: &'static str) -> Error {
    Error::new(ErrorKind::NotHeld, why)
}

pub(crate) fn not_granted() -> Error {
    not_held("the claim is not granted")
}

pub(crate) fn has_left() -> Error {
    not_held("this claim has left the line")
}

/// As etcd says it of a lease.
pub(crate) fn session_ended() -> Error {
    Error::new(ErrorKind::SessionLost, LEASE_ENDED)
}

/// Something under our keys that this library did not write.
pub(crate) fn garbled(key: &[u8], what: &str) -> Error {
    let key: String = String::from_utf8_lossy(key).chars().take(200).collect();
    Error::new(ErrorKind::Garbled, format!("etcd's key {key:?} {what}"))
}

/// The record of a claim that `key` holds.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Result<Record> {
    Record::read(value).map_err(|source| garbled(key, "holds no record of a claim").with_source(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let cases = [
            (8, "etcdserver: mvcc: database space exceeded", ErrorKind::Full),
            (8, "etcdserver: too many requests", ErrorKind::Unavailable),
            (5, "etcdserver: requested lease not found", ErrorKind::SessionLost),
            (16, "etcdserver: invalid auth token", ErrorKind::Denied),
            (7, "etcdserver: permission denied", ErrorKind::Denied),
            (3, "etcdserver: authentication failed, invalid user ID or password", ErrorKind::Denied),
            (3, "etcdserver: user name is empty", ErrorKind::Denied),
            (3, "etcdserver: duplicate key given in txn request", ErrorKind::Refused),
            (9, "etcdserver: authentication is not enabled", ErrorKind::InvalidOption),
            (3, "etcdserver: revision of auth store is old", ErrorKind::Unavailable),
            (14, "etcdserver: leader changed", ErrorKind::Unavailable),
            (2, "transport error", ErrorKind::Unavailable),
            (4, "context deadline exceeded", ErrorKind::Unavailable),
        ];
        for (status, text, kind) in cases {
            assert_eq!(refusal(status, text).0, kind, "{text}");
        }
    }

    /// gRPC has codes for how connections end, which are those of refusals, too.
    #[test]
    fn the_end_of_a_connection_is_no_answer() {
        let ends = [
            h2::Reason::ENHANCE_YOUR_CALM,
            h2::Reason::INADEQUATE_SECURITY,
            h2::Reason::REFUSED_STREAM,
            h2::Reason::NO_ERROR,
        ];
        for end in ends {
            let error =
                || etcd_client::Error::GRpcStatus(tonic::Status::from_error(h2::Error::from(end).into()));
            assert!(!is_an_answer(&error()), "{end}");
            let translated = translated(error());
            assert_eq!(translated.kind(), ErrorKind::Unavailable, "{end}");
            assert!(!is_forbidden(&translated), "{end}");
        }
        let said = tonic::Status::resource_exhausted("etcdserver: too many requests");
        assert!(is_an_answer(&etcd_client::Error::GRpcStatus(said)));
    }
}
