//! Noticing that another session has ended: one watch for each session that somebody here waits for.

use std::sync::{Arc, Weak, atomic::Ordering};

use etcd_client::{Event, EventType};
use lock_core::{
    SessionId,
    sync::{Signal, locked},
};

use super::Queue;
use crate::watch::{Keys, Sink, Watch};

/// Another session's life, as it is watched from here.
pub(super) struct Life {
    watched: Arc<Signal<bool>>,
    _watch: Watch,
}

struct Watched {
    queue: Weak<Queue>,
    session: SessionId,
    watched: Arc<Signal<bool>>,
}

impl Sink for Watched {
    fn opened(&self) {
        let again = self.watched.update(|watched| std::mem::replace(watched, true));
        if let Some(queue) = self.queue.upgrade().filter(|_| again) {
            // Its end may have been missed.
            queue.ends.fetch_add(1, Ordering::SeqCst);
            queue.everybody_searches(|standing| standing.state.read(|state| state.waits_for(self.session)));
        }
    }

    fn event(&self, event: &Event) {
        if let Some(queue) = self.queue.upgrade().filter(|_| event.event_type() == EventType::Delete) {
            queue.session_ended(self.session);
        }
    }
}

impl Queue {
    /// Returns once the end of this session would be noticed.
    pub(super) async fn watch_life(self: &Arc<Self>, session: SessionId) {
        if session == self.session {
            return;
        }
        loop {
            let life = {
                let mut lives = locked(&self.lives);
                lives.entry(session).or_insert_with(|| self.life(session)).clone()
            };
            life.watched.wait(|watched| watched.then_some(())).await;
            // The session may have ended meanwhile, and with it this watch.
            if locked(&self.lives).get(&session).is_some_and(|current| Arc::ptr_eq(current, &life)) {
                return;
            }
        }
    }

    /// How often the end of a session that is watched was noticed, or may have been missed.
    pub(super) fn ends(&self) -> u64 {
        self.ends.load(Ordering::SeqCst)
    }

    /// Whether the end of another session is noticed, or counted as one that may have been missed.
    pub(super) fn is_watched(&self, session: SessionId) -> bool {
        let life = locked(&self.lives).get(&session).cloned();
        life.is_some_and(|life| life.watched.read(|watched| *watched))
    }

    fn life(self: &Arc<Self>, session: SessionId) -> Arc<Life> {
        let watched = Arc::new(Signal::new(false));
        let sink = Watched { queue: Arc::downgrade(self), session, watched: watched.clone() };
        let watch = self.watcher.watch(Keys::One(self.namespace.live(session).into()), Arc::new(sink));
        Arc::new(Life { watched, _watch: watch })
    }

    /// Its claims are gone: whoever waits for one of them looks who is ahead now.
    pub(super) fn session_ended(self: &Arc<Self>, session: SessionId) {
        self.ends.fetch_add(1, Ordering::SeqCst);
        let ended = locked(&self.lives).remove(&session);
        if let Some(life) = ended {
            // Whoever waits for it to be watched would wait for ever.
            life.watched.update(|watched| *watched = true);
        }
        self.everybody_searches(|standing| standing.state.read(|state| state.waits_for(session)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        task::{Context, Waker},
        time::Duration,
    };

    use lock_core::{
        Lease,
        runtime::{SharedRuntime, TokioRuntime},
    };

    use super::*;
    use crate::{
        config::Config,
        connection::Connection,
        keys::Namespace,
        links::{Limits, Links},
        watch::Watcher,
        way::Way,
    };

    /// A session whose store is not there, and whose watches never open.
    pub(in crate::queue) fn queue() -> Arc<Queue> {
        queue_in(Arc::new(TokioRuntime::current().unwrap()))
    }

    pub(in crate::queue) fn queue_in(runtime: SharedRuntime) -> Arc<Queue> {
        let ttl = Duration::from_secs(10);
        let way = Way::members(Config::new(["127.0.0.1:1"]).unwrap(), ttl, 0).unwrap();
        let limits = Limits { connect_timeout: ttl, reconnect_timeout: ttl, request_timeout: ttl };
        let connection = Connection::new(Links::new(way, runtime.clone(), limits), "key".to_owned());
        let lease = Arc::new(Lease::new(runtime.clone(), runtime.now(), ttl));
        let (watcher, _task) = Watcher::new();
        let namespace = Namespace::new(&"n".parse().unwrap());
        Arc::new(Queue::new(SessionId::new(1), namespace, Arc::new(connection), lease, runtime, watcher))
    }

    /// The watch on the end of that session opens, for the first time or once more.
    pub(in crate::queue) fn opens(queue: &Arc<Queue>, session: SessionId) {
        let watched = locked(&queue.lives).get(&session).map(|life| life.watched.clone()).unwrap();
        Watched { queue: Arc::downgrade(queue), session, watched }.opened();
    }

    /// Has the end of that session watched from now on.
    pub(in crate::queue) fn watch(queue: &Arc<Queue>, session: SessionId) {
        let mut watches = Box::pin(queue.watch_life(session));
        let mut context = Context::from_waker(Waker::noop());
        assert!(watches.as_mut().poll(&mut context).is_pending());
        opens(queue, session);
    }

    #[tokio::test]
    async fn who_waits_for_the_watch_of_a_session_that_ends_watches_it_anew() {
        let (queue, other) = (queue(), SessionId::new(2));
        let mut watches = Box::pin(queue.watch_life(other));
        let mut context = Context::from_waker(Waker::noop());
        assert!(watches.as_mut().poll(&mut context).is_pending());
        queue.session_ended(other);
        assert!(locked(&queue.lives).is_empty());
        assert!(watches.as_mut().poll(&mut context).is_pending());
        assert!(locked(&queue.lives).contains_key(&other), "it waits for a watch that was given up");
        // And goes on when that one opens.
        opens(&queue, other);
        assert!(watches.as_mut().poll(&mut context).is_ready());
    }
}
