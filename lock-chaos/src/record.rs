//! What a run writes down, one JSON object a line, all on one clock: the time since the machine booted.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yourturn::{Kind, LineId, Mode};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When, in nanoseconds.
    #[serde(with = "nanos")]
    pub(crate) at: Duration,
    /// To which client; none: to the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<Client>,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// A client, in one of its lives: each time that it was killed it begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) life: u32,
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{}.{}", self.number, self.life)
    }
}

/// What happened. A `turn` is a number that its client gives once in a life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What {
    /// The client has a session.
    Connected {
        session: String,
        /// How long the store may take to end a session after its ttl.
        #[serde(with = "nanos")]
        slack: Duration,
    },
    /// A turn is asked for.
    Sent { turn: u64, line: Line, mode: Wish, way: Way },
    /// There is a guard.
    Granted {
        turn: u64,
        claim: String,
        token: u64,
        #[serde(with = "nanos")]
        deadline: Duration,
    },
    /// The guard was looked at; the time is that of right before. `late`: for how long the client had stood
    /// still.
    Looked {
        turn: u64,
        valid: bool,
        /// For how long the look took, at most.
        #[serde(with = "nanos")]
        took: Duration,
        #[serde(with = "nanos")]
        late: Duration,
    },
    /// A try was answered: others are in line.
    Busy { turn: u64 },
    /// The client gave up, and dropped the future.
    Cancelled { turn: u64 },
    /// No guard, but an error.
    Failed { turn: u64, kind: String, said: String },
    /// A holder has written to both registers.
    Wrote { turn: u64, id: u64, fenced: Fate, unfenced: Fate },
    /// A holder has written to the store itself, under its guard.
    Guarded { turn: u64, id: u64, fate: Fate },
    /// The holder stops believing: it is about to release, or it was lost.
    Ended {
        turn: u64,
        #[serde(with = "nanos")]
        deadline: Duration,
        lost: Option<String>,
    },
    /// The release was answered.
    Released { turn: u64, error: Option<String> },
    /// The client has closed its session and ends.
    Closed,
    /// The client was to finish, and did not in time: it is killed.
    Stuck,
    /// The client's process was started.
    Started,
    /// The client is dead.
    Killed,
    /// A fault has begun.
    Fault { number: usize, kind: String, target: String },
    /// The fault is over.
    Healed { number: usize },
    /// The fault could not be had: why.
    Skipped { number: usize, why: String },
    /// Another server than before leads.
    Leader { node: usize },
    /// All faults are over, and servers are up: from now on all must make progress.
    Calm,
    /// The quiet phase is over.
    Storm,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// It is done, as this version or revision.
    Done(u64),
    /// It was refused.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// How a turn is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// However long it takes.
    Wait,
    /// However long it takes, but the client will drop the future.
    Cancel,
    /// Now or not at all.
    Try,
    /// With some patience.
    TryFor,
}

/// For what a turn is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    Exclusive,
    Shared,
    Permits { count: u32, limit: u32 },
}

impl From<Wish> for Mode {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Exclusive => Self::Exclusive,
            Wish::Shared => Self::Shared,
            Wish::Permits { count, limit } => Self::Permits { count, limit },
        }
    }
}

/// One of the lines of a run, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Line(pub(crate) usize);

impl Line {
    /// Of five lines two are mutexes; then there are one of each of the others.
    pub(crate) const fn kind(self) -> Kind {
        match self.0 % 5 {
            0 | 1 => Kind::Mutex,
            2 => Kind::RwLock,
            3 => Kind::Semaphore,
            _ => Kind::Election,
        }
    }

    pub(crate) fn name(self) -> String {
        format!("l{}", self.0)
    }

    /// The line that the library knows.
    pub(crate) fn id(self) -> Option<LineId> {
        Some(LineId::new(self.kind(), self.name().parse().ok()?))
    }

    /// The one with this kind and name, as keys have them.
    pub(crate) fn of_key(kind: &str, name: &str) -> Option<Self> {
        let line = Self(name.strip_prefix('l')?.parse().ok()?);
        (line.kind().as_str() == kind && line.name() == name).then_some(line)
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind().as_str(), self.name())
    }
}

/// Durations as whole nanoseconds.
pub(crate) mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_and_comes_back() {
        let what = What::Sent {
            turn: 3,
            line: Line(13),
            mode: Wish::Permits { count: 1, limit: 3 },
            way: Way::TryFor,
        };
        let client = Some(Client { number: 2, life: 1 });
        let record = Record { at: Duration::from_nanos(17), client, what };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            text,
            r#"{"at":17,"client":{"number":2,"life":1},"event":"sent","turn":3,"line":13,"mode":{"permits":{"count":1,"limit":3}},"way":"try_for"}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        let whole = Record { at: Duration::ZERO, client: None, what: What::Calm };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), whole);
    }

    #[test]
    fn a_line_is_known_by_its_key() {
        for number in 0..20 {
            let line = Line(number);
            assert_eq!(Line::of_key(line.kind().as_str(), &line.name()), Some(line));
        }
        assert_eq!(Line::of_key("mutex", "l2"), None);
        assert_eq!(Line::of_key("mutex", "x"), None);
    }
}
