//! Where things lie in etcd.
//!
//! | key, under the namespace | lease | value |
//! |---|---|---|
//! | `<kind>/<name>/tail` | none | the claim that joined last ([`Tail`](crate::pointers::Tail)) |
//! | `<kind>/<name>/mark` | none | who left while somebody was about to link ([`Mark`](crate::pointers::Mark)) |
//! | `<kind>/<name>/q/<claim>` | its session's | a place in the queue ([`Record`](lock_core::backend::Record)) |
//! | `<kind>/<name>/q/<claim>/next` | its session's | the claim behind it, once that one has linked |
//! | `<kind>/<name>/h/s/<claim>` | its session's | a shared holder (`Record`) |
//! | `<kind>/<name>/h/p/<claim>` | its session's | a holder of permits (`Record`) |
//! | `<kind>/<name>/m/<claim>` | its session's | somebody present (`Record`) |
//! | `<kind>/<name>/v/<claim>` | its session's | a join of this claim may still be on its way, and must not land |
//! | `<kind>/<name>/cell` | none | the cell |
//! | `session/<session>/live` | its session's | never written again: its end is the session's end |
//! | `session/<session>/bell` | its session's | what others tell the session ([`news`](crate::news)) |
//!
//! Namespace and name are one component each, percent-encoded, so neither can reach into another.

use lock_core::{ClaimId, LineId, Mode, Name, SessionId};

/// The lease of a session: its id is the session's number.
pub(crate) fn lease_of(session: SessionId) -> i64 {
    session.get().cast_signed()
}

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn new(name: &Name) -> Self {
        Self(format!("{}/", name.encode()))
    }

    /// Every key of the namespace begins with this, and none is called so.
    pub(crate) fn all(&self) -> &str {
        &self.0
    }

    pub(crate) fn line(&self, line: &LineId) -> LineKeys {
        LineKeys { base: format!("{}{}", self.0, line.key()) }
    }

    pub(crate) fn bell(&self, session: SessionId) -> String {
        format!("{}session/{session}/bell", self.0)
    }

    pub(crate) fn live(&self, session: SessionId) -> String {
        format!("{}session/{session}/live", self.0)
    }
}

/// The keys of one line.
#[derive(Clone, Debug)]
pub(crate) struct LineKeys {
    base: String,
}

impl LineKeys {
    /// Every key of the line begins with this.
    pub(crate) fn all(&self) -> &str {
        &self.base
    }

    pub(crate) fn tail(&self) -> String {
        format!("{}tail", self.base)
    }

    pub(crate) fn mark(&self) -> String {
        format!("{}mark", self.base)
    }

    pub(crate) fn cell(&self) -> String {
        format!("{}cell", self.base)
    }

    /// Where the queue's nodes are.
    pub(crate) fn queue(&self) -> String {
        format!("{}q/", self.base)
    }

    pub(crate) fn node(&self, claim: ClaimId) -> String {
        format!("{}q/{claim}", self.base)
    }

    /// The end of the range that has the claim's node and its `next`, and nothing else: after `/` comes `0`.
    pub(crate) fn after_node(&self, claim: ClaimId) -> String {
        format!("{}q/{claim}0", self.base)
    }

    pub(crate) fn next(&self, claim: ClaimId) -> String {
        format!("{}q/{claim}/next", self.base)
    }

    pub(crate) fn void(&self, claim: ClaimId) -> String {
        format!("{}v/{claim}", self.base)
    }

    /// Where the holders behind the gate are.
    pub(crate) fn holders(&self) -> String {
        format!("{}h/", self.base)
    }

    pub(crate) fn permit_holders(&self) -> String {
        format!("{}h/p/", self.base)
    }

    /// Where a claim in this mode sits when it holds; an exclusive one holds where it queued.
    pub(crate) fn seat(&self, mode: Mode, claim: ClaimId) -> String {
        match mode {
            Mode::Exclusive => self.node(claim),
            Mode::Shared => format!("{}h/s/{claim}", self.base),
            Mode::Permits { .. } => format!("{}h/p/{claim}", self.base),
            Mode::Present => format!("{}m/{claim}", self.base),
        }
    }

