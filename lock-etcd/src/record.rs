//! Values that people read with `etcdctl get --prefix`, and that we read back.

use std::{sync::Arc, time::SystemTime};

use lock_core::{Claim, Mode, Payload, Result};
use serde::{Deserialize, Serialize};

use crate::error::garbled;

/// Who asks, for what, since when: the value of the key that says where a claim stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: Arc<str>,
    pub(crate) mode: Mode,
    pub(crate) since: SystemTime,
    pub(crate) payload: Payload,
    /// Its place in the queue that it came through; `None`: it stands where it came in, and the key's create
    /// revision is its place.
    pub(crate) place: Option<u64>,
}

impl From<&Claim> for Record {
    fn from(claim: &Claim) -> Self {
        let Claim { mode, owner, payload, since, .. } = claim.clone();
        Self { owner, mode, since, payload, place: None }
    }
}

/// How a record is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct Written {
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

impl From<&Record> for Written {
    fn from(record: &Record) -> Self {
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
        let since = humantime::format_rfc3339_nanos(record.since).to_string();
        let (owner, place) = (record.owner.to_string(), record.place);
        Self { owner, mode, since, count, limit, place, payload, payload_bytes }
    }
}

impl Written {
    /// The record that `key` holds.
    pub(crate) fn read(self, key: &[u8]) -> Result<Record> {
        let bad = || garbled(key, "holds no record of a claim");
        let mode = match (self.mode, self.count, self.limit) {
            (WrittenMode::Exclusive, ..) => Mode::Exclusive,
            (WrittenMode::Shared, ..) => Mode::Shared,
            (WrittenMode::Permits, Some(count), Some(limit)) => Mode::Permits { count, limit },
            (WrittenMode::Permits, ..) => return Err(bad()),
            (WrittenMode::Present, ..) => Mode::Present,
        };
        let since = humantime::parse_rfc3339(&self.since).map_err(|source| bad().with_source(source))?;
        let bytes = self.payload.map(String::into_bytes).or(self.payload_bytes).unwrap_or_default();
        let (owner, payload) = (self.owner.into(), Payload::new(&bytes)?);
        Ok(Record { owner, mode, since, payload, place: self.place })
    }
}

impl Record {
    pub(crate) fn write(&self) -> Vec<u8> {
        json(&Written::from(self))
    }

    /// The record that `key` holds.
    pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Self> {
        let written: Written = serde_json::from_slice(value)
            .map_err(|source| garbled(key, "holds no record of a claim").with_source(source))?;
        written.read(key)
    }
}

pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers: there is nothing that JSON has no form for.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use lock_core::ErrorKind;

    use super::*;

    fn record(mode: Mode, payload: &[u8]) -> Record {
        let since = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        Record { owner: "host/7".into(), mode, since, payload: Payload::new(payload).unwrap(), place: None }
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
            assert_eq!(Record::read(b"k", &record.write()).unwrap(), record);
        }
    }

    #[test]
    fn what_is_no_record_is_named() {
        for value in ["", "{}", "7", r#"{"owner":"x","mode":"permits","since":"2026-11-18T11:06:40Z"}"#] {
            let error = Record::read(b"ns/mutex/x/q/1", value.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Garbled, "{value}");
            assert!(error.to_string().contains("ns/mutex/x/q/1"), "{error}");
        }
    }
}
