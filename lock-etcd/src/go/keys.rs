//! Where things lie in the layout of Go.
//!
//! | key | lease | value |
//! |---|---|---|
//! | `<name>/<lease>`, `<name>/<lease>-<n>` | its session's | a place in line: a lock's [`Entry`](super::entry::Entry), a candidate's proposal |
//! | `yourturn.go/void/<claim>` | its session's | a join of this claim may still be on its way, and must not land |
//! | `yourturn.go/<kind>/<name>/cell` | none | the cell |
//!
//! With a namespace, `<namespace>/` stands before each. Names are not encoded in places in line, because Go
//! does not: so every key that begins with `<name>/` counts as somebody in line, and nothing else may lie
//! there.

use lock_core::{ClaimId, Error, ErrorKind, Kind, LineId, Name, Result, SessionId};

use crate::keys::lease_of;

/// What is not somebody's place in line lies here, so no lock may be called like this.
const OWN: &str = "yourturn.go";

/// Where the locks of one coordinator are.
#[derive(Clone, Debug)]
pub(crate) struct Room(String);

/// The keys of one line.
#[derive(Clone, Debug)]
pub(super) struct LineKeys {
    prefix: String,
    cell: String,
}

impl Room {
    pub(crate) fn new(namespace: Option<&Name>) -> Self {
        Self(namespace.map_or_else(String::new, |namespace| format!("{namespace}/")))
    }

    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] for a name under which other things lie.
    pub(super) fn line(&self, line: &LineId) -> Result<LineKeys> {
        let lock = format!("{}{}", self.0, line.name());
        if lock.split('/').any(|segment| segment == OWN) {
            let message = format!("in the layout of Go, {OWN:?} is no part of a lock's name");
            return Err(Error::new(ErrorKind::InvalidName, message));
        }
        let cell = format!("{}{OWN}/{}cell", self.0, line.key());
        Ok(LineKeys { prefix: format!("{lock}/"), cell })
    }

    pub(super) fn void(&self, claim: ClaimId) -> String {
        format!("{}{OWN}/void/{claim}", self.0)
    }

    /// A key that is never there, and that a session may read if it may read anything.
    pub(crate) fn probe(&self, session: SessionId) -> String {
        format!("{}{OWN}/session/{session}", self.0)
    }
}

impl LineKeys {
    /// Every key that begins with this is a place in line.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn cell(&self) -> &str {
        &self.cell
    }

    /// What all places of a session in this line begin with; those of others may too.
    pub(super) fn of(&self, session: SessionId) -> String {
        format!("{}{:x}", self.prefix, lease_of(session))
    }

    /// The place with this number of a session: the first is exactly where Go's would be.
    pub(super) fn place(&self, kind: Kind, session: SessionId, number: u64) -> String {
        match number {
            0 if kind != Kind::Election => self.of(session),
            _ => format!("{}-{number}", self.of(session)),
        }
    }

    /// The number behind a place that this library may have made under `lease`.
    pub(super) fn number(&self, key: &[u8], lease: i64) -> Option<Numbered> {
        let rest = self.rest(key)?.strip_prefix(&format!("{lease:x}"))?;
        if rest.is_empty() {
            return Some(Numbered::Bare);
        }
        let digits = rest.strip_prefix('-')?;
        digits.parse::<u64>().ok().filter(|number| number.to_string() == digits).map(Numbered::As)
    }

    /// What follows the prefix.
    pub(super) fn rest<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)
    }

    /// Refuses to wait for somebody who stands in another line, whose name lies inside this one's.
    pub(super) fn check_nesting(&self, key: &[u8]) -> Result<()> {
        let inside = key.get(self.prefix.len()..).unwrap_or_default();
        if !inside.contains(&b'/') {
            return Ok(());
        }
        let key: String = String::from_utf8_lossy(key).chars().take(200).collect();
        let message = format!(
            "etcd's key {key:?} lies inside this name: in the layout of Go, whoever waits here would wait for it too"
        );
        Err(Error::new(ErrorKind::InvalidName, message))
    }
}

/// How a place of a session is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbered {
    Bare,
    As(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind, name: &str) -> LineId {
        LineId::new(kind, name.parse().unwrap())
    }

    #[test]
    fn keys_are_pinned_and_come_back() {
        // On the wire: changing one parts us from Go, or from those who run an older version.
        let session = SessionId::new(0x2a);
        let claim = ClaimId { session, number: 3 };
        let room = Room::new(Some(&"billing/eu".parse().unwrap()));
        let keys = room.line(&line(Kind::Mutex, "a b/c")).unwrap();
        assert_eq!(keys.prefix(), "billing/eu/a b/c/");
        assert_eq!(keys.cell(), "billing/eu/yourturn.go/mutex/a%20b%2Fc/cell");
        assert_eq!(room.void(claim), "billing/eu/yourturn.go/void/000000000000002a.3");
        let cases = [
            (Kind::Mutex, 0, "billing/eu/a b/c/2a", Numbered::Bare),
            (Kind::Task, 1, "billing/eu/a b/c/2a-1", Numbered::As(1)),
            (Kind::Election, 0, "billing/eu/a b/c/2a-0", Numbered::As(0)),
        ];
        for (kind, number, key, numbered) in cases {
            assert_eq!(keys.place(kind, session, number), key);
            assert_eq!(keys.number(key.as_bytes(), 0x2a), Some(numbered));
        }
        for key in ["2b", "2a-", "2a-01", "2a-x", "2a0", "2a/1"] {
            assert_eq!(keys.number(format!("{}{key}", keys.prefix()).as_bytes(), 0x2a), None, "{key}");
        }
        let raw = Room::new(None).line(&line(Kind::Mutex, "billing")).unwrap();
        assert_eq!(raw.place(Kind::Mutex, session, 0), "billing/2a");
    }

    #[test]
    fn c11_no_lock_is_called_like_what_else_lies_there() {
        for (namespace, name) in
            [(None, "yourturn.go"), (None, "a/yourturn.go/b"), (Some("yourturn.go"), "x")]
        {
            let namespace = namespace.map(|name: &str| name.parse().unwrap());
            let refused = Room::new(namespace.as_ref()).line(&line(Kind::Mutex, name)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidName, "{name}");
        }
    }

    #[test]
    fn c11_a_key_inside_a_name_is_refused() {
        let keys = Room::new(None).line(&line(Kind::Mutex, "a")).unwrap();
        for key in ["a/2a", "a/anything", "a/"] {
            assert!(keys.check_nesting(key.as_bytes()).is_ok(), "{key}");
        }
        for key in ["a/b/2a", "a//"] {
            assert_eq!(
                keys.check_nesting(key.as_bytes()).unwrap_err().kind(),
                ErrorKind::InvalidName,
                "{key}"
            );
        }
    }
}
