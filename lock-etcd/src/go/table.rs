//! The claims that this session has in line.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lock_core::{
    Claim, ClaimId, Error, ErrorKind, Fate, Kind, LineId, Mode, Result,
    backend::{Left, RawNames, Record},
    sync::{Signal, locked},
};

use super::{
    Go,
    keys::LineKeys,
    standing::{Standing, State},
};
use crate::watch::Watch;

#[derive(Default)]
pub(super) struct Table {
    claims: BTreeMap<u64, Arc<Standing>>,
    /// By the prefix of their keys.
    lines: BTreeMap<String, InLine>,
    names: RawNames,
    left: Left,
}

/// What this session has in one line.
pub(super) struct InLine {
    id: LineId,
    pub(super) claims: BTreeMap<u64, Arc<Standing>>,
    /// Places that were given back, and the next one that was never used. They are used again because etcd
    /// walks over every key that was ever deleted under a prefix until its history is compacted.
    free: BTreeSet<u64>,
    next: u64,
    /// Watches the session's own places, once one of them has been in line for a while.
    pub(super) watch: Option<Watch>,
}

impl InLine {
    fn new(id: LineId) -> Self {
        Self { id, claims: BTreeMap::new(), free: BTreeSet::new(), next: 0, watch: None }
    }

    /// A candidate's place is its claim's number, because its value has no room for that.
    fn take_place(&mut self, claim: ClaimId) -> u64 {
        if self.id.kind() == Kind::Election {
            return claim.number;
        }
        self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

impl Table {
    pub(super) fn claim(&self, id: ClaimId) -> Option<Arc<Standing>> {
        self.claims.get(&id.number).filter(|standing| standing.id == id).cloned()
    }

    pub(super) fn claims(&self) -> Vec<(LineId, ClaimId)> {
        self.claims.values().map(|standing| (standing.line.clone(), standing.id)).collect()
    }

    pub(super) fn line(&mut self, keys: &LineKeys) -> Option<&mut InLine> {
        self.lines.get_mut(keys.prefix())
    }

    /// From here on no join of the claim is sent.
    pub(super) fn leaves(&mut self, number: u64) {
        self.left.insert(number);
    }
}

impl Go {
    /// Makes the claim known here, before anything is said to the store; `None` when it has left.
    pub(super) fn enrol(&self, line: &LineId, claim: &Claim) -> Result<Option<Arc<Standing>>> {
        if claim.mode != Mode::Exclusive {
            let message = format!("there are no {} claims in the layout of Go", claim.mode);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if claim.id.session != self.session {
            return Err(Error::new(ErrorKind::Refused, "the claim belongs to another session"));
        }
        let keys = self.room.line(line)?;
        let mut table = locked(&self.table);
        if table.left.contains(claim.id.number) {
            return Ok(None);
        }
        if let Some(standing) = table.claim(claim.id) {
            return Ok(Some(standing));
        }
        table.names.enter(line)?;
        let in_line =
            table.lines.entry(keys.prefix().to_owned()).or_insert_with(|| InLine::new(line.clone()));
        let number = in_line.take_place(claim.id);
        let standing = Arc::new(Standing {
            id: claim.id,
            line: line.clone(),
            number,
            key: keys.place(line.kind(), self.session, number),
            void: self.room.void(claim.id),
            keys,
            fate: Arc::new(Fate::default()),
            state: Signal::new(State::new(Record::from(claim))),
        });
        in_line.claims.insert(number, standing.clone());
        table.claims.insert(claim.id.number, standing.clone());
        Ok(Some(standing))
    }

    /// The claim is no more; `for_good` unless it may be made again.
    pub(super) fn forget(&self, standing: &Standing, for_good: bool) {
        let mut table = locked(&self.table);
        table.claims.remove(&standing.id.number);
        if for_good {
            table.left.insert(standing.id.number);
        }
        let Some(in_line) = table.line(&standing.keys) else { return };
        in_line.claims.remove(&standing.number);
        if standing.line.kind() != Kind::Election {
            in_line.free.insert(standing.number);
        }
        if in_line.claims.is_empty() {
            table.lines.remove(standing.keys.prefix());
            table.names.leave(&standing.line);
        }
    }
}
