//! Leases that a deposed leader of etcd has had ended.
//!
//! Only who leads may have a lease ended because it has run out: nobody else hears of all renewals. A leader that has
//! stood still while another took its place may do so all the same, when it goes on (etcd #15247; since #16822 it asks
//! first whether it leads, and may be told that it does, right before it does not). The members' own logs tell it: the
//! request was taken into the log in another's term, and its number says who has asked.
//!
//! A client's own request, which the member that it talks to passes on, looks the same. Whoever judges must know whether
//! anybody counted on the session still.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
};

use super::{
    Kept,
    wal::{self, Entry, Revocation},
};

/// How it was, of each lease that a deposed leader has had ended, by its number.
pub(super) fn find(members: &[Kept]) -> io::Result<HashMap<i64, String>> {
    let logs: Vec<_> = members.iter().map(written_in).collect::<Result<_, _>>()?;
    let leaders = leaders(members.iter().map(|member| &*member.log));
    Ok(told(&leaders, &committed(&logs)))
}

/// What a majority has written down, in order.
fn committed(logs: &[BTreeMap<u64, Entry>]) -> Vec<Entry> {
    let mut written: BTreeMap<(u64, u64), (usize, Entry)> = BTreeMap::new();
    for entry in logs.iter().flat_map(BTreeMap::values) {
        written.entry((entry.index, entry.term)).or_insert((0, *entry)).0 += 1;
    }
    written.into_values().filter(|(members, _)| *members > logs.len() / 2).map(|(_, entry)| entry).collect()
}

/// Of each lease, what was asked for first: that has ended it, and all that comes later finds none.
fn told(leaders: &BTreeMap<u64, u64>, entries: &[Entry]) -> HashMap<i64, String> {
    let mut first = HashMap::new();
    for entry in entries {
        if let Some(Revocation { asked_by, lease }) = entry.revocation {
            first.entry(lease).or_insert_with(|| by_deposed(leaders, entry.term, asked_by));
        }
    }
    first.into_iter().filter_map(|(lease, how)| Some((lease, how?))).collect()
}

/// How, if who has asked led before, and another led by then.
fn by_deposed(leaders: &BTreeMap<u64, u64>, term: u64, asked_by: u16) -> Option<String> {
    let has_asked = |member: u64| member & 0xffff == u64::from(asked_by);
    let leader = *leaders.get(&term).filter(|leader| !has_asked(**leader))?;
    let (until, before) = leaders.range(..term).rfind(|(_, before)| has_asked(**before))?;
    Some(format!(
        "member {before:x} led in term {until}, and had it ended in term {term}, which {leader:x} led"
    ))
}

/// Who led in each term, as they have said themselves. Where nobody has, nothing is told of that term.
fn leaders<'a>(logs: impl Iterator<Item = &'a str>) -> BTreeMap<u64, u64> {
    let leader = |line: &str| {
        let (before, after) = line.split_once(" became leader at term ")?;
        let member = before.rsplit(|letter: char| !letter.is_ascii_hexdigit()).next()?;
        let term = after.split(|letter: char| !letter.is_ascii_digit()).next()?;
        Some((term.parse().ok()?, u64::from_str_radix(member, 16).ok()?))
    };
    logs.flat_map(str::lines).filter_map(leader).collect()
}

