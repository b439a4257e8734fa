//! The keys of the simulated etcd, at every revision, and its leases: what a transaction does, and what
//! watches are told of it. Nothing goes wrong here, unless it is to.
//!
//! Only what `lock-etcd` asks for: anything else is refused, so that it is noticed.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use etcd_client::{
    EventType,
    proto::{
        PbCompare, PbDeleteRequest, PbEvent, PbKeyValue, PbPutRequest, PbRangeRequest, PbResponseHeader,
    },
};
use lock_core::Moment;
use tonic::Status;

use crate::flaw::Flaw;

/// One key, or all of a range.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    key: Vec<u8>,
    end: Vec<u8>,
}

impl Keys {
    pub(crate) fn new(key: &[u8], end: &[u8]) -> Self {
        Self { key: key.to_vec(), end: end.to_vec() }
    }

    pub(crate) fn contain(&self, key: &[u8]) -> bool {
        if self.end.is_empty() { key == self.key } else { *self.key <= *key && *key < *self.end }
    }
}

struct Lease {
    ttl: Duration,
    ends: Moment,
}

/// A lease was granted for so long.
pub(crate) type Ttl = Duration;

#[derive(Default)]
pub(crate) struct Mvcc {
    revision: i64,
    compacted: i64,
    /// How often another leader was elected.
    term: u64,
    keys: BTreeMap<Vec<u8>, PbKeyValue>,
    /// In the order of revisions.
    events: Vec<PbEvent>,
    leases: BTreeMap<i64, Lease>,
    pub(crate) flaw: Option<Flaw>,
}

