//! What a user holds while it is their turn.

use super::Driven;

/// What can be seen of a turn without asking anybody, and the wait for its end.
macro_rules! turn {
    ($guard:ident) => {
        impl $guard {
            /// When it turns invalid as things stand; see [`Guard::deadline`](crate::Guard::deadline).
            #[must_use]
            pub fn deadline(&self) -> $crate::Moment {
                self.0.inner.deadline()
            }

            /// How long it stays valid as things stand; zero when it is not.
            #[must_use]
            pub fn remaining(&self) -> std::time::Duration {
                self.0.inner.remaining()
            }

            /// Whether it is still your turn, by the clock as it is now.
            #[must_use]
            pub fn is_valid(&self) -> bool {
                self.0.inner.is_valid()
            }

            /// `Ok` while it is still your turn, by the clock as it is now: ask before each step that must
            /// not be taken without it.
            ///
            /// # Errors
            ///
            /// [`Lost`](crate::Lost), with the reason.
            pub fn check(&self) -> $crate::Result<(), $crate::Lost> {
                self.0.inner.check()
            }
        }
    };
    ($guard:ident, one claim) => {
        crate::blocking::guard::turn!($guard);

        impl $guard {
            /// The claim behind it, as `inspect` shows it.
            #[must_use]
            pub fn claim(&self) -> $crate::ClaimId {
                self.0.inner.claim()
            }

            /// How long it took from the call to the grant.
            #[must_use]
            pub fn waited(&self) -> std::time::Duration {
                self.0.inner.waited()
            }

            /// Waits until it is invalid, and says why: for a thread that watches over the one that works.
            ///
            /// # Errors
            ///
            /// [`InsideAsync`](crate::ErrorKind::InsideAsync).
            pub fn lost(&self) -> $crate::Result<$crate::LostReason> {
                self.0.wait("lost", async |held| Ok(held.lost().await))
            }
        }
    };
}
pub(super) use turn;

/// Your turn, until it is released, dropped or lost; see [`Guard`](crate::Guard). Threads may share it.
///
/// It has no `run`: code that blocks cannot be dropped half way.
///
/// # Drop
///
/// Leaves the line in the background, and never blocks or panics, wherever it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct Guard(pub(super) Driven<crate::Guard>);

turn!(Guard, one claim);

impl Guard {
    /// What a resource can tell a late holder by: it has seen a higher token.
    #[must_use]
    pub fn token(&self) -> crate::FencingToken {
        self.0.inner.token()
    }

    /// Gives the turn to the next in line, and waits until the store has done so.
    ///
    /// # Errors
    ///
    /// As [`Guard::release`](crate::Guard::release). [`InsideAsync`](crate::ErrorKind::InsideAsync): the
    /// guard is then dropped.
    pub fn release(self) -> crate::Result<()> {
        self.0.end("release", crate::Guard::release)
    }
}
