//! What stands in the store may be anybody's: whatever it is, it is read or refused, and what was read comes back.

use lock_core::{ClaimId, Kind, LineId, Mode, SessionId, backend::Record};
use proptest::prelude::*;

use crate::{
    error,
    keys::{Namespace, Part},
    news::Ring,
    pointers::{Mark, Tail},
};

/// Text that is nearly what this crate writes.
fn nearly() -> impl Strategy<Value = String> {
    let claim = "[0-9a-f]{15,17}\\.[0-9]{1,21}|\\PC{0,3}";
    let word = "first|behind|head|turn|followed|evicted|\\PC{0,2}|";
    prop_oneof![
        any::<String>(),
        (word, claim, word, claim).prop_map(|(a, b, c, d)| format!("{a} {b} {c} {d}").trim().to_owned()),
        (claim, word, claim).prop_map(|(a, b, c)| format!("{a} {b} {c}").trim().to_owned()),
        (claim, word).prop_map(|(a, b)| format!("{a} {b}")),
        (word, "[0-9]{1,21}", claim).prop_map(|(a, b, c)| format!("{a} {b} {c}\n{a} {b}").trim().to_owned()),
    ]
}

/// The end of a key that is nearly one of a line's.
fn key() -> impl Strategy<Value = String> {
    let part = "q|v|h/s|h/p|m|tail|mark|cell|\\PC{0,2}|";
    let claim = "[0-9a-f]{15,17}\\.[0-9]{1,21}|\\PC{0,3}";
    prop_oneof![
        any::<String>(),
        (part, claim, "|/next|/\\PC{0,3}").prop_map(|(part, claim, end)| format!("{part}/{claim}{end}")),
    ]
}

proptest! {
    #[test]
    fn pointers_and_news_are_refused_or_come_back(text in nearly()) {
        if let Some(tail) = Tail::read(text.as_bytes()) {
            prop_assert_eq!(Tail::read(tail.to_string().as_bytes()), Some(tail));
        }
        if let Some(mark) = Mark::read(text.as_bytes()) {
            prop_assert_eq!(Mark::read(mark.to_string().as_bytes()), Some(mark));
        }
        for ring in Ring::read(text.as_bytes()).unwrap_or_default() {
            prop_assert_eq!(Ring::read(ring.to_string().as_bytes()), Some(vec![ring]));
        }
    }

    #[test]
    fn bytes_are_refused_or_read(bytes in any::<Vec<u8>>()) {
        let keys = Namespace::new(&"n".parse().unwrap()).line(&LineId::new(Kind::Mutex, "x".parse().unwrap()));
        let _ = (Tail::read(&bytes), Mark::read(&bytes), Ring::read(&bytes), keys.part(&bytes));
        prop_assert!(error::record(&bytes, &bytes).is_err() || Record::read(&bytes).is_ok());
    }

    #[test]
    fn c11_a_key_is_that_of_one_part_or_not_ours(end in key()) {
        let keys = Namespace::new(&"n".parse().unwrap()).line(&LineId::new(Kind::Mutex, "x".parse().unwrap()));
        let key = format!("{}{end}", keys.all());
        let permits = Mode::Permits { count: 1, limit: 1 };
        let made = keys.part(key.as_bytes()).map(|part| match part {
            Part::Tail => keys.tail(),
            Part::Mark => keys.mark(),
            Part::Cell => keys.cell(),
            Part::Node(claim) => keys.node(claim),
            Part::Next(claim) => keys.next(claim),
            Part::Void(claim) => keys.void(claim),
            Part::Shared(claim) => keys.seat(Mode::Shared, claim),
            Part::Permits(claim) => keys.seat(permits, claim),
            Part::Present(claim) => keys.seat(Mode::Present, claim),
        });
        prop_assert!(made.is_none_or(|made| made == key));
    }

    #[test]
    fn c11_the_range_of_a_node_has_nobody_elses(number in 0..30_u64, other in 0..400_u64, session: u64) {
        let keys = Namespace::new(&"n".parse().unwrap()).line(&LineId::new(Kind::Mutex, "x".parse().unwrap()));
        let claim = |number| ClaimId { session: SessionId::new(session), number };
        let range = keys.node(claim(number))..keys.after_node(claim(number));
        prop_assert_eq!(range.contains(&keys.node(claim(other))), number == other);
        prop_assert_eq!(range.contains(&keys.next(claim(other))), number == other);
    }
}
