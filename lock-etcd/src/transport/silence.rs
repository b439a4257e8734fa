//! Noticing that a member says nothing any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use h2::{Ping, PingPong};
use lock_core::{Moment, runtime::SharedRuntime};

/// When a member was last heard of.
pub(super) struct Heard {
    runtime: SharedRuntime,
    /// In nanoseconds on the runtime's clock.
    at: AtomicU64,
}

impl Heard {
    pub(super) fn now(runtime: SharedRuntime) -> Self {
        let heard = Self { runtime, at: AtomicU64::new(0) };
        heard.again();
        heard
    }

    /// It says something.
    pub(super) fn again(&self) {
        let now = self.runtime.now().since_zero().as_nanos();
        self.at.fetch_max(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn last(&self) -> Moment {
        Moment::from_zero(Duration::from_nanos(self.at.load(Ordering::Relaxed)))
    }
}

/// Returns once the member has said nothing for as long as `limit`, and then has not answered a ping for as long
/// again. While it is heard of it is not pinged: etcd hangs up on who pings more often than it asks.
pub(super) async fn noticed(pings: Option<PingPong>, heard: Arc<Heard>, limit: Duration) {
    // There is one, when it is asked for once.
    let Some(mut pings) = pings else { return std::future::pending().await };
    let runtime = &heard.runtime;
    loop {
        let due = heard.last() + limit;
        if runtime.now() < due {
            runtime.sleep_until(due).await;
            continue;
        }
        tokio::select! { biased;
            answer = pings.ping(Ping::opaque()) => match answer {
                Ok(_) => heard.again(),
                // The connection has ended, which its task hears, too.
                Err(_) => return,
            },
            () = runtime.sleep_until(runtime.now() + limit) => return,
        }
    }
}