/// A member's log, by index. What is written once more replaces what was there, and all that came after.
fn written_in(member: &Kept) -> io::Result<BTreeMap<u64, Entry>> {
    let mut files = Vec::new();
    for file in fs::read_dir(&member.transactions)? {
        files.push(file?.path());
    }
    files.retain(|path| path.extension().is_some_and(|it| it == "wal"));
    files.sort_unstable();
    let mut log = BTreeMap::new();
    for path in files {
        for entry in wal::entries(&fs::read(path)?) {
            drop(log.split_off(&entry.index));
            log.insert(entry.index, entry);
        }
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::wal::tests::written;

    const OLD: &str = "raft2026/11/28 18:37:55 INFO: 775f9f63bce61591 became leader at term 2";
    const NEW: &str = r#"{"level":"info","msg":"47d16a908abd17d4 became leader at term 4"}"#;
    const AGAIN: &str = r#"{"level":"info","msg":"47d16a908abd17d4 became leader at term 6"}"#;

    fn entry(index: u64, (term, asked_by, lease): (u64, u16, i64)) -> Entry {
        Entry { index, term, revocation: Some(Revocation { asked_by, lease }) }
    }

    /// Which leases were ended so, by the term in which each was asked for, and who has asked.
    fn found(asked: &[(u64, u16, i64)]) -> Vec<i64> {
        let entries: Vec<_> = (1..).zip(asked).map(|(index, asked)| entry(index, *asked)).collect();
        let leaders = leaders([OLD, "started", NEW, AGAIN].into_iter());
        let mut found: Vec<_> = told(&leaders, &entries).into_keys().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn who_has_led_before_has_leases_ended_in_anothers_term() {
        assert_eq!(found(&[(4, 0x1591, 7), (4, 0x1591, 8), (6, 0x1591, 9)]), [7, 8, 9]);
    }

    #[test]
    fn who_leads_and_who_never_did_is_not_deposed() {
        let asked = [(4, 0x17d4, 7), (4, 0x3026, 8), (2, 0x1591, 9), (6, 0x17d4, 10)];
        // Nobody has said that it led in the last one.
        assert_eq!(found(&[&asked[..], &[(7, 0x1591, 11)]].concat()), Vec::<i64>::new());
    }

    #[test]
    fn a_lease_that_has_been_ended_is_not_ended_once_more() {
        assert_eq!(found(&[(4, 0x17d4, 7), (4, 0x1591, 7), (4, 0x1591, 8), (4, 0x17d4, 8)]), [8]);
    }

    /// Figure 8 of Raft's paper (Ongaro and Ousterhout, 2014): what is committed need not be of the highest term.
    #[test]
    fn what_a_majority_has_written_down_counts() {
        let logs = [
            vec![entry(1, (2, 0x1591, 7)), entry(2, (4, 0x1591, 8))],
            vec![entry(1, (2, 0x1591, 7)), entry(2, (4, 0x1591, 8))],
            vec![entry(1, (3, 0x1591, 9)), entry(2, (3, 0x1591, 10))],
        ];
        let logs = logs.map(|log| log.into_iter().map(|entry| (entry.index, entry)).collect());
        assert_eq!(committed(&logs), [entry(1, (2, 0x1591, 7)), entry(2, (4, 0x1591, 8))]);
    }

    #[test]
    fn what_was_written_over_is_gone_with_all_that_came_after() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, entries: &[Entry]| {
            let entries: Vec<_> = entries.iter().flat_map(|entry| written(*entry)).collect();
            fs::write(folder.path().join(name), entries).unwrap();
        };
        file("1.wal", &[entry(8, (4, 0x17d4, 3)), entry(9, (4, 0x1591, 4))]);
        file("0.wal", &[entry(7, (2, 0x1591, 1)), entry(8, (2, 0x1591, 2)), entry(10, (2, 0x1591, 5))]);
        file("2.tmp", &[entry(9, (4, 0x1591, 6))]);
        let kept = Kept { transactions: folder.path().to_owned(), log: [OLD, NEW].join("\n") };
        let log = written_in(&kept).unwrap();
        assert_eq!(log.into_values().map(|it| it.revocation.unwrap().lease).collect::<Vec<_>>(), [1, 3, 4]);
        let how =
            "member 775f9f63bce61591 led in term 2, and had it ended in term 4, which 47d16a908abd17d4 led";
        assert_eq!(find(&[kept]).unwrap(), [(4, how.to_owned())].into());
    }
}
