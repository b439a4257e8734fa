//! Where things lie in ZooKeeper.
//!
//! | node, under the namespace | what | data |
//! |---|---|---|
//! | `session/<session>` | ephemeral | the number of the session's last write of a cell |
//! | `<kind>/<name>/q/<number>` | container | how far the queue has come (`queue::floor`); the number is drawn at random |
//! | `<kind>/<name>/q/<number>/c-<sequence>` | ephemeral, sequential | a place in the queue (`queue::place`) |
//! | `<kind>/<name>/h/s-<claim>` | ephemeral | a shared holder ([`Record`](lock_core::backend::Record)) |
//! | `<kind>/<name>/h/p<count>-<claim>` | ephemeral | a holder of permits (`Record`) |
//! | `<kind>/<name>/m/<claim>` | ephemeral | somebody present (`Record`) |
//! | `<kind>/<name>/cell` | persistent | the cell |
//! | `<kind>/<name>/cell/i-<number>` | persistent | which cell it is: one that is made again is another |
//!
//! What is above these is containers, which the server removes once they are empty. A name is one component,
//! percent-encoded, so none can reach into another.

use lock_core::{ClaimId, LineId, Mode, SessionId};

/// The nodes of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Namespace(String);

impl Namespace {
    /// `path` begins with a slash and ends without.
    pub(crate) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Everything lies under this node.
    pub(crate) fn root(&self) -> &str {
        &self.0
    }

    /// That node and all above it, from the top.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('/').map(|(at, _)| at).skip(1).chain([self.0.len()]);
        ends.filter_map(|end| self.0.get(..end))
    }

    pub(crate) fn sessions(&self) -> String {
        format!("{}/session", self.0)
    }

    pub(crate) fn session(&self, session: SessionId) -> String {
        format!("{}/session/{session}", self.0)
    }

    pub(crate) fn line(&self, line: &LineId) -> LinePaths {
        LinePaths { base: format!("{}/{}", self.0, line.key()) }
    }
}

/// The nodes of one line.
#[derive(Clone, Debug)]
pub(crate) struct LinePaths {
    /// Ends with a slash.
    base: String,
}

/// What the names of places in a queue begin with.
const PLACE: &str = "c-";

impl LinePaths {
    /// The line's own node.
    pub(crate) fn line(&self) -> &str {
        self.base.trim_end_matches('/')
    }

    /// What all lines of this kind lie under.
    pub(crate) fn kind(&self) -> &str {
        self.line().rsplit_once('/').map_or("", |(kind, _)| kind)
    }

    /// Where the line's queue is.
    pub(crate) fn queues(&self) -> String {
        format!("{}q", self.base)
    }

    pub(crate) fn queue(&self, number: u64) -> String {
        format!("{}q/{number:016x}", self.base)
    }

    pub(crate) fn holders(&self) -> String {
        format!("{}h", self.base)
    }

    pub(crate) fn present(&self) -> String {
        format!("{}m", self.base)
    }

    pub(crate) fn cell(&self) -> String {
        format!("{}cell", self.base)
    }

    pub(crate) fn incarnation(&self, number: u64) -> String {
        format!("{}cell/i-{number:016x}", self.base)
    }

    /// Where a claim in this mode is that does not hold where it queued.
    pub(crate) fn seat(&self, mode: Mode, claim: ClaimId) -> Option<String> {
        match mode {
            Mode::Exclusive => None,
            Mode::Shared => Some(format!("{}h/s-{claim}", self.base)),
            Mode::Permits { count, .. } => Some(format!("{}h/p{count}-{claim}", self.base)),
            Mode::Present => Some(format!("{}m/{claim}", self.base)),
        }
    }
}

/// What the server puts a sequence behind.
pub(crate) fn new_place(queue: &str) -> String {
    format!("{queue}/{PLACE}")
}

pub(crate) fn place(queue: &str, sequence: i64) -> String {
    format!("{queue}/{}", name_of(sequence))
}

pub(crate) fn name_of(sequence: i64) -> String {
    format!("{PLACE}{sequence:010}")
}

/// Whether a queue of ours is called so.
pub(crate) fn is_queue(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The sequence of a place in a queue; `None` for a name that is not one of ours.
pub(crate) fn sequence(name: &str) -> Option<i64> {
    let digits = name.strip_prefix(PLACE)?;
    let plain = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Who holds behind the gate under this name, and how; `None` for a name that is not one of ours. The limit
/// of permits is not in it.
pub(crate) fn holder(name: &str) -> Option<(ClaimId, Mode)> {
    let (mode, claim) = name.split_once('-')?;
    let mode = match (mode, mode.strip_prefix('p')) {
        ("s", _) => Mode::Shared,
        (_, Some(count)) => {
            let number: u32 = count.parse().ok().filter(|number: &u32| number.to_string() == count)?;
            Mode::Permits { count: number, limit: u32::MAX }
        }
        _ => return None,
    };
    Some((claim.parse().ok()?, mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lock_core::Kind;

    #[test]
    fn nodes_lie_where_the_table_says() {
        let namespace = Namespace::new("/a/b");
        let (session, line) = (SessionId::new(0xfe), LineId::new(Kind::Mutex, "x/y".parse().unwrap()));
        let paths = namespace.line(&line);
        let claim = ClaimId { session, number: 7 };
        assert_eq!(namespace.session(session), "/a/b/session/00000000000000fe");
        assert_eq!(namespace.chain().collect::<Vec<_>>(), ["/a", "/a/b"]);
        assert_eq!((paths.kind(), paths.line()), ("/a/b/mutex", "/a/b/mutex/x%2Fy"));
        assert_eq!(place(&paths.queue(0xfe), 12), "/a/b/mutex/x%2Fy/q/00000000000000fe/c-0000000012");
        assert_eq!(paths.seat(Mode::Exclusive, claim), None);
        let permits = Mode::Permits { count: 2, limit: 3 };
        let seats = [Mode::Shared, permits, Mode::Present].map(|mode| paths.seat(mode, claim).unwrap());
        let ends = ["h/s-00000000000000fe.7", "h/p2-00000000000000fe.7", "m/00000000000000fe.7"];
        assert!(seats.iter().zip(ends).all(|(seat, end)| seat.ends_with(end)), "{seats:?}");
    }

    #[test]
    fn foreign_names_are_told_apart() {
        assert_eq!(sequence("c-0000000012"), Some(12));
        for name in
            ["", "c-", "c-12", "c--000000012", "c-2147483648x", "lock-0000000001", "c-00000000012", "é"]
        {
            assert_eq!(sequence(name), None, "{name}");
        }
        assert!(is_queue("00000000000000fe") && !is_queue("fe") && !is_queue("00000000000000FE"));
        let claim = ClaimId { session: SessionId::new(1), number: 2 };
        assert_eq!(holder(&format!("s-{claim}")), Some((claim, Mode::Shared)));
        assert_eq!(holder(&format!("p3-{claim}")).unwrap().1, Mode::Permits { count: 3, limit: u32::MAX });
        for name in ["", "s", "s-", "x-0000000000000001.2", "p-0000000000000001.2", "p03-0000000000000001.2"]
        {
            assert_eq!(holder(name), None, "{name}");
        }
    }
}
