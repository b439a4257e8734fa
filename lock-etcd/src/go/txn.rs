//! The transactions of `docs/etcd-go-layout.md`.
//!
//! None that writes reads anything sorted or filtered: etcd would go through the whole line, with every
//! member standing still meanwhile.

use etcd_client::{Compare, CompareOp, GetOptions, SortOrder, SortTarget, Txn, TxnOp};
use lock_core::SessionId;

use super::standing::Standing;
use crate::request::{absent, created_at, delete, get, put_leased, some_keys, untouched};

/// A place at the end of the line, and who is there already: at most two keys, whichever.
pub(super) fn join(standing: &Standing, session: SessionId) -> Txn {
    let here = some_keys(standing.keys.prefix(), 2);
    Txn::new()
        .when(once(standing))
        .and_then(vec![here, put(standing, standing.value(), session)])
        .or_else(vec![get(&*standing.key)])
}

/// A place in a line where nobody is. To be asked for only when somebody looked and saw nobody: etcd reads
/// every key that this is compared with.
pub(super) fn try_join(standing: &Standing, session: SessionId) -> Txn {
    let nobody = Compare::create_revision(standing.keys.prefix(), CompareOp::Equal, 0).with_prefix();
    Txn::new()
        .when([once(standing), vec![nobody]].concat())
        .and_then(vec![put(standing, standing.value(), session)])
        .or_else(vec![get(&*standing.key), get(&*standing.void)])
}

/// The claim has not come in before, and no request of it was voided.
fn once(standing: &Standing) -> Vec<Compare> {
    vec![absent(&*standing.key), absent(&*standing.void)]
}

/// Who joined last before `created`. In a transaction that only reads.
pub(super) fn last_before(prefix: &str, created: i64) -> TxnOp {
    let options = GetOptions::new().with_prefix().with_keys_only().with_limit(1);
    let options = options.with_sort(SortTarget::Create, SortOrder::Descend);
    TxnOp::get(prefix, Some(options.with_max_create_revision(created - 1)))
}

/// Leaves the line; with `doubt`, no join that is still on its way may land afterwards.
pub(super) fn leave(standing: &Standing, created: i64, doubt: bool, session: SessionId) -> Txn {
    let mut then = vec![delete(standing.key.clone())];
    if doubt {
        then.push(put_leased(standing.void.clone(), "", session));
    }
    Txn::new().when(vec![created_at(&*standing.key, created)]).and_then(then)
}

/// Makes sure that no join of the claim can land any more, or finds that one has.
pub(super) fn void(standing: &Standing, session: SessionId) -> Txn {
    Txn::new()
        .when(vec![absent(&*standing.key)])
        .and_then(vec![put_leased(standing.void.clone(), "", session)])
        .or_else(vec![get(&*standing.key)])
}

/// Writes what the place says, unless that was written meanwhile.
pub(super) fn rewrite(
    standing: &Standing,
    created: i64,
    written: i64,
    value: Vec<u8>,
    session: SessionId,
) -> Txn {
    Txn::new()
        .when(vec![created_at(&*standing.key, created), untouched(&*standing.key, written)])
        .and_then(vec![put(standing, value, session)])
        .or_else(vec![get(&*standing.key)])
}

fn put(standing: &Standing, value: Vec<u8>, session: SessionId) -> TxnOp {
    put_leased(standing.key.clone(), value, session)
}
