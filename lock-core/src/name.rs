//! Names, and how they become store keys that cannot collide or escape (clause C11).

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    str::FromStr,
    sync::{Arc, OnceLock},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind};

/// The name of a lock, an election or any other primitive.
///
/// 1 to 8 segments joined by `/`; each of 1 to 128 bytes of printable Unicode; 512 bytes in all. No empty
/// segment, no `.` or `..`, and no character that is invisible or that ZooKeeper forbids. Names are compared
/// byte by byte: two spellings of one accented letter are two names.
///
/// ```
/// use lock_core::Name;
///
/// assert!("invoices/2026-11".parse::<Name>().is_ok());
/// assert!("invoices//2026".parse::<Name>().is_err());
/// assert!("../etc".parse::<Name>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

const MAX_SEGMENTS: usize = 8;
const MAX_SEGMENT_BYTES: usize = 128;
const MAX_BYTES: usize = 512;

/// What a key keeps as it is; every other byte becomes `%XX`. `/` is not among them: a name is one component
/// of a key, and so `a` cannot be a parent of `a/b`.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

impl Name {
    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one component of a store's key: `[A-Za-z0-9._%-]` only, injective, undone by
    /// [`decode`](Self::decode).
    #[must_use]
    pub fn encode(&self) -> String {
        utf8_percent_encode(&self.0, KEPT).to_string()
    }

    /// The name that [`encode`](Self::encode)s to `component`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when no name does.
    pub fn decode(component: &str) -> Result<Self, Error> {
        let decoded = percent_decode_str(component)
            .decode_utf8()
            .map_err(|source| invalid(component, "is not UTF-8 once decoded").with_source(source))?;
        let name: Self = decoded.parse()?;
        // Only the canonical spelling counts: `%61` decodes to `a`, but is not the key of `a`.
        if name.encode() == component { Ok(name) } else { Err(invalid(component, "is not a canonical key")) }
    }
}

/// What makes `c` unfit for a name, if anything.
fn objection(c: char) -> Option<&'static str> {
    match c {
        _ if c.is_control() => Some("holds a control character"),
        // Java sees a character beyond U+FFFF as two surrogates, which ZooKeeper refuses like private use and
        // specials.
        '\u{E000}'..='\u{F8FF}' | '\u{FFF0}'.. => Some("holds a character that ZooKeeper forbids"),
        // Separators, and what Unicode calls default ignorable: zero-width characters, fillers, variation selectors,
        // direction marks. An operator could not tell two names apart.
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}' => Some("holds an invisible character"),
        _ => None,
    }
}

fn invalid(name: &str, why: &str) -> Error {
    // A refused name may be megabytes long or hold terminal escapes: quote it, and cut it.
    let shown: String = name.chars().take(64).collect();
    let more = if shown.len() < name.len() { "…" } else { "" };
    Error::new(ErrorKind::InvalidName, format!("the name {shown:?}{more} {why}"))
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Err(invalid(text, why));
        if text.len() > MAX_BYTES {
            return refuse("is longer than 512 bytes");
        }
        if text.split('/').count() > MAX_SEGMENTS {
            return refuse("has more than 8 segments");
        }
        for segment in text.split('/') {
            match segment {
                "" => return refuse("is empty or has an empty segment"),
                "." | ".." => return refuse("has a segment `.` or `..`"),
                _ if segment.len() > MAX_SEGMENT_BYTES => {
                    return refuse("has a segment longer than 128 bytes");
                }
                _ => {}
            }
        }
        match text.chars().find_map(objection) {
            Some(why) => refuse(why),
            None => Ok(Self(text.into())),
        }
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kinds of primitive. One name used by two kinds gives two independent lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// [`Mutex`](crate::Mutex)
    Mutex,
    /// [`Election`](crate::Election)
    Election,
    /// [`Task`](crate::Task)
    Task,
    /// [`RwLock`](crate::RwLock)
    RwLock,
    /// [`Semaphore`](crate::Semaphore)
    Semaphore,
    /// [`Group`](crate::Group)
    Group,
    /// [`Barrier`](crate::Barrier)
    Barrier,
    /// [`DoubleBarrier`](crate::DoubleBarrier)
    DoubleBarrier,
    /// [`Latch`](crate::Latch)
    Latch,
    /// What a namespace of a store is known by, for those who lock in several of them; nobody queues here.
    Store,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Mutex,
        Self::Election,
        Self::Task,
        Self::RwLock,
        Self::Semaphore,
        Self::Group,
        Self::Barrier,
        Self::DoubleBarrier,
        Self::Latch,
        Self::Store,
    ];

    /// The first component of the line's key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Election => "election",
            Self::Task => "task",
            Self::RwLock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::Group => "group",
            Self::Barrier => "barrier",
            Self::DoubleBarrier => "double-barrier",
            Self::Latch => "latch",
            Self::Store => "store",
        }
    }
}

/// Which line: a kind of primitive and its name. Cheap to clone.
#[derive(Clone)]
pub struct LineId(Arc<LineIdInner>);

struct LineIdInner {
    kind: Kind,
    name: Name,
    key: String,
    hash_code: u64,
}

impl LineId {
    /// The line behind the primitive of this kind and name.
    #[must_use]
    pub fn new(kind: Kind, name: Name) -> Self {
        let key = format!("{}/{}/", kind.as_str(), name.encode());
        let hash_code = keyed_hash(&key);
        Self(Arc::new(LineIdInner { kind, name, key, hash_code }))
    }

