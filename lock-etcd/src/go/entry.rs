//! What a lock's place in line says, for people and for other sessions of this library. Go does not read it.

use lock_core::{Result, backend::Record};
use serde::{Deserialize, Serialize};

use crate::error::garbled;

/// Who stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The number of the claim in its session.
    pub(super) claim: u64,
    /// Its token, when it was granted after having waited: then its place does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<u64>,
    #[serde(flatten)]
    pub(super) record: Record,
}

impl Entry {
    pub(crate) fn write(&self) -> Vec<u8> {
        // Strings and numbers: there is nothing that JSON has no form for.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The entry that `key` holds.
    pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Self> {
        serde_json::from_slice(value)
            .map_err(|source| garbled(key, "holds no entry of a claim").with_source(source))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use lock_core::{Mode, Payload};

    use super::*;

    #[test]
    fn an_entry_is_readable_and_comes_back() {
        let since = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let payload = Payload::new(b"here").unwrap();
        let record = Record { owner: "host/7".into(), mode: Mode::Exclusive, since, payload, place: None };
        let waits = Entry { claim: 3, token: None, record };
        let held = Entry { token: Some(12), ..waits.clone() };
        assert_eq!(
            String::from_utf8(held.write()).unwrap(),
            r#"{"claim":3,"token":12,"owner":"host/7","mode":"exclusive","since":"2026-11-18T11:06:40.000000000Z","payload":"here"}"#
        );
        for entry in [waits, held] {
            assert_eq!(Entry::read(b"k", &entry.write()).unwrap(), entry);
        }
        for foreign in ["", "10.0.0.7:80", "{}", r#"{"claim":3}"#] {
            assert!(Entry::read(b"k", foreign.as_bytes()).is_err(), "{foreign}");
        }
    }
}