impl Mvcc {
    pub(crate) fn new(flaw: Option<Flaw>) -> Self {
        Self { flaw, ..Self::default() }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    pub(crate) fn header(&self) -> Option<PbResponseHeader> {
        Some(PbResponseHeader { cluster_id: 1, member_id: 1, revision: self.revision, raft_term: self.term })
    }

    /// Another leader is elected; says in which term the one before has led.
    pub(crate) fn change_leader(&mut self) -> u64 {
        self.term += 1;
        self.term - 1
    }

    /// Forgets what happened before the revision.
    pub(crate) fn compact(&mut self, revision: i64) {
        self.compacted = self.compacted.max(revision);
    }

    /// What happened at these revisions to these keys.
    pub(crate) fn events(&self, keys: &Keys, revisions: RangeInclusive<i64>) -> Vec<PbEvent> {
        let from = self.events.partition_point(|event| revision_of(event) < *revisions.start());
        let since = self.events.iter().skip(from).take_while(|event| revisions.contains(&revision_of(event)));
        since.filter(|event| keys.contain(key_of(event))).cloned().collect()
    }

    pub(crate) fn in_range(&self, keys: &Keys) -> impl Iterator<Item = &PbKeyValue> {
        let from = self.keys.range(keys.key.clone()..);
        from.map(|(_, kv)| kv).take_while(|kv| keys.contain(&kv.key))
    }

    pub(crate) fn get(&self, asked: &PbRangeRequest) -> Result<Vec<PbKeyValue>, Status> {
        let PbRangeRequest { key, range_end, limit, revision, sort_order, serializable, count_only, .. } =
            asked;
        if *sort_order != 0 || *serializable || *count_only {
            return Err(Status::unimplemented("not simulated"));
        }
        let keys = Keys::new(key, range_end);
        let limit = usize::try_from(*limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let mut found: Vec<PbKeyValue> = match *revision {
            0 => self.in_range(&keys).take(limit).cloned().collect(),
            revision => self.get_at(&keys, revision)?,
        };
        if asked.keys_only {
            found.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(found)
    }

    /// One key as it was.
    fn get_at(&self, keys: &Keys, revision: i64) -> Result<Vec<PbKeyValue>, Status> {
        if revision < self.compacted {
            return Err(Status::out_of_range("etcdserver: mvcc: required revision has been compacted"));
        }
        if revision > self.revision {
            return Err(Status::out_of_range("etcdserver: mvcc: required revision is a future revision"));
        }
        if !keys.end.is_empty() {
            return Err(Status::unimplemented("not simulated"));
        }
        let until = self.events.partition_point(|event| revision_of(event) <= revision);
        let last = self.events.iter().take(until).rfind(|event| key_of(event) == keys.key);
        Ok(last
            .filter(|event| event.r#type() == EventType::Put)
            .and_then(|event| event.kv.clone())
            .into_iter()
            .collect())
    }

    pub(crate) fn check_put(&self, put: &PbPutRequest) -> Result<(), Status> {
        if put.ignore_lease || put.ignore_value {
            return Err(Status::unimplemented("not simulated"));
        }
        let lives = put.lease == 0 || self.leases.contains_key(&put.lease);
        if lives || self.flaw == Some(Flaw::DeadLeasesTaken) { Ok(()) } else { Err(no_lease()) }
    }

    /// Writes a key at the next revision.
    pub(crate) fn put(&mut self, put: &PbPutRequest) -> Option<PbKeyValue> {
        let (revision, before) = (self.revision + 1, self.keys.get(&put.key).cloned());
        let (created, version) = before.as_ref().map_or((revision, 0), |kv| (kv.create_revision, kv.version));
        let kv = PbKeyValue {
            key: put.key.clone(),
            create_revision: created,
            mod_revision: revision,
            version: version + 1,
            value: put.value.clone(),
            lease: put.lease,
        };
        self.keys.insert(put.key.clone(), kv.clone());
        self.events.push(PbEvent { r#type: EventType::Put as i32, kv: Some(kv), prev_kv: None });
        before.filter(|_| put.prev_kv)
    }

    /// Deletes keys at the next revision; tells how many there were.
    pub(crate) fn delete(&mut self, delete: &PbDeleteRequest) -> i64 {
        let keys = Keys::new(&delete.key, &delete.range_end);
        let gone: Vec<Vec<u8>> = self.in_range(&keys).map(|kv| kv.key.clone()).collect();
        gone.iter().for_each(|key| self.remove(key));
        i64::try_from(gone.len()).unwrap()
    }

    fn remove(&mut self, key: &[u8]) {
        self.keys.remove(key);
        let kv = PbKeyValue { key: key.to_vec(), mod_revision: self.revision + 1, ..PbKeyValue::default() };
        self.events.push(PbEvent { r#type: EventType::Delete as i32, kv: Some(kv), prev_kv: None });
    }

    /// Ends a transaction: one revision, if it changed anything.
    pub(crate) fn commit(&mut self) {
        let changed = self.events.last().is_some_and(|event| revision_of(event) > self.revision);
        self.revision += i64::from(changed);
    }

    /// As etcd compares: nothing at all is compared as a key of revision, version and lease 0.
    pub(crate) fn holds(&self, compare: &PbCompare) -> Result<bool, Status> {
        let missing = PbKeyValue::default();
        let keys = Keys::new(&compare.key, &compare.range_end);
        if self.flaw == Some(Flaw::RangesNotCompared) && !compare.range_end.is_empty() {
            return Ok(true);
        }
        let mut found = self.in_range(&keys).peekable();
        if found.peek().is_none() {
            return compare::holds(compare, &missing, true);
        }
        found.try_fold(true, |all, kv| Ok(all && compare::holds(compare, kv, false)?))
    }

    pub(crate) fn grant(&mut self, id: i64, ttl: Ttl, now: Moment) -> Result<(), Status> {
        if self.leases.contains_key(&id) {
            return Err(Status::failed_precondition("etcdserver: lease already exists"));
        }
        self.leases.insert(id, Lease { ttl, ends: now + ttl });
        Ok(())
    }

    /// All keys under the lease vanish at one revision.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), Status> {
        self.leases.remove(&id).ok_or_else(no_lease)?;
        let under_it = self.keys.values().filter(|kv| kv.lease == id);
        let gone: Vec<Vec<u8>> = under_it.map(|kv| kv.key.clone()).collect();
        gone.iter().for_each(|key| self.remove(key));
        self.commit();
        Ok(())
    }

    /// A lease that has run out is not renewed any more: who asks waits until it has ended.
    pub(crate) fn renew(&mut self, id: i64, now: Moment) -> Renewed {
        match self.leases.get_mut(&id) {
            None => Renewed::Gone,
            Some(lease) if lease.ends <= now => Renewed::RunOut,
            Some(lease) => {
                lease.ends = now + lease.ttl;
                Renewed::For(lease.ttl)
            }
        }
    }

    /// How many whole seconds a lease has left, and for how many it was granted; as etcd answers when there is
    /// none.
    pub(crate) fn time_to_live(&self, id: i64, now: Moment) -> (i64, i64) {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap();
        let there = |lease: &Lease| (seconds(lease.ends.saturating_since(now)), seconds(lease.ttl));
        self.leases.get(&id).map_or((-1, 0), there)
    }

    /// Those that have run out.
    pub(crate) fn run_out(&self, now: Moment) -> Vec<i64> {
        let early = |lease: &Lease| {
            if self.flaw == Some(Flaw::LeasesEndEarly) { lease.ttl / 2 } else { Duration::ZERO }
        };
        let over = self.leases.iter().filter(|(_, lease)| lease.ends - early(lease) <= now);
        over.map(|(id, _)| *id).collect()
    }

    /// Whether there are keys under the lease.
    pub(crate) fn is_used(&self, lease: i64) -> bool {
        self.keys.values().any(|kv| kv.lease == lease)
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = i64> {
        self.leases.keys().copied()
    }
}

/// What became of a renewal.
pub(crate) enum Renewed {
    For(Ttl),
    RunOut,
    Gone,
}

fn no_lease() -> Status {
    Status::not_found("etcdserver: requested lease not found")
}

fn revision_of(event: &PbEvent) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn key_of(event: &PbEvent) -> &[u8] {
    event.kv.as_ref().map_or(&[], |kv| &kv.key)
}

mod compare {
    use std::cmp::Ordering;

    use etcd_client::proto::{PbCompare, PbKeyValue, PbTargetUnion};
    use tonic::Status;

    /// Whether a compare holds for a key.
    pub(super) fn holds(compare: &PbCompare, kv: &PbKeyValue, missing: bool) -> Result<bool, Status> {
        let order = match &compare.target_union {
            Some(PbTargetUnion::Version(version)) => kv.version.cmp(version),
            Some(PbTargetUnion::CreateRevision(revision)) => kv.create_revision.cmp(revision),
            Some(PbTargetUnion::ModRevision(revision)) => kv.mod_revision.cmp(revision),
            Some(PbTargetUnion::Lease(lease)) => kv.lease.cmp(lease),
            // What is not there has no value, not even an empty one.
            Some(PbTargetUnion::Value(_)) if missing => return Ok(false),
            Some(PbTargetUnion::Value(value)) => kv.value.cmp(value),
            None => return Err(Status::invalid_argument("a compare with nothing")),
        };
        // By the numbers of etcd's `CompareResult`.
        match compare.result {
            0 => Ok(order == Ordering::Equal),
            1 => Ok(order == Ordering::Greater),
            2 => Ok(order == Ordering::Less),
            3 => Ok(order != Ordering::Equal),
            _ => Err(Status::invalid_argument("an unknown compare")),
        }
    }
}
