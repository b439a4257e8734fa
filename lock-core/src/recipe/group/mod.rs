//! Group membership: who is there, with what data, and who owns a key.
//!
//! | file | what is in it |
//! |---|---|
//! | `membership` | being in a group, over the loss of sessions |
//! | `members` | who is in it, at one point and as that changes |
//! | `rendezvous` | which member owns a key |

mod members;
mod membership;
mod rendezvous;

pub use members::{GroupWatch, Member, Members};
pub use membership::Membership;

use crate::{backend::Line, claim::ClaimId, error::Result, recipe::Entrance};

/// Who is there: processes join under a name, with data that everybody can read. Cheap to clone.
///
/// **It guarantees** that every view is one that the group really had at one point, whole; that views have a
/// revision, which never goes back for one who follows; that a member that crashed is gone after its ttl
/// plus the store's slack (clause C8), as long as the store's leader stays (each new leader may grant the dead
/// session its full ttl once more); that one that lost its session comes back by itself (C22); that whoever
/// sees the same members finds the same [owner](Members::owner_of) of a key.
///
/// **It does not guarantee** that two processes see the same view at one time, nor that a member in the view
/// still lives: it may have crashed, or have been cut off, within its ttl. So two may hold themselves for the
/// owner of one key for a while. Where that does harm, take a [`Mutex`](crate::Mutex) for the key, and let
/// the resource check its token.
///
/// A name that joins twice counts once: the one who came last, so that a process that is restarted takes its
/// place at once. Give names that differ to processes that differ.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let group = coordinator.group("workers")?;
/// let mut watch = group.watch();
/// assert!(watch.next().await?.is_empty());
///
/// let membership = group.join("worker-1", "10.0.0.7:8080").await?;
/// let members = watch.next().await?;
/// assert_eq!(members.get("worker-1").map(|member| member.value()), Some("10.0.0.7:8080".into()));
/// let owner = members.owner_of("customer 4711").expect("somebody is there");
/// assert_eq!(owner.name.as_str(), "worker-1");
///
/// membership.update("10.0.0.7:9090").await?;
/// membership.leave().await?;
/// assert!(group.members().await?.is_empty());
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    entrance: Entrance,
}

impl Group {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance }
    }

    /// Joins the group under `member`, a name by the rules of [`Name`](crate::Name), with data that everybody
    /// can read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName) for the member's name, and
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) when name and data together have more than
    /// [`Payload::MAX_BYTES`](crate::Payload::MAX_BYTES) − 1 bytes, both before any I/O; else as
    /// [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the group in the background.
    pub async fn join(&self, member: impl AsRef<str>, data: impl AsRef<[u8]>) -> Result<Membership> {
        let name = member.as_ref().parse().map_err(self.entrance.context("join"))?;
        Membership::join(self.entrance.clone(), name, data.as_ref()).await
    }

    /// Who is in the group now.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked, and [`ErrorKind::Garbled`](crate::ErrorKind::Garbled) when there is a
    /// member that this version cannot read: without it the view would be another one than others have.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn members(&self) -> Result<Members> {
        let line = self.entrance.inspect().await?;
        Members::of(&line).map_err(self.entrance.context("members"))
    }

    /// Follows who is in the group. Needs no membership.
    #[must_use]
    pub fn watch(&self) -> GroupWatch {
        GroupWatch::new(self.entrance.clone())
    }

    /// The claims behind the members, each name as often as it is there.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn inspect(&self) -> Result<Line> {
        self.entrance.inspect().await
    }

    /// Removes somebody's claim by force; see [`Mutex::evict`](crate::Mutex::evict). The member does not come
    /// back by itself: its [`Membership`] ends.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.entrance.evict(claim).await
    }
}
