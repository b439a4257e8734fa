//! What nodes are called.
//!
//! | | |
//! |---|---|
//! | Curator's `InterProcessMutex`, `LeaderSelector` | `_c_<uuid>-lock-<sequence>` |
//! | Curator's `InterProcessReadWriteLock` | `_c_<uuid>-__READ__<sequence>`, `_c_<uuid>-__WRIT__<sequence>` |
//! | kazoo's `Lock`, `Election` | `<32 hex digits>__lock__<sequence>` |
//!
//! Curator orders all children by what follows the last mark in their names, kazoo those that end in
//! `__lock__` and ten digits by these digits. The number before is drawn at random, so that a node whose
//! create was not answered can be found again; ours are the claim's own.

use lock_core::{ClaimId, Kind, Mode, SessionId};

/// Whose layout it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fleet {
    Curator,
    Kazoo,
}

/// A node that stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) sequence: i64,
    pub(crate) claim: ClaimId,
    pub(crate) mode: Mode,
}

impl Contender {
    /// Whether a claim in this mode that stands behind has to wait for it. One that stands behind a writer who
    /// waits does so for that one.
    pub(super) fn is_in_the_way_of(&self, mode: Mode) -> bool {
        mode != Mode::Shared || self.mode != Mode::Shared
    }
}

/// What nodes of one kind of line are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    fleet: Fleet,
    /// What stands between the number of a claim and the sequence, and in which mode the claim is then.
    marks: &'static [(&'static str, Mode)],
}

impl Fleet {
    /// What is not somebody's place in line lies in a node of this name.
    pub(super) const fn own(self) -> &'static str {
        match self {
            Self::Curator => "yourturn.curator",
            Self::Kazoo => "yourturn.kazoo",
        }
    }

    pub(crate) const fn names(self, kind: Kind) -> Names {
        let marks: &[_] = match (self, kind) {
            (Self::Curator, Kind::RwLock) => &[("__WRIT__", Mode::Exclusive), ("__READ__", Mode::Shared)],
            (Self::Curator, _) => &[("lock-", Mode::Exclusive)],
            (Self::Kazoo, _) => &[("__lock__", Mode::Exclusive)],
        };
        Names { fleet: self, marks }
    }
}

impl Names {
    /// What the server puts a sequence behind; `None` when there are no claims in this mode.
    pub(crate) fn prefix(self, claim: ClaimId, mode: Mode) -> Option<String> {
        let (mark, _) = self.marks.iter().find(|(_, marked)| *marked == mode)?;
        let number = format!("{:016x}{:016x}", claim.session.get(), claim.number);
        Some(match self.fleet {
            Fleet::Kazoo => number + mark,
            Fleet::Curator => {
                let at = |range| number.get(range).unwrap_or_default();
                let uuid = [at(0..8), at(8..12), at(12..16), at(16..20), at(20..32)].join("-");
                format!("_c_{uuid}-{mark}")
            }
        })
    }

    /// Who stands at the node of this name; `None` when it is nobody's place.
    pub(crate) fn contender(self, name: &str) -> Option<Contender> {
        let (before, digits) = name.split_at_checked(name.len().checked_sub(10)?)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let sequence = digits.parse().ok()?;
        self.marks.iter().find_map(|(mark, mode)| {
            let claim = claim(before.strip_suffix(mark)?).unwrap_or(nameless(sequence));
            Some(Contender { sequence, claim, mode: *mode })
        })
    }
}

/// The claim that the part before the mark names.
fn claim(before: &str) -> Option<ClaimId> {
    let digits: String = before.strip_prefix("_c_").unwrap_or(before).replace('-', "");
    let (session, number) = digits.split_at_checked(16).filter(|_| digits.len() == 32)?;
    let read = |digits| u64::from_str_radix(digits, 16).ok();
    Some(ClaimId { session: SessionId::new(read(session)?), number: read(number)? })
}

/// Who has no number is called by its place.
fn nameless(sequence: i64) -> ClaimId {
    ClaimId { session: SessionId::new(0), number: sequence.cast_unsigned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: ClaimId = ClaimId { session: SessionId::new(0x0123_4567_89ab_cdef), number: 7 };
    const LOCK: Names = Fleet::Curator.names(Kind::Mutex);
    const READ_WRITE: Names = Fleet::Curator.names(Kind::RwLock);
    const KAZOO: Names = Fleet::Kazoo.names(Kind::Mutex);

    #[test]
    fn names_are_those_of_the_fleet_and_come_back() {
        let number = "_c_01234567-89ab-cdef-0000-000000000007-";
        let cases = [
            (LOCK, Mode::Exclusive, format!("{number}lock-")),
            (READ_WRITE, Mode::Exclusive, format!("{number}__WRIT__")),
            (READ_WRITE, Mode::Shared, format!("{number}__READ__")),
            (KAZOO, Mode::Exclusive, "0123456789abcdef0000000000000007__lock__".to_owned()),
        ];
        for (names, mode, prefix) in cases {
            assert_eq!(names.prefix(CLAIM, mode).as_ref(), Some(&prefix));
            let found = Some(Contender { sequence: 12, claim: CLAIM, mode });
            assert_eq!(names.contender(&format!("{prefix}0000000012")), found);
        }
        assert_eq!(LOCK.prefix(CLAIM, Mode::Shared), None);
        // As Go's client and kazoo with a mark of its own write it.
        let found = Some(Contender { sequence: 12, claim: CLAIM, mode: Mode::Exclusive });
        assert_eq!(LOCK.contender("0123456789abcdef0000000000000007-lock-0000000012"), found);
    }

    #[test]
    fn who_has_no_number_stands_in_line_all_the_same() {
        let place = LOCK.contender("lock-0000000003").unwrap();
        assert_eq!((place.sequence, place.claim), (3, nameless(3)));
        assert_eq!(KAZOO.contender("é__lock__0000000003").unwrap().sequence, 3);
    }

    #[test]
    fn what_is_nobodys_place_is_told_apart() {
        for name in ["", "lock-", "lock-12", "lock--000000012", "x__lock__0000000001", "lock-0000000001x"] {
            assert_eq!(LOCK.contender(name), None, "{name}");
        }
        for name in ["_c_x-lock-0000000001", "é000000001"] {
            assert_eq!(KAZOO.contender(name), None, "{name}");
            assert_eq!(READ_WRITE.contender(name), None, "{name}");
        }
    }

    #[test]
    fn readers_are_in_the_way_of_writers_alone() {
        let reader = READ_WRITE.contender("__READ__0000000003").unwrap();
        let writer = READ_WRITE.contender("__WRIT__0000000003").unwrap();
        let blocks = [reader, writer]
            .map(|ahead| [Mode::Shared, Mode::Exclusive].map(|mode| ahead.is_in_the_way_of(mode)));
        assert_eq!(blocks, [[false, true], [true, true]]);
    }
}
