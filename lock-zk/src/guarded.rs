//! Writes of the user's own, under a guard.

use std::{any::Any, sync::Arc};

use lock_core::{Error, ErrorKind, Guard, Result, Ticket};
use zookeeper_client::{self as zk, MultiWriteError, MultiWriteResult, MultiWriter};

use crate::{
    claims::{Claims, Protocol, Standing},
    classic::Classic,
    error::{Said, not_granted, of_change, translated},
    queue::Native,
    session::ZkSession,
};

/// Asks ZooKeeper to carry out what `then` adds while it is the guard's turn: in one `multi`, which checks
/// the node that says that the guard holds. So a holder that was paused for too long, that was evicted, or
/// whose session has ended cannot write any more, whatever it believes, and the resource needs no tokens of
/// its own. The nodes must be in the same ensemble; they may lie anywhere in it.
///
/// `then` may be called more than once, and owns what it needs: it goes with the call to the session's runtime.
/// Answers what came of each of its operations, in their order. When one fails, nothing is carried out.
///
/// It is not repeated, since only the caller knows whether that is harmless.
///
/// ```no_run
/// # async fn example(guard: lock_core::Guard) -> lock_core::Result<()> {
/// use lock_zk::transact;
///
/// transact(&guard, |then| then.add_set_data("/invoices/next", b"1042", None)).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// - [`NotHeld`](ErrorKind::NotHeld), [`SessionLost`](ErrorKind::SessionLost) and the like: it is not the
///   guard's turn any more, and nothing was carried out;
/// - [`Conflict`](ErrorKind::Conflict): one of the operations could not be done, and nothing was carried out;
///   the source is ZooKeeper's error;
/// - [`Denied`](ErrorKind::Denied): this session may not do one of them;
/// - [`InvalidOption`](ErrorKind::InvalidOption): ZooKeeper's client does not take an operation;
/// - [`Unavailable`](ErrorKind::Unavailable): no answer, and it may have been carried out
///   ([`Effect::Unknown`](lock_core::Effect));
/// - [`Unsupported`](ErrorKind::Unsupported): the guard is not of this store.
///
/// # Cancel safety
///
/// When the future is dropped, the operations may be carried out or not.
pub async fn transact(
    guard: &Guard,
    then: impl Fn(&mut MultiWriter<'_>) -> Said<()> + Send + Sync + 'static,
) -> Result<Vec<MultiWriteResult>> {
    let outcome = under(guard, then).await;
    outcome.map_err(|error| error.during("transact").on(&guard.held().1.line))
}

async fn under(
    guard: &Guard,
    then: impl Fn(&mut MultiWriter<'_>) -> Said<()> + Send + Sync + 'static,
) -> Result<Vec<MultiWriteResult>> {
    guard.check()?;
    let (session, ticket) = guard.held();
    let session: &dyn Any = session;
    if let Some(session) = session.downcast_ref::<ZkSession<Native>>() {
        return session.claims().clone().transact(ticket, then).await;
    }
    if let Some(session) = session.downcast_ref::<ZkSession<Classic>>() {
        return session.claims().clone().transact(ticket, then).await;
    }
    Err(Error::new(ErrorKind::Unsupported, "the guard is not one of ZooKeeper's"))
}

impl<P: Protocol> Claims<P> {
    async fn transact(
        self: Arc<Self>,
        ticket: &Ticket,
        then: impl Fn(&mut MultiWriter<'_>) -> Said<()> + Send + Sync + 'static,
    ) -> Result<Vec<MultiWriteResult>> {
        let (standing, connection) = (self.standing(ticket)?, self.connection.clone());
        connection.driven(async move { self.carry_out(&standing, then).await }).await
    }

    async fn carry_out(
        &self,
        standing: &Standing<P>,
        then: impl Fn(&mut MultiWriter<'_>) -> Said<()> + Send + Sync,
    ) -> Result<Vec<MultiWriteResult>> {
        loop {
            let seat = self.holding_at(standing).await?;
            let client = self.connection.client()?;
            let mut writer = client.new_multi_writer();
            writer.add_check_version(&seat, -1).map_err(translated)?;
            then(&mut writer).map_err(translated)?;
            match writer.commit().await {
                Ok(results) => return Ok(results.into_iter().skip(1).collect()),
                Err(MultiWriteError::OperationFailed { index: 0, source: zk::Error::NoNode }) => {
                    // A mode that was weakened meanwhile has another seat.
                    if self.holding_at(standing).await? == seat {
                        return Err(not_granted());
                    }
                }
                Err(MultiWriteError::OperationFailed { index, source }) if is_conflict(&source) => {
                    let message = format!("operation {index} cannot be done");
                    return Err(Error::new(ErrorKind::Conflict, message).with_source(source));
                }
                Err(
                    MultiWriteError::OperationFailed { source, .. }
                    | MultiWriteError::RequestFailed { source },
                ) => return Err(of_change(source)),
            }
        }
    }
}

/// Whether the nodes are not as the operation needs them.
fn is_conflict(error: &zk::Error) -> bool {
    use zk::Error::{BadVersion, NoChildrenForEphemerals, NoNode, NodeExists, NotEmpty};
    matches!(error, BadVersion | NoChildrenForEphemerals | NoNode | NodeExists | NotEmpty)
}
