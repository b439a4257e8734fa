//! The queue: an MCS lock whose hand-off is one write (`docs/etcd-protocol.md`).
//!
//! | file | |
//! |---|---|
//! | `txn` | the transactions |
//! | `standing` | one claim of this session: what is known of it, what comes next |
//! | `enter` | joining, trying |
//! | `coming` | who is expected at the end of a line, and behind a claim on its way out |
//! | `steps` | from joined to granted: linking, the gate |
//! | `here` | one claim of this session behind another |
//! | `search` | finding the predecessor after a crash or a lost answer |
//! | `life` | noticing that another session has ended |
//! | `bell` | news from others, and what to do when some were missed |
//! | `leave` | withdrawing, releasing |
//! | `evict` | doing so to somebody else |
//! | `sweep` | taking away what an uncontended release leaves |
//! | `change` | what a holder may change |

mod bell;
mod change;
mod coming;
mod enter;
mod evict;
mod here;
mod leave;
mod life;
mod search;
mod standing;
mod steps;
mod sweep;
pub(crate) mod txn;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
};

use etcd_client::{KeyValue, Txn, TxnOp};
use lock_core::{
    Claim, ClaimId, Error, ErrorKind, Grant, Lease, LineId, LostReason, Result, SessionId, Ticket,
    backend::Left,
    backend::Record,
    line::Occupancy,
    runtime::{SharedRuntime, jitter},
    sync::locked,
};

pub(crate) use bell::{Bell, OwnLife};

use self::{
    coming::Coming,
    life::Life,
    search::Search,
    standing::{Standing, Who},
    sweep::Tails,
};
use crate::{
    connection::{Connection, retry_pause},
    error::{self, garbled, not_held, unknown_unless_refused},
    keys::{LineKeys, Namespace, Part},
    request::{Reply, get},
    watch::Watcher,
};

/// Every claim of one session, and the way to the store.
pub(crate) struct Queue {
    pub(crate) session: SessionId,
    pub(crate) namespace: Namespace,
    pub(crate) connection: Arc<Connection>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) runtime: SharedRuntime,
    pub(crate) watcher: Watcher,
    table: Mutex<Table>,
    /// How often news may have been missed.
    gaps: AtomicU64,
    /// Whether the store has no room, as far as is known.
    full: AtomicBool,
    /// How often the end of another session was noticed, or may have been missed.
    ends: AtomicU64,
    /// Sessions that claims of this one wait for.
    lives: Mutex<BTreeMap<SessionId, Arc<Life>>>,
}

#[derive(Default)]
struct Table {
    claims: BTreeMap<u64, Arc<Standing>>,
    lines: HashMap<LineId, InLine>,
    left: Left,
    tails: Tails,
    coming: Coming,
    /// The number of the next claim, as far as is known.
    next_number: u64,
}

/// What this session has in one line.
#[derive(Default)]
struct InLine {
    claims: BTreeMap<u64, Arc<Standing>>,
    search: Arc<Search>,
}

impl Queue {
    pub(crate) fn new(
        session: SessionId,
        namespace: Namespace,
        connection: Arc<Connection>,
        lease: Arc<Lease>,
        runtime: SharedRuntime,
        watcher: Watcher,
    ) -> Self {
        let (table, lives) = (Mutex::default(), Mutex::default());
        let (gaps, ends, full) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { session, namespace, connection, lease, runtime, watcher, table, gaps, full, ends, lives }
    }

    /// The claim behind a ticket of this session.
    pub(crate) fn standing(&self, ticket: &Ticket) -> Result<Arc<Standing>> {
        let standing = locked(&self.table).claims.get(&ticket.claim.number).cloned();
        let mine = |standing: &Arc<Standing>| {
            ticket.claim.session == self.session && standing.who.line == ticket.line
        };
        standing.filter(mine).ok_or_else(|| match self.lease.check() {
            Err(lost) => lost,
            Ok(()) => not_held("the claim is not in line"),
        })
    }

    /// Waits for the claim's turn. Nothing is granted under a session that is over (C10).
    pub(crate) async fn granted(&self, standing: &Standing) -> Result<Grant> {
        tokio::select! { biased;
            reason = self.lease.lost() => Err(Error::lost(reason)),
            token = standing.granted() => Ok(Grant { token: token?, fate: standing.fate.clone() }),
        }
    }

