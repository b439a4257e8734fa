//! What is done for claims that stay in line for a while, so that short turns do not pay for it: their places
//! are watched, since others may delete them, and a token that cannot be read off a place is written there.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use etcd_client::{Event, EventType};
use lock_core::{ErrorKind, Lease, Moment, Result, runtime::SharedRuntime, sync::locked};
use tokio::sync::mpsc;

use super::{
    Go,
    keys::LineKeys,
    standing::{Phase, Standing},
    txn,
};
use crate::{
    request::some_keys,
    watch::{Keys, Sink},
};

/// How long a while is.
const A_WHILE: Duration = Duration::from_millis(200);

/// Claims that are to be looked at once they have stayed for a while.
pub(super) struct Stays(mpsc::UnboundedSender<(Moment, Weak<Standing>)>);

/// What looks at them.
pub(super) struct Task(mpsc::UnboundedReceiver<(Moment, Weak<Standing>)>);

impl Stays {
    pub(super) fn new() -> (Self, Task) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Task(receiver))
    }

    /// The claim has come into line, or been granted.
    pub(super) fn note(&self, standing: &Arc<Standing>, runtime: &SharedRuntime) {
        // Fails when the session is over.
        let _over = self.0.send((runtime.now() + A_WHILE, Arc::downgrade(standing)));
    }
}

impl Task {
    /// Until the session is lost.
    pub(super) async fn run(mut self, go: Weak<Go>, lease: Arc<Lease>, runtime: SharedRuntime) {
        let looks = async {
            while let Some((due, standing)) = self.0.recv().await {
                runtime.sleep_until(due).await;
                if let Some((go, standing)) = go.upgrade().zip(standing.upgrade()) {
                    go.stays(&standing);
                }
            }
        };
        tokio::select! { biased;
            _ = lease.lost() => {}
            () = looks => {}
        }
    }
}

impl Go {
    fn stays(self: &Arc<Self>, standing: &Arc<Standing>) {
        let (in_line, shows_token) =
            standing.state.read(|state| (state.created().is_some() && !state.leaving, state.shows_token));
        if !in_line {
            return;
        }
        self.watch_own(&standing.keys);
        if !shows_token {
            let (go, standing) = (self.clone(), standing.clone());
            self.runtime.spawn(Box::pin(async move {
                while let Err(error) = go.show_token(&standing).await {
                    tracing::debug!(claim = %standing.id, %error, "its token is not shown to others");
                    if error.kind() != ErrorKind::Unavailable || go.lease.check().is_err() {
                        return;
                    }
                    go.pause().await;
                }
            }));
        }
    }

    /// Writes the token into the place, unless an update does that.
    async fn show_token(&self, standing: &Standing) -> Result<()> {
        let (phase, written) = standing.state.read(|state| (state.phase, state.written));
        let Phase::Holding(created) = phase else { return Ok(()) };
        let request = txn::rewrite(standing, created, written, standing.value(), self.session);
        let reply = self.change(request).await?;
        if reply.succeeded {
            standing.state.update_silently(|state| {
                state.written = state.written.max(reply.revision);
                state.shows_token = true;
            });
        }
        Ok(())
    }

    /// Watches the session's places in a line.
    fn watch_own(self: &Arc<Self>, keys: &LineKeys) {
        let mut table = locked(&self.table);
        let Some(in_line) = table.line(keys).filter(|in_line| in_line.watch.is_none()) else { return };
        let (go, keys) = (Arc::downgrade(self), keys.clone());
        let watched = Keys::Under(keys.of(self.session));
        in_line.watch =
            Some(self.watcher.watch(watched, Arc::new(Own { go, keys, deleted: AtomicBool::default() })));
    }

    /// The session's claims in a line.
    fn in_line(&self, keys: &LineKeys) -> Vec<Arc<Standing>> {
        let mut table = locked(&self.table);
        table.line(keys).map(|in_line| in_line.claims.values().cloned().collect()).unwrap_or_default()
    }

    /// Whether each of the session's claims in a line is still there.
    async fn look_after(&self, keys: &LineKeys) -> Result<()> {
        let mut reply = self.look(vec![some_keys(keys.of(self.session), 0)]).await?;
        let there = reply.keys();
        for standing in self.in_line(keys) {
            let created = standing.state.read(|state| state.created().filter(|_| !state.leaving));
            let Some(created) = created.filter(|created| *created <= reply.revision) else { continue };
            let is_it = |key: &[u8], at: i64| key == standing.key.as_bytes() && at == created;
            if !there.iter().any(|kv| is_it(kv.key(), kv.create_revision())) {
                self.missing(&standing).await?;
            }
        }
        Ok(())
    }
}

/// A session's places in a line, as they are watched.
struct Own {
    go: Weak<Go>,
    keys: LineKeys,
    /// Whether the message that is being told says that one was deleted which is thought to be there.
    deleted: AtomicBool,
}

impl Own {
    fn look(&self) {
        let Some(go) = self.go.upgrade() else { return };
        let keys = self.keys.clone();
        go.runtime.clone().spawn(Box::pin(async move {
            while let Err(error) = go.look_after(&keys).await {
                tracing::debug!(%error, "will be looked after again");
                if go.lease.check().is_err() {
                    return;
                }
                go.pause().await;
            }
        }));
    }
}

impl Sink for Own {
    fn opened(&self) {
        self.look();
    }

    fn event(&self, event: &Event) {
        let Some((go, kv)) = self.go.upgrade().zip(event.kv()) else { return };
        let deleted = |standing: &Arc<Standing>| {
            let (created, leaving) = standing.state.read(|state| (state.created(), state.leaving));
            !leaving
                && standing.key.as_bytes() == kv.key()
                && created.is_some_and(|created| created < kv.mod_revision())
        };
        if event.event_type() == EventType::Delete && go.in_line(&self.keys).iter().any(deleted) {
            self.deleted.store(true, Ordering::Relaxed);
        }
    }

    fn told(&self) {
        if self.deleted.swap(false, Ordering::Relaxed) {
            self.look();
        }
    }
}
