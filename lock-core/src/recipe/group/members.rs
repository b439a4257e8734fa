//! Who is in a group, at one point and as that changes.

use std::{collections::BTreeMap, slice, sync::Arc, time::SystemTime};

use super::rendezvous;
use crate::{
    backend::{Line, LinePlace},
    claim::{ClaimId, Payload},
    error::{Error, ErrorKind, Result},
    name::Name,
    recipe::{Entrance, LineWatch},
};

/// One member of a [`Group`](crate::Group), as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its name; no two members of a group have the same.
    pub name: Name,
    /// What it lets everybody read, such as its address.
    pub data: Payload,
    /// Its owner label.
    pub owner: Arc<str>,
    /// Its claim: what [`Group::evict`](crate::Group::evict) takes. It has another after its session was lost.
    pub claim: ClaimId,
    /// When it joined under this session, by its own wall clock.
    pub since: SystemTime,
}

impl Member {
    /// What it lets everybody read, as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn value(&self) -> String {
        String::from_utf8_lossy(self.data.as_bytes()).into_owned()
    }

    /// The member behind a claim.
    fn of(place: &LinePlace) -> Result<Self> {
        let (name, data) = read(&place.payload).ok_or_else(|| {
            let message = format!("claim {} is no member that this version can read", place.claim);
            Error::new(ErrorKind::Garbled, message)
        })?;
        let (owner, claim, since) = (place.owner.clone(), place.claim, place.since);
        Ok(Self { name, data, owner, claim, since })
    }
}

/// What a member's claim carries: its name, a line feed, which no name holds, and its data.
pub(super) fn payload(name: &Name, data: &[u8]) -> Result<Payload> {
    Payload::new(&[name.as_str().as_bytes(), b"\n", data].concat())
}

fn read(payload: &Payload) -> Option<(Name, Payload)> {
    let bytes = payload.as_bytes();
    let (name, data) = bytes.split_at_checked(bytes.iter().position(|byte| *byte == b'\n')?)?;
    let name = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some((name, Payload::new(data.get(1..)?).ok()?))
}

/// Everybody who was in a group at one point, in the order of their names.
///
/// Views of one group are the same wherever they have the same [`revision`](Self::revision).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Members {
    /// Rises with every change of the group; comparable within one group of one store.
    pub revision: u64,
    members: Arc<[Member]>,
}

impl Members {
    /// A name that is there twice counts once, where it came last: its process has been restarted, and its
    /// former session has not ended yet.
    pub(super) fn of(line: &Line) -> Result<Self> {
        let mut members = BTreeMap::new();
        for place in &line.places {
            let member = Member::of(place)?;
            members.insert(member.name.clone(), member);
        }
        Ok(Self { revision: line.revision, members: members.into_values().collect() })
    }

    /// Everybody, in the order of their names.
    pub fn iter(&self) -> slice::Iter<'_, Member> {
        self.members.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The member of this name.
    #[must_use]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&Member> {
        let at = self.members.binary_search_by(|member| member.name.as_str().cmp(name.as_ref())).ok()?;
        self.members.get(at)
    }

    /// The member that owns `key`: everybody who sees the same members gives the same answer. All members
    /// weigh the same. When one goes, only its own keys move, and no more than about 1/n of all; when
    /// one comes, the keys that move are those that it owns from then on.
    ///
    /// By rendezvous hashing with SipHash-2-4, the same in every process and version. It is made to spread
    /// keys, not to withstand somebody who chooses names or keys.
    #[must_use]
    pub fn owner_of(&self, key: impl AsRef<[u8]>) -> Option<&Member> {
        let names = self.members.iter().map(|member| &member.name);
        self.get(rendezvous::owner(names, key.as_ref())?)
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Follows who is in a group; see [`Group::watch`](crate::Group::watch).
#[derive(Debug)]
pub struct GroupWatch {
    entrance: Entrance,
    watch: LineWatch,
    /// What was told last.
    seen: Option<Members>,
}

const WATCH: &str = "watch";

impl GroupWatch {
    pub(super) fn new(entrance: Entrance) -> Self {
        Self { watch: LineWatch::new(entrance.clone()), entrance, seen: None }
    }

    /// Who is in the group at first, and then each time that somebody has come, gone, returned under another
    /// session or changed its data. A slow reader misses what did not last; revisions never go back. Goes on
    /// under a new session when the last is lost.
    ///
    /// # Errors
    ///
    /// As [`Group::members`](crate::Group::members). May be called again.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn next(&mut self) -> Result<Members> {
        loop {
            let line = self.watch.next(WATCH).await?;
            let members = Members::of(&line).map_err(self.entrance.context(WATCH))?;
            if self.seen.as_ref().is_none_or(|seen| seen.members != members.members) {
                self.seen = Some(members.clone());
                return Ok(members);
            }
        }
    }
}
