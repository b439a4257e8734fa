//! etcd's log as it lies on a member's disk: who has asked for a lease to be ended.
//!
//! A file is records one after the other; zeros follow the last one. Each begins with its length, eight bytes,
//! little-endian, the uppermost of which says how many bytes of padding follow. One of the second kind has an entry of
//! Raft: its term, its index, and a request (`walpb`, `raftpb` and `etcdserverpb` of etcd). A request's number begins
//! with the last two bytes of the number of the member that has asked.

use prost::Message;

/// What was taken into the log at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) index: u64,
    pub(super) term: u64,
    /// Nothing: something else was asked for.
    pub(super) revocation: Option<Revocation>,
}

/// Somebody has asked for a lease to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Revocation {
    /// The last two bytes of the number of the member that has asked.
    pub(super) asked_by: u16,
    pub(super) lease: i64,
}

/// The kind of record that has an entry.
const ENTRY: i64 = 2;

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(bytes = "vec", tag = "3")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RaftEntry {
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(uint64, tag = "3")]
    index: u64,
    #[prost(bytes = "vec", tag = "4")]
    request: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "9")]
    lease_revoke: Option<Lease>,
    #[prost(message, optional, tag = "100")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "1")]
    number: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
}

/// All of a file, up to the last record that is whole.
pub(super) fn entries(file: &[u8]) -> Vec<Entry> {
    let mut rest = file;
    std::iter::from_fn(|| next(&mut rest)).filter_map(entry).collect()
}

/// The next record; none at the end, or where one was being written.
fn next(rest: &mut &[u8]) -> Option<Record> {
    let (frame, after) = rest.split_first_chunk::<8>()?;
    let frame = u64::from_le_bytes(*frame);
    let length = usize::try_from(frame & (u64::MAX >> 8)).ok().filter(|length| *length > 0)?;
    // Its first bit says that there is padding at all.
    let padding = usize::try_from(frame >> 56 & 7).ok()?;
    let (record, after) = after.split_at_checked(length)?;
    *rest = after.get(padding..)?;
    Record::decode(record).ok()
}

fn entry(record: Record) -> Option<Entry> {
    if record.kind != ENTRY {
        return None;
    }
    let RaftEntry { term, index, request } = RaftEntry::decode(&*record.data).ok()?;
    Some(Entry { index, term, revocation: revocation(&request) })
}

fn revocation(request: &[u8]) -> Option<Revocation> {
    let Request { lease_revoke, header } = Request::decode(request).ok()?;
    let asked_by = u16::try_from(header?.number >> 48).ok()?;
    Some(Revocation { asked_by, lease: lease_revoke?.id })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The record of an entry.
    pub(in super::super) fn written(Entry { index, term, revocation }: Entry) -> Vec<u8> {
        let asked_by = revocation.map_or(0x3026, |it| it.asked_by);
        let request = Request {
            lease_revoke: revocation.map(|it| Lease { id: it.lease }),
            header: Some(Header { number: u64::from(asked_by) << 48 | 0xffff_ffff_ffff }),
        };
        record(ENTRY, RaftEntry { term, index, request: request.encode_to_vec() }.encode_to_vec())
    }

    fn record(kind: i64, data: Vec<u8>) -> Vec<u8> {
        let record = Record { kind, data }.encode_to_vec();
        let padding = (8 - record.len() % 8) % 8;
        let has_padding = if padding > 0 { 0x80 } else { 0 };
        let frame = record.len() as u64 | (has_padding | padding as u64) << 56;
        [&frame.to_le_bytes()[..], &record, &vec![0; padding]].concat()
    }

    /// As etcd 3.4.23 has written it down.
    const REAL: &str = "2d000000000000830802108b88f8db0c1a230800100218fe04221a4a0a08b78bc1b9fefbafa955\
        a2060b08c3fbd39abfc4e8bbc101000000";

    #[test]
    fn a_record_of_etcd_is_read() {
        let digits = (0..REAL.len()).step_by(2);
        let real: Vec<_> = digits.map(|at| u8::from_str_radix(&REAL[at..at + 2], 16).unwrap()).collect();
        let revocation = Revocation { asked_by: 0xc177, lease: 0x5552_bfdf_e730_45b7 };
        assert_eq!(entries(&real), [Entry { index: 638, term: 2, revocation: Some(revocation) }]);
    }

    #[test]
    fn entries_are_read_up_to_the_last_whole_one() {
        let entry = |index, revocation| Entry { index, term: 5, revocation };
        let revocation = |asked_by, lease| Some(Revocation { asked_by, lease });
        let expected = [
            entry(8, None),
            entry(9, revocation(0x1591, 0x2a)),
            entry(10, revocation(0x17d4, -1)),
            // Begins a term.
            entry(11, None),
        ];
        let [first, second, third, _] = expected.map(written);
        let begins = RaftEntry { term: 5, index: 11, request: Vec::new() }.encode_to_vec();
        let whole = [record(4, vec![1, 2, 3]), first, second, third, record(ENTRY, begins)].concat();
        let last = written(entry(12, revocation(0x1591, 7)));
        let file = [&whole, &last[..last.len() - 8]].concat();
        assert_eq!(entries(&file), expected);
        assert_eq!(entries(&[whole, vec![0; 64]].concat()), expected);
        assert_eq!(entries(b""), []);
    }
}
