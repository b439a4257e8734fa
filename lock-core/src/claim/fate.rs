//! What becomes of one claim.

use crate::{session::LostReason, sync::Signal, token::FencingToken};

/// What becomes of one claim: it waits, is granted, and ends. A store keeps one for each claim of its
/// sessions; the waiter and the guard look at it. Ends are final; nothing is granted after its end.
#[derive(Debug)]
pub struct Fate(Signal<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting,
    Granted(FencingToken),
    Ended(LostReason),
}

impl Default for Fate {
    fn default() -> Self {
        Self(Signal::new(State::Waiting))
    }
}

impl Fate {
    /// It is this claim's turn, unless it has ended.
    pub fn grant(&self, token: FencingToken) {
        self.0.update(|state| {
            if matches!(state, State::Waiting) {
                *state = State::Granted(token);
            }
        });
    }

    /// The claim is no longer in line. The first reason stands.
    pub fn end(&self, reason: LostReason) {
        self.0.update(|state| {
            if !matches!(state, State::Ended(_)) {
                *state = State::Ended(reason);
            }
        });
    }

    /// Waits for the grant.
    ///
    /// # Errors
    ///
    /// Why the claim ended instead.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn granted(&self) -> Result<FencingToken, LostReason> {
        self.0
            .wait(|state| match *state {
                State::Waiting => None,
                State::Granted(token) => Some(Ok(token)),
                State::Ended(reason) => Some(Err(reason)),
            })
            .await
    }

    /// The grant, when there is one now.
    #[must_use]
    pub fn token(&self) -> Option<FencingToken> {
        self.0.read(|state| if let State::Granted(token) = *state { Some(token) } else { None })
    }

    /// Why the claim ended, when it has.
    #[must_use]
    pub fn end_reason(&self) -> Option<LostReason> {
        self.0.read(ended)
    }

    /// Waits for the claim's end.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn ended(&self) -> LostReason {
        self.0.wait(ended).await
    }
}

fn ended(state: &State) -> Option<LostReason> {
    if let State::Ended(reason) = *state { Some(reason) } else { None }
}
