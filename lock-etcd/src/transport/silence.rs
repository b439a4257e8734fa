//! Noticing that a member says nothing any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use h2::{Ping, PingPong};
use lock_core::{Moment, runtime::SharedRuntime};

use crate::heard::Heard;

/// How many pings a member is sent without having answered a request between them, and how far apart others are: etcd
/// hangs up at the third that comes within 5 s of the one before, but for the first since it has answered something
/// (`pingStrikes` in gRPC for Go; `--grpc-keepalive-min-time`), which may have met that answer on its way. A second more,
/// since one may be under way for longer than another.
const PINGS_AT_WILL: u32 = 2;
const PINGS_APART: Duration = Duration::from_secs(6);

/// What goes on with a member.
pub(super) struct Traffic {
    runtime: SharedRuntime,
    heard: Heard,
    /// Answers to requests.
    answered: Heard,
    /// How many requests have not been answered to the end.
    under_way: AtomicUsize,
}

/// A request that has not been answered to the end.
pub(super) struct UnderWay(Arc<Traffic>);

impl Traffic {
    pub(super) fn new(runtime: SharedRuntime) -> Arc<Self> {
        let (heard, answered, under_way) = Default::default();
        let traffic = Self { runtime, heard, answered, under_way };
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
        self.0.answered.at(self.0.runtime.now());
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The pings since the member has last answered a request.
struct Pinged {
    answered: Moment,
    times: u32,
    last: Moment,
}

impl Pinged {
    const fn new(start: Moment) -> Self {
        Self { answered: start, times: 0, last: start }
    }

    /// Until when the next one must wait.
    fn rest(&mut self, answered: Moment) -> Moment {
        if answered > self.answered {
            (self.answered, self.times) = (answered, 0);
        }
        if self.times < PINGS_AT_WILL { self.last } else { self.last + PINGS_APART }
    }

    fn once_more(&mut self, now: Moment) {
        (self.times, self.last) = (self.times + 1, now);
    }
}

/// Returns once the member has said nothing for as long as `limit`, and then has not answered a ping for as long
/// again, while something was asked of it. It is not pinged otherwise: etcd hangs up on who pings more often than it
/// asks. While it answers nothing but pings it is pinged less often than that: whoever waits for an answer has limits of
/// his own.
pub(super) async fn noticed(pings: Option<PingPong>, traffic: Arc<Traffic>, limit: Duration) {
    // There is one, when it is asked for once.
    let Some(mut pings) = pings else { return std::future::pending().await };
    let runtime = &traffic.runtime;
    let mut pinged = Pinged::new(runtime.now());
    loop {
        let rest = pinged.rest(traffic.answered.last());
        let (now, due) = (runtime.now(), rest.max(traffic.heard.last() + limit));
        if now < due {
            runtime.sleep_until(due).await;
            continue;
        }
        if traffic.under_way.load(Ordering::Relaxed) == 0 {
            runtime.sleep_until(now + limit).await;
            continue;
        }
        pinged.once_more(now);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_request_lets_two_more_pings_pass() {
        let at = |seconds| Moment::from_zero(Duration::from_secs(seconds));
        let mut pinged = Pinged::new(at(0));
        for second in 1..=2 {
            assert_eq!(pinged.rest(at(0)), at(second - 1));
            pinged.once_more(at(second));
        }
        assert_eq!(pinged.rest(at(0)), at(2) + PINGS_APART);
        assert_eq!(pinged.rest(at(4)), at(2));
        pinged.once_more(at(5));
        assert_eq!(pinged.rest(at(4)), at(5));
    }
}
