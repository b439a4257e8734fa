//! Which member owns a key: rendezvous hashing (Thaler and Ravishankar, *Using Name-Based Mappings to Increase
//! Hit Rates*, 1998).
//!
//! Every member has a score for every key, and the highest owns it. So a member that goes takes nothing along
//! but its own keys, and one that comes takes its share from all others evenly.

use siphasher::sip::SipHasher24;

use crate::name::Name;

/// How high `member` ranks for `key`. The same in every process, build and version: changing it moves the keys
/// of everybody who has not changed yet.
///
/// SipHash-2-4 with a key of zeros over the name, a line feed, which no name holds, and the key.
pub(super) fn score(member: &Name, key: &[u8]) -> u64 {
    let both = [member.as_str().as_bytes(), b"\n", key].concat();
    SipHasher24::new().hash(&both)
}

/// The one of `members` that owns `key`; of two with one score, the first by name.
pub(super) fn owner<'a>(members: impl Iterator<Item = &'a Name>, key: &[u8]) -> Option<&'a Name> {
    members.max_by_key(|member| (score(member, key), std::cmp::Reverse(*member)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn names(names: &BTreeSet<String>) -> Vec<Name> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn owners(members: &[Name], keys: u64) -> BTreeMap<u64, Name> {
        let of = |key: u64| Some((key, owner(members.iter(), &key.to_be_bytes())?.clone()));
        (0..keys).filter_map(of).collect()
    }

    #[test]
    fn c22_scores_are_pinned() {
        // By an implementation of its own. Processes of every version go by them: a change moves keys to and fro
        // while versions are mixed.
        let pinned = [
            ("a", "", 0x1fa8_e104_b80a_da4b),
            ("a", "key", 0xda58_247e_2968_0be3),
            ("workers/7", "user:4711", 0x7a9d_ebf1_11a5_cda4),
            ("é", "\n", 0x6435_0efc_ee73_97e5),
        ];
        let found =
            pinned.map(|(member, key, _)| (member, key, score(&member.parse().unwrap(), key.as_bytes())));
        assert_eq!(found, pinned);
    }

    #[test]
    fn c22_nobody_owns_anything_in_an_empty_group() {
        assert_eq!(owner([].iter(), b"key"), None);
    }

    proptest! {
        #[test]
        fn c22_the_owner_ranks_highest_whatever_the_order(
            members in prop::collection::btree_set("[a-z]{1,8}", 1..8),
            key in any::<Vec<u8>>(),
        ) {
            let mut members = names(&members);
            let owned = owner(members.iter(), &key).unwrap().clone();
            prop_assert!(members.iter().all(|member| score(member, &key) <= score(&owned, &key)));
            members.reverse();
            prop_assert_eq!(owner(members.iter(), &key), Some(&owned));
        }

        #[test]
        fn c22_when_one_goes_only_its_own_keys_move(
            members in prop::collection::btree_set("[a-z]{1,8}", 2..8),
            gone in any::<prop::sample::Index>(),
        ) {
            let mut members = names(&members);
            let before = owners(&members, 500);
            let gone = members.remove(gone.index(members.len()));
            let after = owners(&members, 500);
            for (key, owner) in before {
                prop_assert!(owner == gone || after.get(&key) == Some(&owner));
            }
        }
    }

    #[test]
    fn c22_of_10_000_keys_no_more_than_a_fair_share_and_a_tenth_moves() {
        for count in 2..=20_u32 {
            let members: Vec<Name> = (0..count).map(|n| format!("10.0.0.{n}:80").parse().unwrap()).collect();
            let before = owners(&members, 10_000);
            for gone in &members {
                let moved = before.values().filter(|owner| *owner == gone).count();
                // The standard deviation of a share of 1/n is less than √(1/n).
                let share = 10_000.0 / f64::from(count);
                let most = share + 4.0 * share.sqrt();
                assert!(
                    moved as f64 <= most,
                    "{moved} of {count} members' keys move with {gone}, not {most}"
                );
            }
        }
    }
}