    /// The kind of primitive.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The primitive's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    pub(crate) fn hash_code(&self) -> u64 {
        self.0.hash_code
    }

    /// The line's place in a store, below the namespace: `mutex/invoices%2F2026-11/`.
    ///
    /// No key is a prefix of another line's key, so a scan by prefix sees one line only.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }
}

impl PartialEq for LineId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.hash_code == other.0.hash_code && self.0.key == other.0.key)
    }
}

impl Eq for LineId {}

impl Hash for LineId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash_code);
    }
}

/// Computed once for each line, with a key that nobody outside this process knows: names may be chosen by
/// strangers.
#[expect(clippy::disallowed_methods, reason = "in which order lines lie in a map decides nothing")]
fn keyed_hash(key: &str) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one(key)
}

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind().as_str(), self.name())
    }
}

impl fmt::Debug for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineId({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn the_limits_are_where_they_are_said_to_be() {
        let segment = "s".repeat(128);
        let ok = [
            "a".to_owned(),
            "naïve café/日本語 x".to_owned(),
            "a/b/c/d/e/f/g/h".to_owned(),
            segment.clone(),
            format!("{segment}/{segment}/{segment}/{}", "s".repeat(125)),
            "...".to_owned(),
        ];
        let bad = [
            String::new(),
            "/a".to_owned(),
            "a/".to_owned(),
            "a//b".to_owned(),
            ".".to_owned(),
            "a/../b".to_owned(),
            "a/b/c/d/e/f/g/h/i".to_owned(),
            format!("{segment}s"),
            format!("{segment}/{segment}/{segment}/{}", "s".repeat(126)),
            "a\0b".to_owned(),
            "a\nb".to_owned(),
            "a\u{85}b".to_owned(),
            "a\u{E000}".to_owned(),
            "a\u{FFFD}".to_owned(),
            "a\u{1F600}".to_owned(),
            "a\u{202E}b".to_owned(),
        ];
        for text in ok {
            assert!(text.parse::<Name>().is_ok(), "{text:?}");
        }
        for text in bad {
            assert_eq!(text.parse::<Name>().unwrap_err().kind(), ErrorKind::InvalidName, "{text:?}");
        }
    }

    #[test]
    fn characters_that_show_nothing_are_refused() {
        // All that Unicode calls default ignorable, up to U+FFFF.
        let ranges = [
            0xAD..=0xAD,
            0x34F..=0x34F,
            0x61C..=0x61C,
            0x115F..=0x1160,
            0x17B4..=0x17B5,
            0x180B..=0x180F,
            0x200B..=0x200F,
            0x202A..=0x202E,
            0x2060..=0x206F,
            0x3164..=0x3164,
            0xFE00..=0xFE0F,
            0xFEFF..=0xFEFF,
            0xFFA0..=0xFFA0,
            0xFFF0..=0xFFF8,
        ];
        for c in ranges.into_iter().flatten().filter_map(char::from_u32) {
            assert_eq!(format!("a{c}b").parse::<Name>().unwrap_err().kind(), ErrorKind::InvalidName, "{c:?}");
        }
    }

    #[test]
    fn a_refused_name_is_quoted_and_cut() {
        let text = invalid(&"\u{1b}[2J".repeat(100_000), "is bad").to_string();
        assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_key_is_pinned() {
        // On the wire: changing this orphans the locks of everybody who runs an older version.
        assert_eq!(LineId::new(Kind::Mutex, name("naïve/a b.c%")).key(), "mutex/na%C3%AFve%2Fa%20b.c%25/");
    }

    /// Names that are likely to collide, and any names at all.
    fn names() -> impl Strategy<Value = Name> {
        prop_oneof!["[ab%/.2F é]{1,6}", "\\PC{1,12}(/\\PC{1,8}){0,3}"]
            .prop_filter_map("not a name", |text: String| text.parse::<Name>().ok())
    }

    proptest! {
        #[test]
        fn c11_any_text_is_refused_or_comes_back_from_its_key(text in any::<String>()) {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert_eq!(Name::decode(&name.encode()).unwrap(), name);
            }
        }

        #[test]
        fn c11_a_key_stays_in_its_namespace(name in names()) {
            let component = name.encode();
            prop_assert!(component.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._%".contains(&b)));
            prop_assert!(component != "." && component != "..");
        }

        #[test]
        fn c11_two_names_or_kinds_never_share_or_nest_keys(a in names(), b in names()) {
            let lines: Vec<LineId> = Kind::ALL
                .into_iter()
                .flat_map(|kind| [LineId::new(kind, a.clone()), LineId::new(kind, b.clone())])
                .collect();
            for (i, x) in lines.iter().enumerate() {
                for y in lines.iter().skip(i + 1) {
                    let same = x.kind() == y.kind() && x.name() == y.name();
                    prop_assert_eq!(x == y, same);
                    prop_assert_eq!(x.key().starts_with(y.key()) || y.key().starts_with(x.key()), same);
                }
            }
        }

        #[test]
        fn decoding_is_the_inverse_or_an_error(component in "[a-zA-Z0-9%._/é-]{0,20}") {
            if let Ok(name) = Name::decode(&component) {
                prop_assert_eq!(name.encode(), component);
            }
        }
    }
}
