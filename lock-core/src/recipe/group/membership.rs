//! Being in a group, over the loss of sessions.

use std::sync::Arc;

use super::members;
use crate::{
    claim::ClaimId,
    error::{Error, ErrorKind, Result},
    guard::Guard,
    line::Mode,
    name::Name,
    recipe::{Entrance, Mutant, Request, published::Published},
    session::LostReason,
    sync::Signal,
};

/// Being in a group, until it is left, dropped or ended from outside.
///
/// When the session is lost, the member comes back by itself: under the coordinator's next session, with its
/// name and its newest data, after a random pause of up to a tenth of the ttl. In between, others do not see
/// it.
///
/// It is `'static`, `Send` and `Sync`, and keeps its coordinator open.
///
/// # Drop
///
/// Leaves in the background, as a dropped [`Guard`] is released; never blocks or panics.
#[derive(Debug)]
#[must_use = "the group is left when this is dropped"]
pub struct Membership {
    registration: Arc<Registration>,
}

/// What a membership and the task that keeps it registered share.
#[derive(Debug)]
struct Registration {
    entrance: Entrance,
    name: Name,
    /// The newest data, with the name.
    published: Published,
    state: Signal<State>,
}

#[derive(Clone, Debug)]
enum State {
    In(Arc<Registered>),
    /// The session was lost.
    Away,
    Ended(LostReason),
}

/// A claim that is in line.
#[derive(Debug)]
struct Registered {
    guard: Guard,
    published: Published,
}

const JOIN: &str = "join";

impl Membership {
    pub(super) async fn join(entrance: Entrance, name: Name, data: &[u8]) -> Result<Self> {
        let payload = members::payload(&name, data).map_err(entrance.context(JOIN))?;
        let state = Signal::new(State::Away);
        let registration =
            Arc::new(Registration { entrance, name, published: Published::new(payload), state });
        let registered = registration.register().await?;
        registration.become_if_not_ended(State::In(registered.clone()));
        registration.entrance.spawn(keep(registration.clone(), registered));
        Ok(Self { registration })
    }

    /// The member's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.registration.name
    }

    /// Whether the member is in the group, by the clock as it is now. `false` after the loss of a session,
    /// until it has come back, and once it has ended.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.claim().is_some()
    }

    /// The claim behind it, as [`Group::inspect`](crate::Group::inspect) shows it, while it is registered.
    #[must_use]
    pub fn claim(&self) -> Option<ClaimId> {
        self.registration.state.read(|state| Some(state.registered()?.guard.claim()))
    }

    /// Changes what everybody can read about this member. Of several that are called one after the other, the
    /// last one stands, also over the loss of a session. Returns when others can see it, or something newer;
    /// while the session is lost, it waits for the next.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] before any I/O, when name and data together have more than
    /// [`Payload::MAX_BYTES`](crate::Payload::MAX_BYTES) − 1 bytes; what [`ended`](Self::ended) says, once
    /// this has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: the data is sent in the background, unless something newer
    /// has taken its place.
    pub async fn update(&self, data: impl AsRef<[u8]>) -> Result<()> {
        let member = &self.registration;
        let context = member.entrance.context("update");
        let payload = members::payload(&member.name, data.as_ref()).map_err(&context)?;
        member.published.set(payload);
        loop {
            let registered = member.registered().await.map_err(&context)?;
            match registered.published.send(&registered.guard).await {
                Err(error) if error.kind() == ErrorKind::SessionLost => {}
                outcome => return outcome.map_err(&context),
            }
        }
    }

    /// Leaves the group, and waits until the store has taken the member out of it. While the session is lost
    /// there is nothing to take out: the member just does not come back, and what the store may still have
    /// of it ends with that session. One that is just coming back is taken out in the background.
    ///
    /// # Errors
    ///
    /// When it had ended before, or the store refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop it.
    pub async fn leave(self) -> Result<()> {
        let member = &self.registration;
        match member.end(LostReason::Released) {
            State::In(registered) => match registered.guard.leave("leave").await {
                Err(error) if error.kind() == ErrorKind::SessionLost => Ok(()),
                outcome => outcome,
            },
            State::Away => Ok(()),
            State::Ended(reason) => Err(member.entrance.context("leave")(Error::lost(reason))),
        }
    }

    /// Waits until the member is in the group no more and will not come back by itself: an operator evicted
    /// it, or the coordinator was closed or its runtime has ended. The loss of a session is no end.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn ended(&self) -> LostReason {
        self.registration.ended().await
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.registration.end(LostReason::Released);
    }
}

