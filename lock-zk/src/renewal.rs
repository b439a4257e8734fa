//! Keeps the lease up: beats through the leader, and what the client says of its connection.

use std::sync::Arc;

use lock_core::{Lease, LostReason, Moment, Result};
use zookeeper_client::{self as zk, SessionState, StateWatcher};

use crate::{
    beats::Beats,
    connection::{Connection, Failed},
    way::Way,
};

/// Renews one session.
pub(crate) struct Renewal {
    pub(crate) connection: Arc<Connection>,
    /// How it reaches the servers; none when the client is the user's.
    pub(crate) way: Option<Arc<Way>>,
    pub(crate) states: StateWatcher,
    pub(crate) beats: Beats,
    /// Whether a beat has been allowed, and not only answered.
    pub(crate) allowed: bool,
}

/// What comes next.
enum Next {
    Beat,
    State(SessionState),
}

impl Renewal {
    /// Until the session is over.
    pub(crate) async fn run(mut self) {
        let lease = self.connection.lease.clone();
        tokio::select! { biased;
            reason = lease.lost() => tracing::debug!(%reason, "no more beats"),
            reason = self.keep_up() => lease.lose(reason),
        }
    }

    async fn keep_up(&mut self) -> LostReason {
        loop {
            let due = self.beats.next().unwrap_or_else(|| self.now());
            let next = tokio::select! { biased;
                state = self.states.changed() => Next::State(state),
                () = self.connection.runtime.sleep_until(due) => Next::Beat,
            };
            let over = match next {
                Next::State(state) => self.changed_to(state),
                Next::Beat => self.beat_twice().await,
            };
            if let Some(reason) = over {
                return reason;
            }
        }
    }

    fn changed_to(&self, state: SessionState) -> Option<LostReason> {
        tracing::debug!(%state, "the connection changed");
        match state {
            SessionState::Disconnected | SessionState::ConnectedReadOnly => {
                self.lease().suspect();
                if let Some(way) = &self.way {
                    way.refresh();
                }
                None
            }
            SessionState::SyncConnected => None,
            SessionState::AuthFailed => Some(LostReason::Denied),
            SessionState::Expired | SessionState::Closed => Some(LostReason::Expired),
        }
    }

    /// Two beats, one right behind the other: see [`Beats::next`].
    async fn beat_twice(&mut self) -> Option<LostReason> {
        for _ in 0..2 {
            let sent = self.now();
            match self.beat().await {
                Ok(true) => self.beats.acknowledged(sent, self.now()),
                Ok(false) => return None,
                Err(reason) => return Some(reason),
            }
            if let Some(base) = self.beats.base() {
                self.lease().renewed(base, self.lease().ttl());
            }
        }
        None
    }

    /// Has the leader carry something out that changes nothing. Whether it did.
    async fn beat(&mut self) -> std::result::Result<bool, LostReason> {
        let outcome = self.connection.beat().await;
        match outcome.map_err(|_| LostReason::Abandoned)? {
            Ok(_) => {
                self.allowed = true;
                Ok(true)
            }
            // Its watches tell nothing any more, and its claims may not leave.
            Err(Failed { at: Some(_), error: zk::Error::NoAuth }) if self.allowed => Err(LostReason::Denied),
            // A refusal has been through the leader too.
            Err(Failed { at: Some(_), .. }) => Ok(true),
            Err(Failed { error: zk::Error::AuthFailed, .. }) => Err(LostReason::Denied),
            Err(failed) if failed.is_unanswered() => self.wait(failed.error).await.map(|()| false),
            Err(Failed { error, .. }) => {
                tracing::debug!(%error, "the session is over");
                Err(LostReason::Expired)
            }
        }
    }

    async fn wait(&self, error: zk::Error) -> std::result::Result<(), LostReason> {
        let goes_on: Result<()> = self.connection.go_on(error).await;
        goes_on.map_err(|_| LostReason::Expired)
    }

    fn now(&self) -> Moment {
        self.connection.runtime.now()
    }

    fn lease(&self) -> &Lease {
        &self.connection.lease
    }
}
