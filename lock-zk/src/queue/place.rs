//! What stands in a queue's node.

use lock_core::{ClaimId, Result, backend::Record};
use serde::{Deserialize, Serialize};

use crate::error::garbled;

/// Whose place it is. The claim is named inside: the server gives the node its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) claim: ClaimId,
    pub(crate) record: Record,
}

#[derive(Serialize, Deserialize)]
struct Written {
    claim: String,
    #[serde(flatten)]
    record: Record,
}

impl Place {
    pub(crate) fn write(&self) -> Vec<u8> {
        let written = Written { claim: self.claim.to_string(), record: self.record.clone() };
        // Strings and numbers: there is nothing that JSON has no form for.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// The place that the node at `path` is.
    pub(crate) fn read(path: &str, data: &[u8]) -> Result<Self> {
        let bad = || garbled(path, "holds no place of a claim");
        let Written { claim, record } =
            serde_json::from_slice(data).map_err(|source| bad().with_source(source))?;
        Ok(Self { claim: claim.parse().map_err(|source| bad().with_source(source))?, record })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use lock_core::{ErrorKind, Mode, Payload, SessionId};

    #[test]
    fn a_place_is_readable_and_comes_back() {
        let since = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let payload = Payload::new(b"here").unwrap();
        let record = Record { owner: "host/7".into(), mode: Mode::Exclusive, since, payload, place: None };
        let place = Place { claim: ClaimId { session: SessionId::new(0xfe), number: 7 }, record };
        assert_eq!(
            String::from_utf8(place.write()).unwrap(),
            r#"{"claim":"00000000000000fe.7","owner":"host/7","mode":"exclusive","since":"2026-11-18T11:06:40.000000000Z","payload":"here"}"#
        );
        assert_eq!(Place::read("/q", &place.write()).unwrap(), place);
        for data in [&b""[..], b"{}", b"\xff", br#"{"claim":"7"}"#] {
            assert_eq!(Place::read("/q", data).unwrap_err().kind(), ErrorKind::Garbled);
        }
    }
}