impl State {
    fn registered(&self) -> Option<&Arc<Registered>> {
        match self {
            Self::In(registered) if registered.guard.is_valid() => Some(registered),
            _ => None,
        }
    }

    fn end_reason(&self) -> Option<LostReason> {
        if let Self::Ended(reason) = self { Some(*reason) } else { None }
    }
}

impl Registration {
    /// Takes a place in line, with the newest data.
    async fn register(&self) -> Result<Arc<Registered>> {
        let request = Request { payload: self.published.newest(), ..Request::new(Mode::Present) };
        let guard = self.entrance.acquire(JOIN, &request).await?;
        Ok(Arc::new(Registered { guard, published: self.published.for_another_claim() }))
    }

    /// Takes a place in line again, however often that fails; an error is final.
    async fn register_again(&self) -> Result<Arc<Registered>, LostReason> {
        loop {
            // Whoever shared the session comes back too.
            self.entrance.pause().await;
            let error = match self.register().await {
                Ok(registered) => return Ok(registered),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Closed => return Err(LostReason::Closed),
                ErrorKind::RuntimeStopped => return Err(LostReason::RuntimeStopped),
                ErrorKind::NotHeld => return Err(LostReason::Evicted),
                _ => tracing::warn!(%error, "a member could not come back; it goes on trying"),
            }
        }
    }

    /// Comes back after the loss of a session; an error is final.
    async fn come_back(&self) -> Result<Arc<Registered>, LostReason> {
        let registered = self.register_again().await?;
        self.become_if_not_ended(State::In(registered.clone()));
        // What was set while the claim was on its way, by somebody who has not waited for it.
        if let Err(error) = registered.published.send(&registered.guard).await {
            tracing::debug!(%error, "a member ended as soon as it was back");
        }
        Ok(registered)
    }

    /// Comes back after each loss of a session, until it cannot; says why.
    async fn stay(&self, mut registered: Arc<Registered>) -> LostReason {
        loop {
            let reason = registered.guard.lost().await;
            let comes_back = Error::lost(reason).kind() == ErrorKind::SessionLost;
            if !comes_back || self.entrance.is(Mutant::NotAgain) {
                return reason;
            }
            tracing::warn!(line = %self.entrance.line, member = %self.name, %reason, "a member will come back");
            self.become_if_not_ended(State::Away);
            registered = match self.come_back().await {
                Ok(registered) => registered,
                Err(reason) => return reason,
            };
        }
    }

    /// The claim that is in line, as soon as there is one.
    async fn registered(&self) -> Result<Arc<Registered>> {
        let look = |state: &State| match state.end_reason() {
            Some(reason) => Some(Err(Error::lost(reason))),
            None => state.registered().cloned().map(Ok),
        };
        self.state.wait(look).await
    }

    async fn ended(&self) -> LostReason {
        self.state.wait(State::end_reason).await
    }

    /// Ends the membership, unless it has ended; returns what it was before.
    fn end(&self, reason: LostReason) -> State {
        self.become_if_not_ended(State::Ended(reason))
    }

    fn become_if_not_ended(&self, next: State) -> State {
        self.state.update(|state| match state {
            State::Ended(_) => state.clone(),
            State::In(_) | State::Away => std::mem::replace(state, next),
        })
    }
}

/// Keeps a member in its group until it ends. If it is dropped before, its runtime has ended.
fn keep(member: Arc<Registration>, registered: Arc<Registered>) -> impl Future<Output = ()> + Send {
    struct RuntimeEnds(Arc<Registration>);
    impl Drop for RuntimeEnds {
        fn drop(&mut self) {
            // After any other end this changes nothing.
            self.0.end(LostReason::RuntimeStopped);
        }
    }
    // Made here and not at the first poll: a runtime that ends may never come to that.
    let armed = RuntimeEnds(member);
    async move {
        let member = &armed.0;
        let reason = tokio::select! { biased;
            reason = member.ended() => reason,
            reason = member.stay(registered) => reason,
        };
        member.end(reason);
    }
}