    /// The claims that this session has in line.
    pub(crate) fn claims(&self) -> Vec<(LineId, ClaimId)> {
        self.standings().iter().map(|standing| (standing.who.line.clone(), standing.who.id)).collect()
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
        let who = Who::new(claim.id, line, &self.namespace);
        let standing = Arc::new(Standing::new(who, Record::from(claim)));
        table.next_number = table.next_number.max(claim.id.number + 1);
        table.claims.insert(claim.id.number, standing.clone());
        table.lines.entry(line.clone()).or_default().claims.insert(claim.id.number, standing.clone());
        Ok(Some(standing))
    }

    /// Whether this session has more than one claim in a line.
    fn has_others_in(&self, line: &LineId) -> bool {
        locked(&self.table).lines.get(line).is_some_and(|line| line.claims.len() > 1)
    }

    /// The claim is no more; `for_good` unless it may be made again.
    fn forget(&self, standing: &Standing, for_good: bool) {
        let (number, mut table) = (standing.who.id.number, locked(&self.table));
        table.claims.remove(&number);
        if for_good {
            table.left.insert(number);
        }
        if let Some(line) = table.lines.get_mut(&standing.who.line) {
            line.claims.remove(&number);
            if line.claims.is_empty() {
                table.lines.remove(&standing.who.line);
            }
        }
    }

    /// Asks something that changes nothing, linearizably.
    pub(crate) async fn look(&self, operations: Vec<TxnOp>) -> Result<Reply> {
        self.connection.transact(Txn::new().and_then(operations)).await.map(Reply::from)
    }

    /// Asks for a change.
    pub(crate) async fn change(&self, txn: Txn) -> Result<Reply> {
        match self.connection.transact(txn).await.map_err(unknown_unless_refused) {
            Err(error) if error.kind() == ErrorKind::SessionLost => Err(self.whose_lease(error).await),
            answer => answer.map(Reply::from),
        }
    }

    /// etcd does not say which of a transaction's leases has ended. Another session's keys go with its lease,
    /// so one that is still there was written by hand.
    async fn whose_lease(&self, error: Error) -> Error {
        let live = self.look(vec![get(self.namespace.live(self.session))]).await;
        match live.map(|mut reply| reply.key()) {
            Ok(None) => error,
            Ok(Some(_)) => {
                let what = "a place in this line has outlived its session: its key was written by hand";
                Error::new(ErrorKind::Garbled, what).with_source(error)
            }
            Err(unavailable) => unavailable,
        }
    }

    /// Before something is tried again.
    pub(crate) async fn pause(&self) {
        jitter(&*self.runtime, retry_pause(&self.lease)).await;
    }

    /// Before a full store is asked once more.
    async fn pause_while_full(&self) {
        let half = 2 * retry_pause(&self.lease);
        self.runtime.sleep_until(self.runtime.now() + half).await;
        jitter(&*self.runtime, half).await;
    }

    /// The claim's node is not there any more: an operator's doing, unless the whole session has ended.
    fn missing(self: &Arc<Self>, standing: &Standing, live: Option<&KeyValue>) {
        if live.is_some() {
            self.ended(standing, LostReason::Evicted);
        } else {
            self.lease.lose(LostReason::Expired);
            standing.end(LostReason::Expired);
        }
    }

    fn standings(&self) -> Vec<Arc<Standing>> {
        locked(&self.table).claims.values().cloned().collect()
    }

    /// Those who wait must look for themselves: news may have been missed.
    fn everybody_searches(self: &Arc<Self>, concerned: impl Fn(&Standing) -> bool) {
        for standing in self.standings().iter().filter(|standing| concerned(standing)) {
            self.seek(standing);
        }
    }
}

/// What the holders behind the gate take up; the first that is not ours to understand is an error.
fn occupancy(keys: &LineKeys, holders: &[KeyValue]) -> Result<Occupancy> {
    let mut occupancy = Occupancy::default();
    for kv in holders {
        match keys.part(kv.key()) {
            Some(Part::Shared(_) | Part::Permits(_)) => {
                occupancy.add(error::record(kv.key(), kv.value())?.mode);
            }
            _ => return Err(garbled(kv.key(), "is no holder's")),
        }
    }
    Ok(occupancy)
}

/// The claim that a value names.
fn named(value: &[u8]) -> Option<ClaimId> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
