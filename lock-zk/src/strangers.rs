//! What stands in the store may be anybody's: whatever it is, it is read or refused, and what was read comes back.
//!
//! Held by properties here, and by `fuzz/` for longer.
#![allow(clippy::unwrap_used, missing_docs, reason = "for tests")]

use lock_core::{Kind, LineId};

use crate::{
    classic::{Contender, Fleet},
    error,
    paths::{Namespace, holder, is_queue, name_of, sequence},
    queue::{Floor, Place},
};

/// The name of a node: one of ours, or not.
pub fn name(name: &str) {
    if let Some(sequence) = sequence(name) {
        assert_eq!(name_of(sequence), name);
    }
    if let Some((claim, mode)) = holder(name) {
        let paths = Namespace::new("/n").line(&LineId::new(Kind::Mutex, "x".parse().unwrap()));
        assert_eq!(paths.seat(mode, claim), Some(format!("{}/{name}", paths.holders())));
    }
    assert!(!is_queue(name) || u64::from_str_radix(name, 16).is_ok());
    for (fleet, kind) in
        [(Fleet::Curator, Kind::Mutex), (Fleet::Curator, Kind::RwLock), (Fleet::Kazoo, Kind::Mutex)]
    {
        let names = fleet.names(kind);
        let Some(Contender { sequence, claim, mode }) = names.contender(name) else { continue };
        let plain = format!("{}{sequence:010}", names.prefix(claim, mode).unwrap());
        assert_eq!(names.contender(&plain), Some(Contender { sequence, claim, mode }));
    }
}

/// The data of a node, wherever it stands.
pub fn data(bytes: &[u8]) {
    let floor = Floor::read(bytes);
    assert!(floor == Floor::FRESH || Floor::read(floor.write().as_bytes()) == floor);
    for sequence in [0, floor.gone, i64::MIN, i64::MAX] {
        assert!(!floor.is_right_below(sequence) || sequence > floor.gone);
    }
    if let Ok(place) = Place::read("/q", bytes) {
        assert_eq!(Place::read("/q", &place.write()).unwrap(), place);
    }
    let _refused = error::record("/h", bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{data, name};

    const CLAIM: &str = "[0-9a-f]{15,17}\\.[0-9]{1,21}|\\PC{0,3}";

    /// Names that are nearly ours, or a fleet's.
    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "c-[0-9+-]{8,12}",
            "[0-9a-f]{15,17}",
            ("s|p[0-9]{0,11}|\\PC{0,2}", CLAIM).prop_map(|(mode, claim)| format!("{mode}-{claim}")),
            "(_c_)?[0-9a-f-]{30,38}(lock-|__lock__|__READ__|__WRIT__|\\PC)[0-9]{9,11}",
        ]
    }

    /// Data that is nearly ours.
    fn texts() -> impl Strategy<Value = String> {
        let place = (CLAIM, "exclusive|shared|[a-z]{0,3}").prop_map(|(claim, mode)| {
            format!(r#"{{"claim":{claim:?},"owner":"o","mode":{mode:?},"since":"2026-11-18T11:06:40Z"}}"#)
        });
        prop_oneof![any::<String>(), "-?[0-9]{1,20}( held)?( .*)?", Just(i64::MAX.to_string()), place]
    }

    proptest! {
        #[test]
        fn c11_any_name_is_one_of_ours_or_not(text in names()) {
            name(&text);
        }

        #[test]
        fn any_data_is_refused_or_comes_back(text in texts(), bytes in any::<Vec<u8>>()) {
            data(text.as_bytes());
            data(&bytes);
        }
    }
}
