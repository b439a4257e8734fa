//! What ZooKeeper answers, as errors of this library.

use lock_core::{Error, ErrorKind, Result, backend::Record};
use zookeeper_client as zk;

/// What ZooKeeper's client says to one request.
pub(crate) type Said<T> = std::result::Result<T, zk::Error>;

/// Whether the request was not answered: it may have been carried out.
pub(crate) fn is_unanswered(error: &zk::Error) -> bool {
    use zk::Error::{ConnectionLoss, Custom, NoHosts, Throttled, Timeout, UnexpectedError, UnmarshalError};
    matches!(
        error,
        ConnectionLoss
            | Custom(_)
            | NoHosts
            | Throttled
            | Timeout
            | UnexpectedError(_)
            | UnmarshalError { .. }
    )
}

/// An error of the client, as if the request had had no effect. Who made a request that changes the store
/// marks what is [`Unavailable`](ErrorKind::Unavailable) as unknown.
pub(crate) fn translated(error: zk::Error) -> Error {
    let (kind, message) = match &error {
        zk::Error::SessionExpired | zk::Error::SessionMoved | zk::Error::ClientClosed => {
            (ErrorKind::SessionLost, "ZooKeeper has ended the session")
        }
        zk::Error::NoAuth => (ErrorKind::Denied, "ZooKeeper's access control lists do not allow this"),
        zk::Error::AuthFailed => (ErrorKind::Denied, "ZooKeeper does not accept the credentials"),
        zk::Error::InvalidAcl => (
            ErrorKind::Denied,
            "nodes are to belong to this session alone, but ZooKeeper knows it as nobody: give credentials, or let the server ask for client certificates (ssl.clientAuth)",
        ),
        zk::Error::NotReadOnly => (ErrorKind::Unavailable, "this server has no quorum and is read-only"),
        zk::Error::QuotaExceeded => (ErrorKind::Full, "the quota of this path is used up"),
        zk::Error::BadArguments(_) => (ErrorKind::InvalidOption, "ZooKeeper's client refuses the request"),
        error if is_unanswered(error) => (ErrorKind::Unavailable, "ZooKeeper cannot be reached"),
        _ => (ErrorKind::Refused, "ZooKeeper refuses the request"),
    };
    Error::new(kind, message).with_source(error)
}

/// As [`translated`], for a request that would have changed the store.
pub(crate) fn of_change(error: zk::Error) -> Error {
    let unanswered = is_unanswered(&error) || error == zk::Error::SessionExpired;
    let error = translated(error);
    if unanswered { error.with_unknown_effect() } else { error }
}

/// Whether the session's rights do not reach so far.
pub(crate) fn is_forbidden(error: &Error) -> bool {
    error.kind() == ErrorKind::Denied
}

/// The node at `path` cannot be made.
pub(crate) fn denied(path: &str) -> Error {
    let message = format!(
        "may not make ZooKeeper's node {path:?}: what it lies in belongs to somebody else, or the credentials are not theirs"
    );
    Error::new(ErrorKind::Denied, message).with_source(zk::Error::NoAuth)
}

/// The root is there, unless the user's client is chrooted.
pub(crate) fn no_root(chroot: &str) -> Error {
    let message = format!("ZooKeeper has no node {chroot:?}, which is the client's chroot: make it first");
    Error::new(ErrorKind::Refused, message).with_source(zk::Error::NoNode)
}

/// The claim may not join any more.
pub(crate) fn has_left() -> Error {
    not_held("the claim has left the line")
}

/// The claim is not granted.
pub(crate) fn not_granted() -> Error {
    not_held("the claim is not granted")
}

pub(crate) fn not_held(message: &str) -> Error {
    Error::new(ErrorKind::NotHeld, message)
}

/// Something at our place that this library did not write.
pub(crate) fn garbled(path: &str, what: &str) -> Error {
    let path: String = path.chars().take(200).collect();
    Error::new(ErrorKind::Garbled, format!("ZooKeeper's node {path:?} {what}"))
}

/// The record that the node at `path` holds.
pub(crate) fn record(path: &str, data: &[u8]) -> Result<Record> {
    Record::read(data).map_err(|source| garbled(path, "holds no record of a claim").with_source(source))
}
