//! Leader election.

use lock_core::{FencingToken, Leader, Result, Standing};

use super::{Driven, guard::turn, line::line};

/// One leader among many candidates; see [`Election`](crate::Election). Cheap to clone; threads may share it.
///
/// It has no `run`: lead in a loop around [`campaign`](Self::campaign), and ask [`Leadership::check`] before
/// each step that only the leader may take.
#[derive(Clone, Debug)]
pub struct Election(pub(super) Driven<crate::Election>);

line!(Election);

impl Election {
    /// Waits until it is this candidate's turn to lead; see
    /// [`Election::campaign`](crate::Election::campaign).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn campaign(&self, value: impl AsRef<[u8]>) -> Result<Leadership> {
        let leadership = self.0.wait("campaign", |election| election.campaign(value))?;
        Ok(Leadership(self.0.beside(leadership)))
    }

    /// Who leads now.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn leader(&self) -> Result<Option<Leader>> {
        self.0.wait("leader", crate::Election::leader)
    }

    /// Follows who leads. Needs no candidacy.
    #[must_use]
    pub fn observe(&self) -> Observer {
        Observer(self.0.beside(self.0.inner.observe()))
    }

    /// How this candidate stands, by the clock as it is now; see
    /// [`Election::standing`](crate::Election::standing).
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.inner.standing()
    }
}

/// Leading, until it is resigned, dropped or lost; see [`Leadership`](crate::Leadership). It has no `run`:
/// code that blocks cannot be dropped half way.
///
/// # Drop
///
/// Resigns in the background, and never blocks or panics, wherever it is dropped.
#[derive(Debug)]
#[must_use = "leadership is resigned when this is dropped"]
pub struct Leadership(Driven<crate::Leadership>);

turn!(Leadership, one claim);

impl Leadership {
    /// Which term this is: what a resource can tell a late leader by.
    #[must_use]
    pub fn term(&self) -> FencingToken {
        self.0.inner.term()
    }

    /// Changes what everybody can read about this leader; see
    /// [`Leadership::proclaim`](crate::Leadership::proclaim).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn proclaim(&self, value: impl AsRef<[u8]>) -> Result<()> {
        self.0.wait("proclaim", |leadership| leadership.proclaim(value))
    }

    /// Gives leadership to the next candidate, and waits until the store has done so.
    ///
    /// # Errors
    ///
    /// When leadership was lost before. [`InsideAsync`](crate::ErrorKind::InsideAsync): it is then dropped.
    pub fn resign(self) -> Result<()> {
        self.0.end("resign", crate::Leadership::resign)
    }
}

/// Follows an election; see [`Election::observe`].
#[derive(Debug)]
pub struct Observer(Driven<crate::Observer>);

impl Observer {
    /// Who leads at first, and then waits for the next to be told; see
    /// [`Observer::next`](crate::Observer::next).
    ///
    /// # Errors
    ///
    /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync). May be called again.
    #[expect(clippy::should_implement_trait, reason = "as in the async API; it may fail")]
    pub fn next(&mut self) -> Result<Option<Leader>> {
        let Driven { inner, driver } = &mut self.0;
        driver.wait("observe", inner.next())
    }
}
