//! What nodes are called.
//!
//! | | |
//! |---|---|
//! | Curator's `InterProcessMutex`, `LeaderSelector` | `_c_<uuid>-lock-<sequence>` |
//! | kazoo's `Lock`, `Election` | `<32 hex digits>__lock__<sequence>` |
//!
//! Curator orders all children by what follows the last `lock-` in their names, kazoo those that end in
//! `__lock__` and ten digits by these digits. The number before is drawn at random, so that a node whose
//! create was not answered can be found again; ours are the claim's own.

use lock_core::{ClaimId, SessionId};

/// Whose layout it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fleet {
    Curator,
    Kazoo,
}

/// A node that stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contender {
    pub(super) sequence: i64,
    pub(super) claim: ClaimId,
}

impl Fleet {
    /// What is not somebody's place in line lies in a node of this name.
    pub(super) const fn own(self) -> &'static str {
        match self {
            Self::Curator => "yourturn.curator",
            Self::Kazoo => "yourturn.kazoo",
        }
    }

    /// What stands between the number of a claim and the sequence.
    const fn mark(self) -> &'static str {
        match self {
            Self::Curator => "lock-",
            Self::Kazoo => "__lock__",
        }
    }

    /// What the server puts a sequence behind.
    pub(super) fn prefix(self, claim: ClaimId) -> String {
        let number = format!("{:016x}{:016x}", claim.session.get(), claim.number);
        match self {
            Self::Kazoo => number + self.mark(),
            Self::Curator => {
                let at = |range| number.get(range).unwrap_or_default();
                let uuid = [at(0..8), at(8..12), at(12..16), at(16..20), at(20..32)].join("-");
                format!("_c_{uuid}-{}", self.mark())
            }
        }
    }

    /// Who stands at the node of this name; `None` when it is nobody's place.
    pub(super) fn contender(self, name: &str) -> Option<Contender> {
        let (before, digits) = name.rsplit_once(self.mark())?;
        if digits.len() != 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let sequence = digits.parse().ok()?;
        Some(Contender { sequence, claim: claim(before).unwrap_or(nameless(sequence)) })
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

    #[test]
    fn names_are_those_of_the_fleet_and_come_back() {
        let curator = "_c_01234567-89ab-cdef-0000-000000000007-lock-";
        assert_eq!(Fleet::Curator.prefix(CLAIM), curator);
        let kazoo = "0123456789abcdef0000000000000007__lock__";
        assert_eq!(Fleet::Kazoo.prefix(CLAIM), kazoo);
        let found = Some(Contender { sequence: 12, claim: CLAIM });
        assert_eq!(Fleet::Curator.contender(&format!("{curator}0000000012")), found);
        assert_eq!(Fleet::Kazoo.contender(&format!("{kazoo}0000000012")), found);
        // As Go's client and kazoo with a mark of its own write it.
        assert_eq!(Fleet::Curator.contender("0123456789abcdef0000000000000007-lock-0000000012"), found);
    }

    #[test]
    fn who_has_no_number_stands_in_line_all_the_same() {
        let place = Fleet::Curator.contender("lock-0000000003").unwrap();
        assert_eq!((place.sequence, place.claim), (3, nameless(3)));
        assert_eq!(Fleet::Kazoo.contender("é__lock__0000000003").unwrap().sequence, 3);
    }

    #[test]
    fn what_is_nobodys_place_is_told_apart() {
        for name in ["", "lock-", "lock-12", "lock--000000012", "x__lock__0000000001", "lock-0000000001x"] {
            assert_eq!(Fleet::Curator.contender(name), None, "{name}");
        }
        assert_eq!(Fleet::Kazoo.contender("_c_x-lock-0000000001"), None);
    }
}
