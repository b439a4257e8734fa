//! Puts a store's changes together to what became of each claim.

use std::collections::HashMap;

use lock_testkit::history::{GuardedWrite, Stay};
use serde::Deserialize;
use yourturn::{ClaimId, LineId, Mode, backend::Record};

use super::{Truth, pulse::Clock};
use crate::record::Line;

/// Claims by the revisions of their changes. In one revision, what is put comes before what is deleted.
#[derive(Debug, Default)]
pub(super) struct Book {
    claims: HashMap<ClaimId, Entry>,
    writes: Vec<GuardedWrite>,
    written: HashMap<u64, u64>,
}

#[derive(Debug)]
struct Entry {
    line: LineId,
    mode: Mode,
    owner: String,
    place: u64,
    entered: u64,
    admitted: Option<u64>,
    gone: Option<u64>,
}

/// What a client writes under its guard.
#[derive(Deserialize)]
struct Written {
    claim: String,
    id: u64,
}

impl Book {
    /// A place in the queue.
    pub(super) fn queues(&mut self, claim: ClaimId, line: Line, record: &Record, revision: u64) {
        let Some(line) = line.id() else { return };
        self.claims.entry(claim).or_insert_with(|| Entry {
            line,
            mode: record.mode,
            owner: record.owner.to_string(),
            place: record.place.unwrap_or(revision),
            entered: revision,
            admitted: None,
            gone: None,
        });
    }

    /// A place among the holders behind the gate, straight or out of the queue.
    pub(super) fn is_admitted(&mut self, claim: ClaimId, line: Line, record: &Record, revision: u64) {
        self.queues(claim, line, record, revision);
        if let Some(entry) = self.claims.get_mut(&claim) {
            entry.admitted.get_or_insert(revision);
        }
    }

    pub(super) fn leaves_the_queue(&mut self, claim: ClaimId, revision: u64) {
        if let Some(entry) = self.claims.get_mut(&claim).filter(|entry| entry.admitted.is_none()) {
            entry.gone.get_or_insert(revision);
        }
    }

    pub(super) fn leaves_the_holders(&mut self, claim: ClaimId, revision: u64) {
        if let Some(entry) = self.claims.get_mut(&claim) {
            entry.gone.get_or_insert(revision);
        }
    }

    /// A guarded write.
    pub(super) fn writes(&mut self, value: &[u8], revision: u64) {
        let Ok(Written { claim, id }) = serde_json::from_slice(value) else { return };
        let Ok(claim) = claim.parse() else { return };
        self.writes.push(GuardedWrite { claim, revision });
        self.written.insert(id, revision);
    }

    pub(super) fn close(self, clock: &Clock) -> Truth {
        let mut truth = Truth { written: self.written, ..Truth::default() };
        truth.log.writes = self.writes;
        for (claim, entry) in self.claims {
            let Entry { line, mode, owner, place, entered, admitted, gone } = entry;
            truth.owners.insert(claim, owner);
            truth.log.stays.push(Stay {
                claim,
                line,
                mode,
                place,
                entered: clock.stamp(entered),
                admitted: admitted.map(|revision| clock.stamp(revision)),
                gone: gone.map(|revision| clock.stamp(revision)),
            });
        }
        truth
    }
}
