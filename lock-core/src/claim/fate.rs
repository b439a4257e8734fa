//! What becomes of one claim.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{session::LostReason, sync::Bell, token::FencingToken};

/// What becomes of one claim: it waits, is granted, and ends. A store keeps one for each claim of its
/// sessions; the waiter and the guard look at it. Ends are final; nothing is granted after its end.
#[derive(Debug, Default)]
pub struct Fate {
    /// See [`State`].
    state: AtomicU64,
    changed: Bell,
}

/// A number, because every check of a guard looks at it: 0, the token, or the reason above all tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Granted(FencingToken),
    Ended(LostReason),
}

const ENDED: u64 = 1 << 63;

impl State {
    fn encode(self) -> u64 {
        match self {
            Self::Waiting => 0,
            Self::Granted(token) => token.get(),
            Self::Ended(reason) => ENDED | reason as u64,
        }
    }

    fn decode(number: u64) -> Self {
        match number {
            0 => Self::Waiting,
            ENDED.. => Self::Ended(LostReason::from_code(number - ENDED)),
            token => FencingToken::new(token).map_or(Self::Waiting, Self::Granted),
        }
    }
}

impl Fate {
    /// Of a claim that never waits.
    pub(crate) fn granted_at_once(token: FencingToken) -> Self {
        Self { state: AtomicU64::new(State::Granted(token).encode()), ..Self::default() }
    }

    /// It is this claim's turn, unless it has ended.
    pub fn grant(&self, token: FencingToken) {
        if self.advance(State::Granted(token), |state| state == State::Waiting) {
            self.ring();
        }
    }

    /// The claim is no longer in line. The first reason stands.
    pub fn end(&self, reason: LostReason) {
        if self.end_silently(reason) {
            self.ring();
        }
    }

    /// The same, for those who [`ring`](Self::ring) later, if it tells them to: what is woken may need what they
    /// have locked.
    pub(crate) fn end_silently(&self, reason: LostReason) -> bool {
        self.advance(State::Ended(reason), |state| !matches!(state, State::Ended(_)))
    }

    pub(crate) fn ring(&self) {
        self.changed.ring();
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
        self.changed.wait(|| self.decided()).await
    }

    /// The grant, or the end; `None` while it waits.
    pub(crate) fn decided(&self) -> Option<Result<FencingToken, LostReason>> {
        match self.state() {
            State::Waiting => None,
            State::Granted(token) => Some(Ok(token)),
            State::Ended(reason) => Some(Err(reason)),
        }
    }

    /// The grant, when there is one now.
    #[must_use]
    pub fn token(&self) -> Option<FencingToken> {
        self.decided()?.ok()
    }

    /// Why the claim ended, when it has.
    #[must_use]
    pub fn end_reason(&self) -> Option<LostReason> {
        self.decided()?.err()
    }

    /// Waits for the claim's end.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn ended(&self) -> LostReason {
        self.changed.wait(|| self.end_reason()).await
    }

    fn state(&self) -> State {
        State::decode(self.state.load(Ordering::Acquire))
    }

    fn advance(&self, to: State, from: impl Fn(State) -> bool) -> bool {
        let next = |state| from(State::decode(state)).then(|| to.encode());
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_from_its_number() {
        let tokens = [1, 2, 9, i64::MAX.cast_unsigned()].map(|token| FencingToken::new(token).unwrap());
        let granted = tokens.map(State::Granted);
        let ended = LostReason::ALL.map(State::Ended);
        for state in [[State::Waiting].as_slice(), &granted, &ended].concat() {
            assert_eq!(State::decode(state.encode()), state);
        }
    }

    #[test]
    fn c10_an_end_is_final_and_the_first_one_stands() {
        let (fate, token) = (Fate::default(), FencingToken::new(1).unwrap());
        fate.end(LostReason::Evicted);
        fate.grant(token);
        fate.end(LostReason::Released);
        assert_eq!((fate.token(), fate.end_reason()), (None, Some(LostReason::Evicted)));
        let fate = Fate::granted_at_once(token);
        fate.grant(FencingToken::new(2).unwrap());
        assert_eq!(fate.token(), Some(token));
    }
}
