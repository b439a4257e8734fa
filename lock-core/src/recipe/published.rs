//! What a claim shows to everybody, and how that is changed while it is granted.

use std::sync::{Arc, Mutex};

use crate::{
    backend::SharedSession,
    claim::{Payload, in_a_task},
    error::Result,
    guard::Guard,
    sync::locked,
};

/// What a claim shows. Of several values that are set one after the other, the last one stands: whoever sends,
/// sends the newest. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    newest: Arc<Mutex<Payload>>,
    /// Held while a request is under way, also when its caller has gone: an older one must not land after a
    /// newer one.
    sending: Arc<tokio::sync::Mutex<()>>,
}

impl Published {
    pub(super) fn new(payload: Payload) -> Self {
        Self { newest: Arc::new(Mutex::new(payload)), ..Self::default() }
    }

    /// The same for another claim, which does not wait for what is still under way to the last one.
    pub(super) fn for_another_claim(&self) -> Self {
        Self { newest: self.newest.clone(), ..Self::default() }
    }

    pub(super) fn newest(&self) -> Payload {
        locked(&self.newest).clone()
    }

    /// What is sent from now on.
    pub(super) fn set(&self, payload: Payload) {
        *locked(&self.newest) = payload;
    }

    /// Has the claim behind `guard` show the newest. Dropping the future does not take it back.
    pub(super) async fn send(&self, guard: &Guard) -> Result<()> {
        let (via, ticket, published) =
            (guard.place().via().clone(), guard.place().ticket().clone(), self.clone());
        let runtime = via.runtime.clone();
        let update = move |session: SharedSession| {
            let (ticket, published) = (ticket.clone(), published.clone());
            async move {
                let _alone = published.sending.lock().await;
                session.update(&ticket, published.newest()).await
            }
        };
        in_a_task(&runtime, async move { via.change(update).await }).await
    }
}
