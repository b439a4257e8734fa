//! What others tell this session, and what to do when that may have been missed.

use std::sync::{Arc, atomic::Ordering};

use etcd_client::{Event, EventType, Txn};
use lock_core::{ErrorKind, Lease, LostReason, Result, sync::locked};

use super::{
    Queue,
    standing::{Phase, Standing},
};
use crate::{
    error::is_forbidden,
    news::{News, Ring},
    request::{absent, get, put_leased},
    watch::Sink,
};

/// What the session's own bell says.
pub(crate) struct Bell {
    pub(crate) queue: Arc<Queue>,
    pub(crate) opened: tokio::sync::Notify,
}

impl Sink for Bell {
    fn opened(&self) {
        self.opened.notify_one();
        // It may have been deleted meanwhile, and the news of that be lost with the history.
        if self.queue.gaps() > 0 {
            self.queue.put_the_bell_back();
        }
        self.queue.news_were_missed();
    }

    fn event(&self, event: &Event) {
        let rings = match (event.event_type(), event.kv()) {
            (EventType::Put, Some(kv)) => Ring::read(kv.value()).map(|rings| (rings, kv.mod_revision())),
            // Deleted: by who hands over in a store that is full, or by hand.
            _ => {
                self.queue.put_the_bell_back();
                None
            }
        };
        let Some((rings, revision)) = rings else { return self.queue.news_were_missed() };
        for ring in rings {
            let standing = {
                let mut table = locked(&self.queue.table);
                let Some(standing) = table.claims.get(&ring.claim).cloned() else { continue };
                if ring.news == News::Turn {
                    table.coming.expect(&standing.who.line, ring.back);
                }
                standing
            };
            if let Err(error) = standing.hear(ring.news, revision) {
                standing.stop(&error);
            }
            if ring.news == News::Evicted {
                self.queue.those_behind_link(&standing);
            }
            self.queue.drive(&standing);
        }
    }
}

/// The session's own life: its end is the session's.
pub(crate) struct OwnLife(pub(crate) Arc<Lease>);

impl Sink for OwnLife {
    fn opened(&self) {}

    fn event(&self, event: &Event) {
        if event.event_type() == EventType::Delete {
            self.0.lose(LostReason::Expired);
        }
    }
}

impl Queue {
    /// What the bell said was lost: those who wait search, and those who hold make sure that they were not
    /// evicted. A claim whose request is under way makes sure once it is answered.
    fn news_were_missed(self: &Arc<Self>) {
        self.gaps.fetch_add(1, Ordering::SeqCst);
        self.everybody_searches(|_| true);
        let standings = self.standings();
        if !standings.is_empty() {
            let queue = self.clone();
            self.runtime.spawn(Box::pin(async move {
                for standing in standings {
                    queue.make_sure(&standing).await;
                }
            }));
        }
    }

    /// Nobody hears that a bell is deleted which is not there. Once it is back, the session looks whether it was told
    /// something that it could not hear.
    fn put_the_bell_back(self: &Arc<Self>) {
        let queue = self.clone();
        self.runtime.spawn(Box::pin(async move {
            while queue.lease.check().is_ok() {
                match queue.puts_the_bell_back().await {
                    Ok(true) => return queue.news_were_missed(),
                    Ok(false) => return,
                    Err(error) if error.kind() == ErrorKind::Full => return queue.waits_for_room(),
                    Err(error) if error.kind() == ErrorKind::Unavailable => queue.pause().await,
                    Err(error) if is_forbidden(&error) => return queue.lease.lose(LostReason::Denied),
                    Err(error) => return tracing::warn!(%error, "cannot put its bell back"),
                }
            }
        }));
    }

    /// Tells whether it was not there.
    async fn puts_the_bell_back(&self) -> Result<bool> {
        let key = self.namespace.bell(self.session);
        let put = Txn::new().when(vec![absent(&*key)]).and_then(vec![put_leased(key, "", self.session)]);
        self.change(put).await.map(|reply| reply.succeeded)
    }

    /// The store has no room. One task asks whether it has, and those who need some wait for that. It also looks for what
    /// the session may have been told meanwhile, without a bell.
    pub(super) fn waits_for_room(self: &Arc<Self>) {
        if self.full.swap(true, Ordering::SeqCst) {
            return;
        }
        let queue = self.clone();
        self.runtime.spawn(Box::pin(async move {
            while queue.lease.check().is_ok() {
                queue.pause_while_full().await;
                match queue.puts_the_bell_back().await {
                    Err(error) if error.kind() == ErrorKind::Full => queue.news_were_missed(),
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    _ => {
                        // First this: those who are told to go on by what follows must not wait once more.
                        queue.full.store(false, Ordering::SeqCst);
                        return queue.news_were_missed();
                    }
                }
            }
        }));
    }

    /// Whether it has no room, as far as is known.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// How often that has happened.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::SeqCst)
    }

    /// Ends a claim that believes to hold, or to be at the head, when the store does not have it any more.
    pub(super) async fn make_sure(self: &Arc<Self>, standing: &Standing) {
        let who = &standing.who;
        let glance =
            || standing.state.read(|state| (state.phase, state.mode, state.weakening, state.leaving));
        while self.lease.check().is_ok() {
            let seen @ (phase, .., leaving) = glance();
            if leaving || !matches!(phase, Phase::Head(_) | Phase::Holding(_)) {
                return;
            }
            let places = [who.keys.node(who.id)].into_iter().chain(standing.seats());
            let look = [self.namespace.live(self.session)].into_iter().chain(places);
            match self.look(look.map(get).collect()).await {
                Ok(mut reply) => {
                    let live = reply.key();
                    if reply.any_key() {
                        return;
                    }
                    // One that has moved meanwhile is looked for where it is now.
                    if glance() == seen {
                        return self.missing(standing, live.as_ref());
                    }
                }
                Err(error) => {
                    tracing::debug!(claim = %who.id, %error, "will be looked up again");
                    self.pause().await;
                }
            }
        }
    }
}
