//! Puts a store's changes together to what became of each claim.

use std::collections::HashMap;

use lock_check::history::{GuardedWrite, Stay};
use serde::Deserialize;
use yourturn::{ClaimId, LineId, Mode, backend::Record};

use super::{Truth, pulse::Clock};
use crate::record::Line;

/// Claims by the revisions of their changes. In one revision, what is put comes before what is deleted.
#[derive(Debug, Default)]
pub(super) struct Book {
    claims: HashMap<ClaimId, Entry>,
    repeated: Vec<(ClaimId, LineId, u64)>,
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
    /// Where it is: in the queue, or among the holders.
    node: String,
}

/// What a client writes under its guard.
#[derive(Deserialize)]
struct Written {
    claim: String,
    id: u64,
}

impl Book {
    /// A place in the queue. Where the claim is already, its record is written anew.
    pub(super) fn queues(&mut self, claim: ClaimId, line: Line, record: &Record, node: &str, revision: u64) {
        let Some(line) = line.id() else { return };
        if let Some(entry) = self.claims.get(&claim) {
            if entry.node != node || entry.gone.is_some() {
                self.repeated.push((claim, line, revision));
            }
            return;
        }
        let entry = Entry {
            line,
            mode: record.mode,
            owner: record.owner.to_string(),
            place: record.place.unwrap_or(revision),
            entered: revision,
            admitted: None,
            gone: None,
            node: node.to_owned(),
        };
        self.claims.insert(claim, entry);
    }

    /// A place among the holders behind the gate, straight or out of the queue.
    pub(super) fn is_admitted(
        &mut self,
        claim: ClaimId,
        line: Line,
        record: &Record,
        node: &str,
        revision: u64,
    ) {
        let waits = |entry: &&mut Entry| entry.admitted.is_none() && entry.gone.is_none();
        if let Some(entry) = self.claims.get_mut(&claim).filter(waits) {
            node.clone_into(&mut entry.node);
        }
        self.queues(claim, line, record, node, revision);
        let is_there = |entry: &&mut Entry| entry.node == node && entry.gone.is_none();
        if let Some(entry) = self.claims.get_mut(&claim).filter(is_there) {
            entry.admitted.get_or_insert(revision);
        }
    }

    /// What stood there is no more; a place in the queue that was left for one among the holders ends nothing.
    pub(super) fn is_gone(&mut self, claim: ClaimId, node: &str, revision: u64) {
        if let Some(entry) = self.claims.get_mut(&claim).filter(|entry| entry.node == node) {
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
        let repeated = self.repeated.into_iter();
        truth.repeated =
            repeated.map(|(claim, line, revision)| (claim, line, clock.stamp(revision))).collect();
        for (claim, entry) in self.claims {
            let Entry { line, mode, owner, place, entered, admitted, gone, node: _ } = entry;
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

#[cfg(test)]
mod tests {
    use super::{super::pulse::Pulses, *};

    fn claim() -> ClaimId {
        "0000000000000007.1".parse().unwrap()
    }

    /// When it was gone, if it is, and when it came once more.
    fn told(book: Book) -> (Option<u64>, Vec<u64>) {
        let truth = book.close(&Pulses::default().clock());
        assert_eq!(truth.log.stays.len(), 1);
        let gone = truth.log.stays[0].gone.map(|stamp| stamp.revision);
        (gone, truth.repeated.iter().map(|(_, _, stamp)| stamp.revision).collect())
    }

    fn record() -> Record {
        serde_json::from_str(r#"{"owner":"c1.0","mode":"shared","since":"2026-11-27T16:34:26Z"}"#).unwrap()
    }

    #[test]
    fn a_claim_is_in_line_from_its_place_in_the_queue_until_it_holds_no_more() {
        let mut book = Book::default();
        book.queues(claim(), Line(2), &record(), "q/1", 1);
        // With another payload.
        book.queues(claim(), Line(2), &record(), "q/1", 2);
        book.is_admitted(claim(), Line(2), &record(), "h/1", 3);
        book.is_gone(claim(), "q/1", 3);
        book.is_admitted(claim(), Line(2), &record(), "h/1", 4);
        book.is_gone(claim(), "h/1", 5);
        assert_eq!(told(book), (Some(5), vec![]));
    }

    #[test]
    fn a_second_place_is_told_and_the_end_of_one_is_not_that_of_the_other() {
        let mut book = Book::default();
        book.queues(claim(), Line(2), &record(), "q/1", 1);
        book.queues(claim(), Line(2), &record(), "q/2", 2);
        book.is_gone(claim(), "q/2", 3);
        assert_eq!(told(book), (None, vec![2]));
    }

    #[test]
    fn a_place_after_the_end_is_told() {
        for comes in [Book::queues, Book::is_admitted] {
            let mut book = Book::default();
            book.queues(claim(), Line(2), &record(), "q/1", 1);
            book.is_gone(claim(), "q/1", 2);
            comes(&mut book, claim(), Line(2), &record(), "q/1", 3);
            book.is_gone(claim(), "q/1", 4);
            assert_eq!(told(book), (Some(2), vec![3]));
        }
    }
}
