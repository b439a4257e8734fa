//! Noticing that a member says nothing any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use h2::{Ping, PingPong};
use lock_core::runtime::SharedRuntime;

use crate::heard::Heard;

/// What goes on with a member.
pub(super) struct Traffic {
    runtime: SharedRuntime,
    heard: Heard,
    /// How many requests have not been answered to the end.
    under_way: AtomicUsize,
}

/// A request that has not been answered to the end.
pub(super) struct UnderWay(Arc<Traffic>);

impl Traffic {
    pub(super) fn new(runtime: SharedRuntime) -> Arc<Self> {
        let traffic = Self { runtime, heard: Heard::default(), under_way: AtomicUsize::new(0) };
        traffic.is_heard();
        Arc::new(traffic)
    }

    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    fn is_heard(&self) {
        self.heard.at(self.runtime.now());
    }
}

impl UnderWay {
    /// The member says something.
    pub(super) fn is_heard(&self) {
        self.0.is_heard();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns once the member has said nothing for as long as `limit`, and then has not answered a ping for as long
/// again, while something was asked of it. It is not pinged otherwise: etcd hangs up on who pings more often than it
/// asks.
pub(super) async fn noticed(pings: Option<PingPong>, traffic: Arc<Traffic>, limit: Duration) {
    // There is one, when it is asked for once.
    let Some(mut pings) = pings else { return std::future::pending().await };
    let runtime = &traffic.runtime;
    loop {
        let (now, due) = (runtime.now(), traffic.heard.last() + limit);
        if now < due {
            runtime.sleep_until(due).await;
            continue;
        }
        if traffic.under_way.load(Ordering::Relaxed) == 0 {
            runtime.sleep_until(now + limit).await;
            continue;
        }
        tokio::select! { biased;
            answer = pings.ping(Ping::opaque()) => match answer {
                Ok(_) => traffic.is_heard(),
                // The connection has ended, which its task hears, too.
                Err(_) => return,
            },
            () = runtime.sleep_until(now + limit) => return,
        }
    }
}
