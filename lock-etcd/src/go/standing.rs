//! One claim of this session: what is known of it.

use std::sync::Arc;

use etcd_client::KeyValue;
use lock_core::{
    ClaimId, Fate, FencingToken, Kind, LineId, LostReason, Result, Ticket, backend::Record, sync::Signal,
};

use super::{entry::Entry, keys::LineKeys};

#[derive(Debug)]
pub(super) struct Standing {
    pub(super) id: ClaimId,
    pub(super) line: LineId,
    pub(super) keys: LineKeys,
    /// Its place among those that the session has in this line. Nobody else uses it until the claim has left
    /// for good.
    pub(super) number: u64,
    /// Its place in line.
    pub(super) key: String,
    pub(super) void: String,
    pub(super) fate: Arc<Fate>,
    pub(super) state: Signal<State>,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// What it publishes.
    pub(super) record: Record,
    /// The revision at which its value was written last, as far as is known.
    pub(super) written: i64,
    /// Whether its place says which token it has.
    pub(super) shows_token: bool,
    /// The one before it, when that is known from joining.
    pub(super) ahead: Option<Ahead>,
    /// Requests to join that were sent and not answered: each may still land.
    pub(super) unanswered: u32,
    /// It has been asked to leave.
    pub(super) leaving: bool,
    /// Calls under way that have it leave.
    pub(super) leaves: u32,
    /// One of them has come to its end.
    pub(super) left: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not in line, as far as is known.
    Outside,
    /// In line, since this revision.
    Waiting(i64),
    /// Granted.
    Holding(i64),
    /// Left, evicted, or ended with its session.
    Gone,
}

/// Somebody who is in line before a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) key: Vec<u8>,
    pub(super) created: i64,
}

impl From<&KeyValue> for Ahead {
    fn from(kv: &KeyValue) -> Self {
        Self { key: kv.key().to_vec(), created: kv.create_revision() }
    }
}

impl State {
    pub(super) fn new(record: Record) -> Self {
        Self {
            phase: Phase::Outside,
            record,
            written: 0,
            shows_token: true,
            ahead: None,
            unanswered: 0,
            leaving: false,
            leaves: 0,
            left: false,
        }
    }

    /// When the claim came into line, if it is there.
    pub(super) fn created(&self) -> Option<i64> {
        match self.phase {
            Phase::Waiting(created) | Phase::Holding(created) => Some(created),
            Phase::Outside | Phase::Gone => None,
        }
    }

    /// Whether a request to join may still land.
    pub(super) fn doubt(&self) -> bool {
        self.unanswered > 0
    }
}

impl Standing {
    /// Its ticket, once it is in line.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        let place = self.state.read(State::created)?.cast_unsigned();
        Some(Ticket { line: self.line.clone(), claim: self.id, place })
    }

    /// What its place says: an election's is the proposal, as Go and `etcdctl elect` read it.
    pub(super) fn value(&self) -> Vec<u8> {
        self.state.read(|state| self.value_of(state.record.clone()))
    }

    /// The same, with another record.
    pub(super) fn value_of(&self, record: Record) -> Vec<u8> {
        if self.line.kind() == Kind::Election {
            return record.payload.as_bytes().to_vec();
        }
        let token = self.fate.token().map(FencingToken::get);
        Entry { claim: self.id.number, token, record }.write()
    }

    /// It is in line, behind somebody.
    pub(super) fn waits(&self, created: i64, ahead: Option<Ahead>) {
        self.state.update_silently(|state| {
            if state.phase == Phase::Outside {
                (state.phase, state.ahead) = (Phase::Waiting(created), ahead);
                state.written = state.written.max(created);
            }
        });
    }

    /// It has been in line since `created`, and nobody was before it at revision `seen`. Tells whether it
    /// was still there to be granted.
    ///
    /// # Errors
    ///
    /// When the store's revision is no token.
    pub(super) fn hold(&self, created: i64, seen: i64) -> Result<bool> {
        // Among candidates Go compares the revisions at which they came; among locks, those at which they got
        // their turn.
        let elected = self.line.kind() == Kind::Election;
        let token = FencingToken::new(if elected { created } else { seen }.cast_unsigned())?;
        let holds = self.state.update_silently(|state| {
            let holds = matches!(state.phase, Phase::Outside | Phase::Waiting(_));
            if holds {
                state.phase = Phase::Holding(created);
                state.shows_token = token.as_i64() == created;
                state.written = state.written.max(created);
            }
            holds
        });
        if holds {
            self.fate.grant(token);
        }
        Ok(holds)
    }

    /// It is in line no more.
    pub(super) fn end(&self, reason: LostReason) {
        self.state.update(|state| state.phase = Phase::Gone);
        self.fate.end(reason);
    }
}