    /// What lies at `key`.
    pub(crate) fn part(&self, key: &[u8]) -> Option<Part> {
        let key = std::str::from_utf8(key).ok()?.strip_prefix(&self.base)?;
        let claim = |kind: fn(ClaimId) -> Part, component: &str| component.parse().ok().map(kind);
        if let Some(component) = key.strip_suffix("/next").and_then(|node| node.strip_prefix("q/")) {
            return claim(Part::Next, component);
        }
        match key.rsplit_once('/') {
            None if key == "tail" => Some(Part::Tail),
            None if key == "mark" => Some(Part::Mark),
            None if key == "cell" => Some(Part::Cell),
            Some(("q", component)) => claim(Part::Node, component),
            Some(("v", component)) => claim(Part::Void, component),
            Some(("h/s", component)) => claim(Part::Shared, component),
            Some(("h/p", component)) => claim(Part::Permits, component),
            Some(("m", component)) => claim(Part::Present, component),
            _ => None,
        }
    }
}

/// What a key of a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Tail,
    Mark,
    Cell,
    Node(ClaimId),
    Next(ClaimId),
    Void(ClaimId),
    Shared(ClaimId),
    Permits(ClaimId),
    Present(ClaimId),
}

#[cfg(test)]
mod tests {
    use lock_core::Kind;

    use super::*;

    #[test]
    fn keys_are_pinned_and_come_back() {
        // On the wire: changing one orphans the locks of everybody who runs an older version.
        let namespace = Namespace::new(&"billing/eu".parse().unwrap());
        let keys = namespace.line(&LineId::new(Kind::Mutex, "a/b".parse().unwrap()));
        let claim = ClaimId { session: SessionId::new(0x2a), number: 3 };
        let base = "billing%2Feu/mutex/a%2Fb/";
        let permits = Mode::Permits { count: 1, limit: 2 };
        let pinned = [
            (keys.tail(), "tail", Part::Tail),
            (keys.mark(), "mark", Part::Mark),
            (keys.cell(), "cell", Part::Cell),
            (keys.node(claim), "q/000000000000002a.3", Part::Node(claim)),
            (keys.seat(Mode::Exclusive, claim), "q/000000000000002a.3", Part::Node(claim)),
            (keys.next(claim), "q/000000000000002a.3/next", Part::Next(claim)),
            (keys.void(claim), "v/000000000000002a.3", Part::Void(claim)),
            (keys.seat(Mode::Shared, claim), "h/s/000000000000002a.3", Part::Shared(claim)),
            (keys.seat(permits, claim), "h/p/000000000000002a.3", Part::Permits(claim)),
            (keys.seat(Mode::Present, claim), "m/000000000000002a.3", Part::Present(claim)),
        ];
        for (key, end, part) in pinned {
            assert_eq!(key, format!("{base}{end}"));
            assert_eq!(keys.part(key.as_bytes()), Some(part));
        }
        let beside = ClaimId { number: 30, ..claim };
        let range = keys.node(claim)..keys.after_node(claim);
        assert!(range.contains(&keys.node(claim)) && range.contains(&keys.next(claim)));
        assert!(!range.contains(&keys.node(beside)) && !range.contains(&keys.next(beside)));
        assert_eq!(namespace.bell(claim.session), "billing%2Feu/session/000000000000002a/bell");
        assert_eq!(namespace.live(claim.session), "billing%2Feu/session/000000000000002a/live");
    }

    #[test]
    fn what_is_not_ours_is_known() {
        let keys = Namespace::new(&"n".parse().unwrap()).line(&LineId::new(Kind::Task, "x".parse().unwrap()));
        for end in [
            "",
            "q/",
            "q/foo",
            "q/2a.3",
            "q/000000000000002a.3/more",
            "q/2a.3/next",
            "h/x/000000000000002a.3",
            "other",
        ] {
            assert_eq!(keys.part(format!("{}{end}", keys.all()).as_bytes()), None, "{end}");
        }
        assert_eq!(keys.part(b"elsewhere"), None);
    }
}
