//! A turn that a client has, of whatever recipe.

use yourturn::{ClaimId, FencingToken, Guard, Leadership, LostReason, Moment, Result};

pub(crate) enum Held {
    Guard(Guard),
    Leadership(Leadership),
}

impl Held {
    pub(crate) fn claim(&self) -> ClaimId {
        match self {
            Self::Guard(guard) => guard.claim(),
            Self::Leadership(leadership) => leadership.claim(),
        }
    }

    pub(crate) fn token(&self) -> FencingToken {
        match self {
            Self::Guard(guard) => guard.token(),
            Self::Leadership(leadership) => leadership.term(),
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Guard(guard) => guard.is_valid(),
            Self::Leadership(leadership) => leadership.is_valid(),
        }
    }

    pub(crate) fn deadline(&self) -> Moment {
        match self {
            Self::Guard(guard) => guard.deadline(),
            Self::Leadership(leadership) => leadership.deadline(),
        }
    }

    pub(crate) async fn lost(&self) -> LostReason {
        match self {
            Self::Guard(guard) => guard.lost().await,
            Self::Leadership(leadership) => leadership.lost().await,
        }
    }

    pub(crate) async fn release(self) -> Result<()> {
        match self {
            Self::Guard(guard) => guard.release().await,
            Self::Leadership(leadership) => leadership.resign().await,
        }
    }
}
