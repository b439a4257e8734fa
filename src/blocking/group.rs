//! Group membership.

use lock_core::{ClaimId, LostReason, Members, Name, Result};

use super::{Driven, line::line};

/// Who is there: processes join under a name, with data that everybody can read; see [`Group`](crate::Group).
/// Cheap to clone; threads may share it.
#[derive(Clone, Debug)]
pub struct Group(pub(super) Driven<crate::Group>);

line!(Group);

impl Group {
    /// Joins the group under `member`, with data that everybody can read; see
    /// [`Group::join`](crate::Group::join).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn join(&self, member: impl AsRef<str>, data: impl AsRef<[u8]>) -> Result<Membership> {
        let membership = self.0.wait("join", |group| group.join(member, data))?;
        Ok(Membership(self.0.beside(membership)))
    }

    /// Who is in the group now.
    ///
    /// # Errors
    ///
    /// As [`Group::members`](crate::Group::members); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn members(&self) -> Result<Members> {
        self.0.wait("members", crate::Group::members)
    }

    /// Follows who is in the group. Needs no membership.
    #[must_use]
    pub fn watch(&self) -> GroupWatch {
        GroupWatch(self.0.beside(self.0.inner.watch()))
    }
}

/// Being in a group, until it is left, dropped or ended from outside; see [`Membership`](crate::Membership).
/// Like there, the member comes back by itself when the session is lost.
///
/// # Drop
///
/// Leaves in the background, and never blocks or panics, wherever it is dropped.
#[derive(Debug)]
#[must_use = "the group is left when this is dropped"]
pub struct Membership(Driven<crate::Membership>);

impl Membership {
    /// The member's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.0.inner.name()
    }

    /// Whether the member is in the group, by the clock as it is now; see
    /// [`Membership::is_registered`](crate::Membership::is_registered).
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.0.inner.is_registered()
    }

    /// The claim behind it, as [`Group::inspect`] shows it, while it is registered.
    #[must_use]
    pub fn claim(&self) -> Option<ClaimId> {
        self.0.inner.claim()
    }

    /// Changes what everybody can read about this member; see
    /// [`Membership::update`](crate::Membership::update).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn update(&self, data: impl AsRef<[u8]>) -> Result<()> {
        self.0.wait("update", |membership| membership.update(data))
    }

    /// Leaves the group, and waits until the store has taken the member out of it; see
    /// [`Membership::leave`](crate::Membership::leave).
    ///
    /// # Errors
    ///
    /// As there. [`InsideAsync`](crate::ErrorKind::InsideAsync): it is then dropped.
    pub fn leave(self) -> Result<()> {
        self.0.end("leave", crate::Membership::leave)
    }

    /// Waits until the member is in the group no more and will not come back by itself; see
    /// [`Membership::ended`](crate::Membership::ended).
    ///
    /// # Errors
    ///
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn ended(&self) -> Result<LostReason> {
        self.0.wait("ended", async |membership| Ok(membership.ended().await))
    }
}

/// Follows who is in a group; see [`Group::watch`].
#[derive(Debug)]
pub struct GroupWatch(Driven<crate::GroupWatch>);

impl GroupWatch {
    /// Who is in the group at first, and then each time that this has changed; see
    /// [`GroupWatch::next`](crate::GroupWatch::next).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync). May be called again.
    #[expect(clippy::should_implement_trait, reason = "as in the async API; it may fail")]
    pub fn next(&mut self) -> Result<Members> {
        let Driven { inner, driver } = &mut self.0;
        driver.wait("watch", inner.next())
    }
}
