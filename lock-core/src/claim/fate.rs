//! What becomes of one claim.

use std::sync::OnceLock;

use crate::{session::LostReason, sync::Bell, token::FencingToken};

/// What becomes of one claim: it waits, is granted, and ends. A store keeps one for each claim of its
/// sessions; the waiter and the guard look at it. Ends are final; nothing is granted after its end.
#[derive(Debug, Default)]
pub struct Fate {
    token: OnceLock<FencingToken>,
    end: OnceLock<LostReason>,
    changed: Bell,
}

impl Fate {
    /// It is this claim's turn, unless it has ended.
    pub fn grant(&self, token: FencingToken) {
        if self.token.set(token).is_ok() {
            self.changed.ring();
        }
    }

    /// The claim is no longer in line. The first reason stands.
    pub fn end(&self, reason: LostReason) {
        if self.end.get().is_none() && self.end.set(reason).is_ok() {
            self.changed.ring();
        }
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
        // In this order: a grant that came after the end, and counts for nothing, is seen together with it.
        let token = self.token.get();
        match self.end.get() {
            Some(reason) => Some(Err(*reason)),
            None => token.map(|token| Ok(*token)),
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
        self.end.get().copied()
    }

    /// Waits for the claim's end.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn ended(&self) -> LostReason {
        self.changed.wait(|| self.end_reason()).await
    }
}
