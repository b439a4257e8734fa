//! What etcd answers, as errors of this library.

use lock_core::{Error, ErrorKind};

/// gRPC's names for what a status means: <https://grpc.io/docs/guides/status-codes/>.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// An error of the client, as if the request had had no effect. Who made a request that changes the store
/// marks what is [`Unavailable`](ErrorKind::Unavailable) as unknown.
pub(crate) fn translated(error: etcd_client::Error) -> Error {
    let (kind, message) = match &error {
        etcd_client::Error::GRpcStatus(status) => refusal(status.code() as i32, status.message()),
        etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_) => {
            (ErrorKind::InvalidOption, "etcd's client refuses the options")
        }
        _ => (ErrorKind::Unavailable, "etcd cannot be reached"),
    };
    Error::new(kind, message).with_source(error)
}

/// What the server means by a status. Texts are compared where several causes share a code; they have been
/// the same since etcd 3.0.
fn refusal(status: i32, text: &str) -> (ErrorKind, &'static str) {
    let denied = (ErrorKind::Denied, "etcd refuses the credentials, or they do not allow this");
    match status {
        code::RESOURCE_EXHAUSTED if text.contains("space exceeded") => {
            (ErrorKind::Full, "etcd has no space left (mvcc: database space exceeded)")
        }
        code::NOT_FOUND if text.contains("lease not found") => {
            (ErrorKind::SessionLost, "etcd has ended the session's lease")
        }
        // A token that was made before somebody changed a user or a role: a new connection has a new one.
        code::INVALID_ARGUMENT if text.contains("auth store is old") => {
            (ErrorKind::Unavailable, "etcd's users or roles have changed since this connection was made")
        }
        code::UNAUTHENTICATED | code::PERMISSION_DENIED => denied,
        code::INVALID_ARGUMENT if text.contains("authentication failed") || text.contains("user name") => {
            denied
        }
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

/// Whether the member itself answered, so that there is no need to ask another.
pub(crate) fn is_an_answer(error: &etcd_client::Error) -> bool {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            let (status, text) = (status.code() as i32, status.message());
            status == code::RESOURCE_EXHAUSTED || refusal(status, text).0 != ErrorKind::Unavailable
        }
        _ => false,
    }
}

/// Whether a lease could not be granted because there is one of that name.
pub(crate) fn is_lease_there(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    matches!(source, Some(etcd_client::Error::GRpcStatus(status)) if status.message().contains("lease already exists"))
}

/// Marks what failed on the way: the request may have been carried out.
pub(crate) fn unknown_if_unavailable(error: Error) -> Error {
    if error.kind() == ErrorKind::Unavailable { error.with_unknown_effect() } else { error }
}

/// Something under our keys that this library did not write.
pub(crate) fn garbled(key: &[u8], what: &str) -> Error {
    let key: String = String::from_utf8_lossy(key).chars().take(200).collect();
    Error::new(ErrorKind::Garbled, format!("etcd's key {key:?} {what}"))
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
}
