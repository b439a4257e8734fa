//! Transactions, as etcd carries them out: all compares, nested ones too, look at the store before any
//! operation; what is refused has no effect; all that is written has one revision.

use etcd_client::proto::{
    PbDeleteResponse, PbPutResponse, PbRangeResponse, PbResponseHeader, PbResponseOp, PbTxnOpRequest,
    PbTxnOpResponse, PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};
use tonic::Status;

use crate::{
    flaw::Flaw,
    mvcc::{Keys, Mvcc},
};

/// etcd's default limit.
const MOST_OPERATIONS: usize = 128;

/// Which branches are taken, in the order in which the transactions stand.
struct Verdicts(std::vec::IntoIter<bool>);

impl Verdicts {
    fn next(&mut self) -> bool {
        self.0.next().unwrap()
    }
}

pub(crate) fn apply(store: &mut Mvcc, txn: &PbTxnRequest) -> Result<PbTxnResponse, Status> {
    check_size(txn, MOST_OPERATIONS)?;
    let (mut verdicts, mut path) = (Vec::new(), Vec::new());
    decide(store, txn, &mut verdicts, &mut path)?;
    check(store, &path)?;
    let mut response = perform(store, txn, &mut Verdicts(verdicts.into_iter()))?;
    store.commit();
    let header = store.header();
    response.responses.iter_mut().for_each(|response| stamp(response, header));
    Ok(PbTxnResponse { header, ..response })
}

fn check_size(txn: &PbTxnRequest, most: usize) -> Result<(), Status> {
    let operations = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    let Some(left) = most.checked_sub(operations) else {
        return Err(Status::invalid_argument("etcdserver: too many operations in txn request"));
    };
    for operation in txn.success.iter().chain(&txn.failure) {
        if let Some(PbTxnOpRequest::RequestTxn(nested)) = &operation.request {
            check_size(nested, left)?;
        }
    }
    Ok(())
}

fn branch(txn: &PbTxnRequest, succeeded: bool) -> &[PbTxnRequestOp] {
    if succeeded { &txn.success } else { &txn.failure }
}

/// Which branches are taken, and the operations on them.
fn decide<'a>(
    store: &Mvcc,
    txn: &'a PbTxnRequest,
    verdicts: &mut Vec<bool>,
    path: &mut Vec<&'a PbTxnOpRequest>,
) -> Result<(), Status> {
    let mut succeeded = true;
    for compare in &txn.compare {
        succeeded &= store.holds(compare)?;
    }
    if store.flaw == Some(Flaw::ComparesIgnored) {
        succeeded = true;
    }
    verdicts.push(succeeded);
    for operation in branch(txn, succeeded) {
        match &operation.request {
            Some(PbTxnOpRequest::RequestTxn(nested)) => decide(store, nested, verdicts, path)?,
            operation => path.extend(operation),
        }
    }
    Ok(())
}

/// What etcd refuses: dead leases, and keys that are written twice.
fn check(store: &Mvcc, path: &[&PbTxnOpRequest]) -> Result<(), Status> {
    let mut written: Vec<&[u8]> = Vec::new();
    for operation in path {
        if let PbTxnOpRequest::RequestPut(put) = operation {
            store.check_put(put)?;
            written.push(&put.key);
        }
    }
    let deleted = path.iter().filter_map(|operation| match operation {
        PbTxnOpRequest::RequestDeleteRange(delete) => Some(Keys::new(&delete.key, &delete.range_end)),
        _ => None,
    });
    let overlap = deleted.into_iter().any(|keys| written.iter().any(|key| keys.contain(key)));
    let puts = written.len();
    written.sort_unstable();
    written.dedup();
    if overlap || written.len() < puts {
        return Err(Status::invalid_argument("etcdserver: duplicate key given in txn request"));
    }
    Ok(())
}

fn perform(store: &mut Mvcc, txn: &PbTxnRequest, verdicts: &mut Verdicts) -> Result<PbTxnResponse, Status> {
    let succeeded = verdicts.next();
    let mut responses = Vec::new();
    for operation in branch(txn, succeeded).iter().filter_map(|operation| operation.request.as_ref()) {
        let response = match operation {
            PbTxnOpRequest::RequestRange(range) => {
                let kvs = store.get(range)?;
                PbTxnOpResponse::ResponseRange(PbRangeResponse { kvs, ..PbRangeResponse::default() })
            }
            PbTxnOpRequest::RequestPut(put) => {
                let prev_kv = store.put(put);
                PbTxnOpResponse::ResponsePut(PbPutResponse { prev_kv, ..PbPutResponse::default() })
            }
            PbTxnOpRequest::RequestDeleteRange(delete) => {
                let deleted = store.delete(delete);
                PbTxnOpResponse::ResponseDeleteRange(PbDeleteResponse {
                    deleted,
                    ..PbDeleteResponse::default()
                })
            }
            PbTxnOpRequest::RequestTxn(nested) => {
                PbTxnOpResponse::ResponseTxn(perform(store, nested, verdicts)?)
            }
        };
        responses.push(PbResponseOp { response: Some(response) });
    }
    Ok(PbTxnResponse { header: None, succeeded, responses })
}

/// Says at which revision. etcd gives a nested transaction an empty header.
fn stamp(response: &mut PbResponseOp, header: Option<PbResponseHeader>) {
    match &mut response.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => range.header = header,
        Some(PbTxnOpResponse::ResponsePut(put)) => put.header = header,
        Some(PbTxnOpResponse::ResponseDeleteRange(delete)) => delete.header = header,
        Some(PbTxnOpResponse::ResponseTxn(txn)) => {
            txn.header = Some(PbResponseHeader::default());
            txn.responses.iter_mut().for_each(|response| stamp(response, header));
        }
        None => {}
    }
}
