//! What stands in the store may be anybody's: whatever it is, it is read or refused, and what was read comes back.
//!
//! Held by properties here, and by `fuzz/` for longer.
#![allow(clippy::unwrap_used, missing_docs, reason = "for tests")]

use lock_core::{Kind, LineId, Mode, backend::Record};

use crate::{
    error,
    go::Entry,
    keys::{LineKeys, Namespace, Part},
    news::Ring,
    pointers::{Mark, Tail},
};

fn keys() -> LineKeys {
    Namespace::new(&"n".parse().unwrap()).line(&LineId::new(Kind::Mutex, "x".parse().unwrap()))
}

/// A value, wherever it stands.
pub fn value(bytes: &[u8]) {
    if let Some(tail) = Tail::read(bytes) {
        assert_eq!(Tail::read(tail.to_string().as_bytes()), Some(tail));
    }
    if let Some(mark) = Mark::read(bytes) {
        assert_eq!(Mark::read(mark.to_string().as_bytes()), Some(mark));
    }
    for ring in Ring::read(bytes).unwrap_or_default() {
        assert_eq!(Ring::read(ring.to_string().as_bytes()), Some(vec![ring]));
    }
    if let Ok(record) = error::record(b"key", bytes) {
        assert_eq!(Record::read(&record.write()).unwrap(), record);
    }
    if let Ok(entry) = Entry::read(b"key", bytes) {
        assert_eq!(Entry::read(b"key", &entry.write()).unwrap(), entry);
    }
}

/// What follows the prefix of a line: the key of one part, or not ours.
pub fn key(end: &[u8]) {
    let keys = keys();
    let key = [keys.all().as_bytes(), end].concat();
    let Some(part) = keys.part(&key) else { return };
    let made = match part {
        Part::Tail => keys.tail(),
        Part::Mark => keys.mark(),
        Part::Cell => keys.cell(),
        Part::Node(claim) => keys.node(claim),
        Part::Next(claim) => keys.next(claim),
        Part::Void(claim) => keys.void(claim),
        Part::Shared(claim) => keys.seat(Mode::Shared, claim),
        Part::Permits(claim) => keys.seat(Mode::Permits { count: 1, limit: 1 }, claim),
        Part::Present(claim) => keys.seat(Mode::Present, claim),
    };
    assert_eq!(made.as_bytes(), key);
}

#[cfg(test)]
mod tests {
    use lock_core::{ClaimId, SessionId};
    use proptest::prelude::*;

    use super::{key, keys, value};

    const CLAIM: &str = "[0-9a-f]{15,17}\\.[0-9]{1,21}|\\PC{0,3}";

    /// Text that is nearly what this crate writes.
    fn nearly() -> impl Strategy<Value = String> {
        let word = "first|behind|head|turn|followed|evicted|\\PC{0,2}|";
        prop_oneof![
            any::<String>(),
            (word, CLAIM, word, CLAIM).prop_map(|(a, b, c, d)| format!("{a} {b} {c} {d}").trim().to_owned()),
            (CLAIM, word, CLAIM).prop_map(|(a, b, c)| format!("{a} {b} {c}").trim().to_owned()),
            (CLAIM, word).prop_map(|(a, b)| format!("{a} {b}")),
            (word, "[0-9]{1,21}", CLAIM)
                .prop_map(|(a, b, c)| format!("{a} {b} {c}\n{a} {b}").trim().to_owned()),
        ]
    }

    /// The end of a key that is nearly one of a line's.
    fn end() -> impl Strategy<Value = String> {
        let part = "q|v|h/s|h/p|m|tail|mark|cell|\\PC{0,2}|";
        prop_oneof![
            any::<String>(),
            (part, CLAIM, "|/next|/\\PC{0,3}").prop_map(|(part, claim, end)| format!("{part}/{claim}{end}")),
        ]
    }

    proptest! {
        #[test]
        fn any_value_is_refused_or_comes_back(text in nearly(), bytes in any::<Vec<u8>>()) {
            value(text.as_bytes());
            value(&bytes);
        }

        #[test]
        fn c11_a_key_is_that_of_one_part_or_not_ours(text in end(), bytes in any::<Vec<u8>>()) {
            key(text.as_bytes());
            key(&bytes);
        }

        #[test]
        fn c11_the_range_of_a_node_has_nobody_elses(number in 0..30_u64, other in 0..400_u64, session: u64) {
            let keys = keys();
            let claim = |number| ClaimId { session: SessionId::new(session), number };
            let range = keys.node(claim(number))..keys.after_node(claim(number));
            prop_assert_eq!(range.contains(&keys.node(claim(other))), number == other);
            prop_assert_eq!(range.contains(&keys.next(claim(other))), number == other);
        }
    }
}
