//! The claims of one session, whatever the layout.
//!
//! | file | |
//! |---|---|
//! | `protocol` | what a layout decides |
//! | `standing` | one claim: where it stands |
//! | `enter` | joining, trying |
//! | `locate` | finding a claim whose request was not answered |
//! | `vigil` | watches, on a claim's own node and on others |
//! | `drive` | the task that takes all claims of a session to their turns |
//! | `leave` | withdrawing, releasing |
//! | `change` | what a holder may change |
//! | `remove` | evicting |
//! | `observe` | looking at a line |

mod change;
mod drive;
mod enter;
mod leave;
mod locate;
mod observe;
mod protocol;
mod remove;
mod standing;
mod vigil;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use lock_core::{
    Claim, Error, ErrorKind, Grant, LineId, LostReason, Names, Result, SessionId, Ticket,
    backend::{Left, RawNames},
    sync::locked,
};
use tokio::sync::mpsc;
use zookeeper_client::{self as zk, CreateMode};

use self::locate::Census;
pub(crate) use self::{
    drive::Driver,
    locate::Counted,
    protocol::Protocol,
    standing::{At, Doubt, Seat, Standing, Work},
    vigil::{News, Vigil, Watch},
};
use crate::{
    connection::{Connection, persist},
    error::{not_held, of_change},
    paths::{LinePaths, Namespace},
};

/// Every claim of one session, and the way to the store.
pub(crate) struct Claims<P: Protocol> {
    pub(crate) session: SessionId,
    /// Where the session's own node and the cells are.
    pub(crate) namespace: Namespace,
    pub(crate) connection: Arc<Connection>,
    pub(crate) protocol: P,
    /// To the task that drives claims on.
    joined: mpsc::UnboundedSender<Arc<Standing<P>>>,
    table: Mutex<Table<P>>,
    /// One write of a cell at a time.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

struct Table<P: Protocol> {
    claims: BTreeMap<u64, Arc<Standing<P>>>,
    lines: HashMap<LineId, InLine<P>>,
    /// Of the lines, where names lie as they are.
    raw: RawNames,
    left: Left,
}

/// What this session has in one line.
struct InLine<P: Protocol> {
    claims: BTreeMap<u64, Arc<Standing<P>>>,
    census: Arc<Census>,
}

impl<P: Protocol> Claims<P> {
    pub(crate) fn new(
        session: SessionId,
        namespace: Namespace,
        connection: Arc<Connection>,
        protocol: P,
    ) -> (Arc<Self>, Driver<P>) {
        let (joined, receiver) = mpsc::unbounded_channel();
        let table = Mutex::new(Table {
            claims: BTreeMap::new(),
            lines: HashMap::new(),
            raw: RawNames::default(),
            left: Left::default(),
        });
        let writing = tokio::sync::Mutex::default();
        let claims = Arc::new(Self { session, namespace, connection, protocol, joined, table, writing });
        let driver = Driver::new(&claims, receiver);
        (claims, driver)
    }

    /// The claim behind a ticket of this session.
    pub(crate) fn standing(&self, ticket: &Ticket) -> Result<Arc<Standing<P>>> {
        let standing = locked(&self.table).claims.get(&ticket.claim.number).cloned();
        let mine = |standing: &Arc<Standing<P>>| standing.id == ticket.claim && standing.line == ticket.line;
        standing.filter(mine).ok_or_else(|| match self.connection.lease.check() {
            Err(lost) => lost,
            Ok(()) => not_held("the claim is not in line"),
        })
    }

    /// Waits for the claim's turn. Nothing is granted under a session that is over (C10).
    pub(crate) async fn granted(&self, standing: &Standing<P>) -> Result<Grant> {
        tokio::select! { biased;
            reason = self.connection.lease.lost() => Err(Error::lost(reason)),
            granted = standing.granted() => Ok(Grant { token: granted?, fate: standing.fate.clone() }),
        }
    }

    /// Why the claim is not in line any more.
    fn ended(&self, standing: &Standing<P>) -> Error {
        let why = standing.fate.end_reason().unwrap_or(LostReason::Released);
        self.connection.lease.check().err().unwrap_or_else(|| Error::lost(why))
    }

    /// Makes the claim known here, before anything is said to the store; `None` when it has left.
    fn enrol(&self, line: &LineId, claim: &Claim) -> Result<Option<Arc<Standing<P>>>> {
        claim.mode.validate()?;
        if !self.protocol.modes().include(line.kind(), claim.mode) {
            let message = format!(
                "there are no {} claims in this layout of ZooKeeper's nodes, or not here",
                claim.mode
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if claim.id.session != self.session {
            return Err(Error::new(ErrorKind::Refused, "the claim belongs to another session"));
        }
        let paths = self.protocol.paths(line)?;
        let mut table = locked(&self.table);
        if table.left.contains(claim.id.number) {
            return Ok(None);
        }
        if let Some(standing) = table.claims.get(&claim.id.number) {
            return Ok(Some(standing.clone()));
        }
        if P::NAMES == Names::Raw && !table.lines.contains_key(line) {
            table.raw.enter(line)?;
        }
        let standing = Arc::new(Standing::new(paths, line, claim));
        table.claims.insert(claim.id.number, standing.clone());
        table.lines.entry(line.clone()).or_default().claims.insert(claim.id.number, standing.clone());
        Ok(Some(standing))
    }

    /// The claim is no more; `for_good` unless it may be made again.
    fn forget(&self, standing: &Standing<P>, for_good: bool) {
        let (number, mut table) = (standing.id.number, locked(&self.table));
        table.claims.remove(&number);
        if for_good {
            table.left.insert(number);
        }
        if let Some(line) = table.lines.get_mut(&standing.line) {
            line.claims.remove(&number);
            if line.claims.is_empty() {
                table.lines.remove(&standing.line);
                table.raw.leave(&standing.line);
            }
        }
    }

    /// Makes a container of the line, or the line itself. The server removes what is empty.
    pub(crate) async fn make_room(&self, paths: &LinePaths, room: &str) -> Result<()> {
        let (client, options) =
            (self.connection.client()?, CreateMode::Container.with_acls(self.connection.acls));
        match persist!(self.connection, client.create(room, b"", &options)) {
            Ok(_) | Err(zk::Error::NodeExists) => Ok(()),
            Err(zk::Error::NoNode) => {
                let all = self.namespace.chain().chain([paths.kind(), paths.line(), room]);
                self.connection.make_containers(all).await
            }
            Err(error) => Err(of_change(error)),
        }
    }

    /// The claim's node is not there any more: an operator's doing, unless the whole session has ended. All
    /// that a session has goes in one transaction, so the session's own node tells.
    pub(crate) async fn missing(&self, standing: &Standing<P>) -> Error {
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

impl<P: Protocol> Default for InLine<P> {
    fn default() -> Self {
        Self { claims: BTreeMap::new(), census: Arc::default() }
    }
}
