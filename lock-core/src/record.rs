//! What a claim says of itself in a store: one form, readable for people, in every store that keeps text.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    claim::{Claim, Payload},
    error::{Error, ErrorKind},
    line::Mode,
};

/// Years are written with four digits.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

/// Who asks, for what, since when: what a store writes where a claim stands, and people read there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Record {
    /// Who asks.
    pub owner: Arc<str>,
    /// What it asks for.
    pub mode: Mode,
    /// When it was made, by its maker's wall clock.
    pub since: SystemTime,
    /// What it carries.
    pub payload: Payload,
    /// Its place in the queue that it came through; `None`: it stands where it came in, and the store knows
    /// its place.
    pub place: Option<u64>,
}

impl From<&Claim> for Record {
    fn from(claim: &Claim) -> Self {
        let Claim { mode, owner, payload, since, .. } = claim.clone();
        Self { owner, mode, since, payload, place: None }
    }
}

/// How a record is written.
#[derive(Serialize, Deserialize)]
struct Written {
    owner: String,
    mode: WrittenMode,
    since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<u64>,
    /// As text when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenMode {
    Exclusive,
    Shared,
    Permits,
    Present,
}

impl From<Record> for Written {
    fn from(record: Record) -> Self {
        let (mode, count, limit) = match record.mode {
            Mode::Exclusive => (WrittenMode::Exclusive, None, None),
            Mode::Shared => (WrittenMode::Shared, None, None),
            Mode::Permits { count, limit } => (WrittenMode::Permits, Some(count), Some(limit)),
            Mode::Present => (WrittenMode::Present, None, None),
        };
        let bytes = record.payload.as_bytes();
        let (payload, payload_bytes) = match std::str::from_utf8(bytes) {
            Ok("") => (None, None),
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(bytes.to_vec())),
        };
        // A wall clock may say anything; what has no form would be a panic.
        let since = record.since.clamp(UNIX_EPOCH, UNIX_EPOCH + YEAR_10000 - Duration::from_nanos(1));
        let since = humantime::format_rfc3339_nanos(since).to_string();
        let (owner, place) = (record.owner.to_string(), record.place);
        Self { owner, mode, since, count, limit, place, payload, payload_bytes }
    }
}

impl TryFrom<Written> for Record {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self, Error> {
        let bad = |why: &str| Error::new(ErrorKind::Garbled, why);
        let mode = match (written.mode, written.count, written.limit) {
            (WrittenMode::Exclusive, ..) => Mode::Exclusive,
            (WrittenMode::Shared, ..) => Mode::Shared,
            (WrittenMode::Permits, Some(count), Some(limit)) => Mode::Permits { count, limit },
            (WrittenMode::Permits, ..) => return Err(bad("permits without a count and a limit")),
            (WrittenMode::Present, ..) => Mode::Present,
        };
        let since = humantime::parse_rfc3339(&written.since)
            .map_err(|source| bad("`since` is no time").with_source(source))?;
        let bytes = written.payload.map(String::into_bytes).or(written.payload_bytes).unwrap_or_default();
        let (owner, payload) = (written.owner.into(), Payload::new(&bytes)?);
        Ok(Self { owner, mode, since, payload, place: written.place })
    }
}

impl Record {
    /// As JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        // Strings and numbers: there is nothing that JSON has no form for.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The record that these bytes are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Garbled`] when they are none.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes)
            .map_err(|source| Error::new(ErrorKind::Garbled, "no record of a claim").with_source(source))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records as somebody else might write them.
    fn strange() -> impl Strategy<Value = String> {
        let since = "(1[0-9]{3}|[0-9]{4}|9999)-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,9})?Z";
        let mode = "exclusive|shared|permits|present|\\PC{0,3}";
        let rest = r#"(,"count":[0-9]{1,11})?(,"limit":[0-9]{1,11})?(,"place":-?[0-9]{1,20})?(,"payload":"[a-z"]{0,3}")?(,"payload_bytes":\[[0-9,]{0,5}\])?"#;
        (since, mode, rest).prop_map(|(since, mode, rest)| {
            format!(r#"{{"owner":"o","mode":"{mode}","since":"{since}"{rest}}}"#)
        })
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_refused_or_comes_back(text in prop_oneof![any::<String>(), strange()]) {
            if let Ok(record) = Record::read(text.as_bytes()) {
                prop_assert_eq!(Record::read(&record.write()).unwrap(), record);
            }
        }
    }

    fn record(mode: Mode, payload: &[u8]) -> Record {
        let since = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        Record { owner: "host/7".into(), mode, since, payload: Payload::new(payload).unwrap(), place: None }
    }

    #[test]
    fn a_wall_clock_that_is_wrong_is_no_panic() {
        let at = |since| Record { since, ..record(Mode::Shared, b"") };
        for since in [UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH + YEAR_10000] {
            assert!(Record::read(&at(since).write()).is_ok(), "{since:?}");
        }
    }

    #[test]
    fn a_record_is_readable_and_comes_back() {
        let permits = record(Mode::Permits { count: 2, limit: 3 }, b"10.0.0.7:80");
        assert_eq!(
            String::from_utf8(permits.write()).unwrap(),
            r#"{"owner":"host/7","mode":"permits","since":"2026-11-18T11:06:40.000000000Z","count":2,"limit":3,"payload":"10.0.0.7:80"}"#
        );
        let admitted = Record { place: Some(7), ..record(Mode::Shared, b"") };
        assert_eq!(
            String::from_utf8(admitted.write()).unwrap(),
            r#"{"owner":"host/7","mode":"shared","since":"2026-11-18T11:06:40.000000000Z","place":7}"#
        );
        let others = [
            admitted,
            permits,
            record(Mode::Exclusive, b""),
            record(Mode::Shared, &[0xff, 0]),
            record(Mode::Present, "é".as_bytes()),
        ];
        for record in others {
            assert_eq!(Record::read(&record.write()).unwrap(), record);
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for value in ["", "{}", "7", r#"{"owner":"x","mode":"permits","since":"2026-11-18T11:06:40Z"}"#] {
            assert_eq!(Record::read(value.as_bytes()).unwrap_err().kind(), ErrorKind::Garbled, "{value}");
        }
    }
}
