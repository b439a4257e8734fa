//! The layout of Go's `concurrency.Mutex` and `Election`, to take turns with Go, `etcdctl` and jetcd
//! (`docs/etcd-go-layout.md`).
//!
//! | file | |
//! |---|---|
//! | `keys`, `entry` | what lies where, and what it says |
//! | `txn` | the transactions |
//! | `standing`, `table` | one claim of this session, and all of them |
//! | `enter` | joining, trying |
//! | `wait` | from joined to granted |
//! | `stay` | what is done for claims that stay in line for a while |
//! | `leave` | withdrawing, releasing, evicting |
//! | `change` | what a holder may change; cells |
//! | `view` | a line as others see it |
//! | `session` | the seam |

mod change;
mod enter;
mod entry;
mod keys;
mod leave;
mod session;
mod standing;
mod stay;
mod table;
mod txn;
mod view;
mod wait;

use std::sync::{Arc, Mutex};

use etcd_client::{Txn, TxnOp};
use lock_core::{
    Lease, Result, SessionId, Ticket,
    runtime::{SharedRuntime, jitter},
    sync::locked,
};

#[cfg(any(test, fuzzing))]
pub(crate) use self::entry::Entry;
pub(crate) use self::{keys::Room, session::GoSession};
use self::{standing::Standing, stay::Stays, table::Table};
use crate::{
    connection::{Connection, retry_pause},
    error::{not_held, unknown_unless_refused},
    keys::lease_of,
    request::Reply,
    watch::Watcher,
};

/// Every claim of one session, and the way to the store.
pub(crate) struct Go {
    session: SessionId,
    room: Room,
    connection: Arc<Connection>,
    lease: Arc<Lease>,
    runtime: SharedRuntime,
    watcher: Watcher,
    table: Mutex<Table>,
    stays: Stays,
}

impl Go {
    /// The claims of a session that was just opened.
    pub(crate) fn new(
        session: SessionId,
        room: Room,
        connection: Arc<Connection>,
        lease: Arc<Lease>,
        runtime: SharedRuntime,
        watcher: Watcher,
    ) -> Arc<Self> {
        let (stays, task) = Stays::new();
        let table = Mutex::default();
        let go = Arc::new(Self {
            session,
            room,
            connection,
            lease: lease.clone(),
            runtime,
            watcher,
            table,
            stays,
        });
        go.runtime.spawn(Box::pin(task.run(Arc::downgrade(&go), lease, go.runtime.clone())));
        go
    }

    /// The claim behind a ticket of this session.
    fn standing(&self, ticket: &Ticket) -> Result<Arc<Standing>> {
        let standing = locked(&self.table).claim(ticket.claim);
        standing.filter(|standing| standing.line == ticket.line).ok_or_else(|| match self.lease.check() {
            Err(lost) => lost,
            Ok(()) => not_held("the claim is not in line"),
        })
    }

    /// Asks something that changes nothing, linearizably.
    async fn look(&self, operations: Vec<TxnOp>) -> Result<Reply> {
        self.connection.transact(Txn::new().and_then(operations)).await.map(Reply::from)
    }

    /// Asks for a change.
    async fn change(&self, txn: Txn) -> Result<Reply> {
        self.connection.transact(txn).await.map_err(unknown_unless_refused).map(Reply::from)
    }

    /// Before something is tried again.
    async fn pause(&self) {
        jitter(&*self.runtime, retry_pause(&self.lease)).await;
    }

    /// The claim's key is not there any more: an operator's doing, or that of a Go program which shares the
    /// lease, unless the whole session has ended.
    async fn missing(&self, standing: &Standing) -> Result<()> {
        let reason = if self.connection.lives(lease_of(self.session)).await? {
            lock_core::LostReason::Evicted
        } else {
            self.lease.lose(lock_core::LostReason::Expired);
            lock_core::LostReason::Expired
        };
        standing.end(reason);
        Ok(())
    }
}
