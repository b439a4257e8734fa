//! What transactions are made of, and what etcd answers to them.

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, TxnOp, TxnOpResponse, TxnResponse};
use lock_core::{Error, ErrorKind, Result, SessionId};

use crate::keys::lease_of;

pub(crate) fn exists(key: impl Into<Vec<u8>>) -> Compare {
    Compare::create_revision(key, CompareOp::Greater, 0)
}

pub(crate) fn absent(key: impl Into<Vec<u8>>) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, 0)
}

pub(crate) fn created_at(key: impl Into<Vec<u8>>, revision: i64) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, revision)
}

pub(crate) fn untouched(key: impl Into<Vec<u8>>, revision: i64) -> Compare {
    Compare::mod_revision(key, CompareOp::Equal, revision)
}

/// Nothing lies under the prefix.
pub(crate) fn none_under(prefix: impl Into<Vec<u8>>) -> Compare {
    absent(prefix).with_prefix()
}

/// Nothing under the prefix was created after `revision`.
pub(crate) fn none_new_under(prefix: impl Into<Vec<u8>>, revision: i64) -> Compare {
    Compare::create_revision(prefix, CompareOp::Less, revision + 1).with_prefix()
}

/// Under a session's lease. Named in each put, and not kept with
/// `ignore_lease`: a bell that somebody deleted by hand comes back.
pub(crate) fn put_leased(key: String, value: impl Into<Vec<u8>>, session: SessionId) -> TxnOp {
    TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease_of(session))))
}

pub(crate) fn delete(key: impl Into<Vec<u8>>) -> TxnOp {
    TxnOp::delete(key, None)
}

pub(crate) fn get(key: impl Into<Vec<u8>>) -> TxnOp {
    TxnOp::get(key, None)
}

pub(crate) fn range(prefix: impl Into<Vec<u8>>) -> TxnOp {
    TxnOp::get(prefix, Some(GetOptions::new().with_prefix()))
}

/// At most `limit` keys, whichever: sorted reads go through all of them.
pub(crate) fn some_keys(prefix: impl Into<Vec<u8>>, limit: i64) -> TxnOp {
    TxnOp::get(prefix, Some(GetOptions::new().with_prefix().with_keys_only().with_limit(limit)))
}

/// The answer to a transaction.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) succeeded: bool,
    pub(crate) revision: i64,
    answers: std::vec::IntoIter<TxnOpResponse>,
}

impl From<TxnResponse> for Reply {
    fn from(response: TxnResponse) -> Self {
        let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        Self { succeeded: response.succeeded(), revision, answers: response.op_responses().into_iter() }
    }
}

/// The answers, one after another, in the order of the operations.
impl Reply {
    /// Of a transaction that did what it was to do, and read nothing.
    #[cfg(test)]
    pub(crate) fn done(revision: i64) -> Self {
        Self { succeeded: true, revision, answers: Vec::new().into_iter() }
    }

    pub(crate) fn keys(&mut self) -> Vec<KeyValue> {
        match self.answers.next() {
            Some(TxnOpResponse::Get(mut got)) => got.take_kvs(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn key(&mut self) -> Option<KeyValue> {
        self.keys().into_iter().next()
    }

    /// Whether any of the operations that are left has read a key.
    pub(crate) fn any_key(self) -> bool {
        self.answers
            .into_iter()
            .any(|answer| matches!(answer, TxnOpResponse::Get(got) if !got.kvs().is_empty()))
    }

    /// What a put replaced.
    pub(crate) fn replaced(&mut self) -> Option<KeyValue> {
        match self.answers.next() {
            Some(TxnOpResponse::Put(mut put)) => put.take_prev_key(),
            _ => None,
        }
    }

    /// The inner transaction's, wherever it stands.
    pub(crate) fn nested(&mut self) -> Result<Self> {
        // It has no revision of its own.
        let revision = self.revision;
        let nested = self.answers.find_map(|answer| match answer {
            TxnOpResponse::Txn(reply) => Some(Self { revision, ..reply.into() }),
            _ => None,
        });
        nested.ok_or_else(|| {
            Error::new(ErrorKind::Refused, "etcd's answer has another form").with_unknown_effect()
        })
    }
}
