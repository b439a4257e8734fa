//! The queue (`docs/zookeeper-protocol.md`).
//!
//! | file | |
//! |---|---|
//! | `standing` | one claim of this session: where it stands |
//! | `ahead` | who is ahead of it |
//! | `current` | which queue a line has at present |
//! | `enter` | joining, trying |
//! | `locate` | finding a claim whose request was not answered |
//! | `wait` | from joined to the head of the queue |
//! | `gate` | from the head to holding |
//! | `leave` | withdrawing, releasing |
//! | `change` | what a holder may change |
//! | `evict` | leaving for somebody else |
//! | `drive` | the task that does so for all claims of a session |

mod ahead;
mod change;
mod current;
mod drive;
mod enter;
mod evict;
mod gate;
mod leave;
mod locate;
pub(crate) mod standing;
mod wait;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use lock_core::{
    Claim, Error, ErrorKind, Grant, LineId, LostReason, Result, SessionId, Ticket, backend::Left,
    sync::locked,
};
use tokio::sync::mpsc;

pub(crate) use drive::Driver;

use self::{current::Current, locate::Census, standing::Standing};
use crate::{connection::Connection, error::not_held, paths::Namespace};

/// Every claim of one session, and the way to the store.
pub(crate) struct Queue {
    pub(crate) session: SessionId,
    pub(crate) namespace: Namespace,
    pub(crate) connection: Arc<Connection>,
    /// To the task that drives claims on.
    joined: mpsc::UnboundedSender<Arc<Standing>>,
    table: Mutex<Table>,
    current: Current,
    /// One write of a cell at a time.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Table {
    claims: BTreeMap<u64, Arc<Standing>>,
    lines: HashMap<LineId, InLine>,
    left: Left,
}

/// What this session has in one line.
#[derive(Default)]
struct InLine {
    claims: BTreeMap<u64, Arc<Standing>>,
    census: Arc<Census>,
}

impl Queue {
    pub(crate) fn new(
        session: SessionId,
        namespace: Namespace,
        connection: Arc<Connection>,
    ) -> (Arc<Self>, Driver) {
        let (joined, receiver) = mpsc::unbounded_channel();
        let (table, current, writing) = (Mutex::default(), Current::default(), tokio::sync::Mutex::default());
        let queue = Arc::new(Self { session, namespace, connection, joined, table, current, writing });
        let driver = Driver::new(&queue, receiver);
        (queue, driver)
    }

    /// The claim behind a ticket of this session.
    pub(crate) fn standing(&self, ticket: &Ticket) -> Result<Arc<Standing>> {
        let standing = locked(&self.table).claims.get(&ticket.claim.number).cloned();
        let mine = |standing: &Arc<Standing>| standing.id == ticket.claim && standing.line == ticket.line;
        standing.filter(mine).ok_or_else(|| match self.connection.lease.check() {
            Err(lost) => lost,
            Ok(()) => not_held("the claim is not in line"),
        })
    }

    /// Waits for the claim's turn. Nothing is granted under a session that is over (C10).
    pub(crate) async fn granted(&self, standing: &Standing) -> Result<Grant> {
        tokio::select! { biased;
            reason = self.connection.lease.lost() => Err(Error::lost(reason)),
            granted = standing.granted() => Ok(Grant { token: granted?, fate: standing.fate.clone() }),
        }
    }

    /// Why the claim is not in line any more.
    fn ended(&self, standing: &Standing) -> Error {
        let why = standing.fate.end_reason().unwrap_or(LostReason::Released);
        self.connection.lease.check().err().unwrap_or_else(|| Error::lost(why))
    }

    /// Makes the claim known here, before anything is said to the store; `None` when it has left.
    fn enrol(&self, line: &LineId, claim: &Claim) -> Result<Option<Arc<Standing>>> {
        claim.mode.validate()?;
        if claim.id.session != self.session {
            return Err(Error::new(ErrorKind::Refused, "the claim belongs to another session"));
        }
        let mut table = locked(&self.table);
        if table.left.contains(claim.id.number) {
            return Ok(None);
        }
        if let Some(standing) = table.claims.get(&claim.id.number) {
            return Ok(Some(standing.clone()));
        }
        let standing = Arc::new(Standing::new(&self.namespace, line, claim));
        table.claims.insert(claim.id.number, standing.clone());
        table.lines.entry(line.clone()).or_default().claims.insert(claim.id.number, standing.clone());
        Ok(Some(standing))
    }

    /// The claim is no more; `for_good` unless it may be made again.
    fn forget(&self, standing: &Standing, for_good: bool) {
        let (number, mut table) = (standing.id.number, locked(&self.table));
        table.claims.remove(&number);
        if for_good {
            table.left.insert(number);
        }
        if let Some(line) = table.lines.get_mut(&standing.line) {
            line.claims.remove(&number);
            if line.claims.is_empty() {
                table.lines.remove(&standing.line);
            }
        }
    }

    /// The claim's node is not there any more: an operator's doing, unless the whole session has ended. All
    /// that a session has goes in one transaction, so the session's own node tells.
    async fn missing(&self, standing: &Standing) -> Error {
        let own = self.connection.stat(&self.namespace.session(self.session)).await;
        let reason = if matches!(own, Ok(Some(_))) { LostReason::Evicted } else { LostReason::Expired };
        if reason == LostReason::Expired {
            self.connection.lease.lose(reason);
        }
        tracing::warn!(claim = %standing.id, line = %standing.line, %reason, "the claim's node is gone");
        standing.end(reason);
        self.ended(standing)
    }
}
