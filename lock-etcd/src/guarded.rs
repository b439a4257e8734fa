//! Writes of the user's own, under a guard.

use std::any::Any;

use etcd_client::{Compare, Txn, TxnOp, TxnResponse};
use lock_core::{Error, ErrorKind, Guard, Result};

use crate::{
    connection::Connection,
    error::{not_granted, unknown_unless_refused},
    go::GoSession,
    request::{Reply, created_at, get},
    session::EtcdSession,
};

/// The key that says that a claim holds, and the revision at which it was created.
pub(crate) type Seat = (String, i64);

/// How a session reaches a seat of its own.
pub(crate) struct Held<'a> {
    pub(crate) connection: &'a Connection,
    /// Where it is now; an error when the claim does not hold.
    pub(crate) seat: Box<dyn Fn() -> Result<Seat> + Send + Sync + 'a>,
}

/// Asks etcd to carry `then` out while it is the guard's turn, and if `when` holds: in one transaction, which
/// compares the key that says that the guard holds. So a holder that was paused for too long, that was
/// evicted, or whose session has ended cannot write any more, whatever it believes, and the resource needs no
/// tokens of its own. The keys must be in the same cluster; they may lie anywhere in it.
///
/// Answers whether `when` held: [`succeeded`](TxnResponse::succeeded) and, if so, what `then` has answered.
/// When it did not, nothing was carried out and the other answers are of no interest.
///
/// It is not repeated, since only the caller knows whether that is harmless.
///
/// ```no_run
/// # async fn example(guard: lock_core::Guard) -> lock_core::Result<()> {
/// use lock_etcd::{client::TxnOp, transact};
///
/// transact(&guard, [], [TxnOp::put("invoices/next", "1042", None)]).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// - [`NotHeld`](ErrorKind::NotHeld), [`SessionLost`](ErrorKind::SessionLost) and the like: it is not the
///   guard's turn any more, and nothing was carried out;
/// - [`Unavailable`](ErrorKind::Unavailable): no answer, and it may have been carried out
///   ([`Effect::Unknown`](lock_core::Effect));
/// - [`Full`](ErrorKind::Full): etcd has no room, and it may have been carried out: etcd says so after the fact, too;
/// - [`Unsupported`](ErrorKind::Unsupported): the guard is not of this store.
///
/// # Cancel safety
///
/// When the future is dropped, the transaction may be carried out or not.
pub async fn transact(
    guard: &Guard,
    when: impl IntoIterator<Item = Compare>,
    then: impl IntoIterator<Item = TxnOp>,
) -> Result<TxnResponse> {
    let (when, then) = (when.into_iter().collect(), then.into_iter().collect());
    let outcome = under(guard, when, then).await;
    outcome.map_err(|error| error.during("transact").on(&guard.held().1.line))
}

async fn under(guard: &Guard, when: Vec<Compare>, then: Vec<TxnOp>) -> Result<TxnResponse> {
    guard.check()?;
    let (session, ticket) = guard.held();
    let session: &dyn Any = session;
    let unsupported = || Error::new(ErrorKind::Unsupported, "the guard is not one of etcd's");
    let native = session.downcast_ref::<EtcdSession>().map(|session| session.held(ticket));
    let held = native.or_else(|| Some(session.downcast_ref::<GoSession>()?.held(ticket)));
    let Held { connection, seat } = held.ok_or_else(unsupported)??;
    loop {
        let (key, created) = seat()?;
        let holds = [created_at(&*key, created)];
        let request =
            Txn::new().when([&holds[..], &when].concat()).and_then(then.clone()).or_else(vec![get(&*key)]);
        let answer = connection.transact(request).await.map_err(unknown_unless_refused)?;
        let mut reply = Reply::from(answer.clone());
        if reply.succeeded || reply.key().is_some_and(|seat| seat.create_revision() == created) {
            return Ok(answer);
        }
        // A mode that was weakened meanwhile has another seat.
        if seat()? == (key, created) {
            return Err(not_granted());
        }
    }
}
