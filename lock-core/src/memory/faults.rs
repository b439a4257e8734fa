//! Faults for tests: what goes wrong between a session and the store.

use std::{sync::Mutex, time::Duration};

use crate::{
    answer::Answer,
    error::{Error, ErrorKind, Result},
    runtime::SharedRuntime,
    sync::locked,
};

/// What is to go wrong for one session.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    renewals_paused: bool,
    /// How late the answers to renewals are.
    renewals_late: Duration,
    /// How many replies still come through before one is lost.
    lose_after: Option<u64>,
    lose_all: bool,
    /// How many replies have been lost.
    lost: u64,
    delay: Duration,
    /// How many calls the store has served.
    requests: u64,
}

impl Faults {
    pub(super) fn pause_renewals(&self, paused: bool) {
        locked(&self.0).renewals_paused = paused;
    }

    pub(super) fn renewals_paused(&self) -> bool {
        locked(&self.0).renewals_paused
    }

    pub(super) fn delay_renewals(&self, delay: Duration) {
        locked(&self.0).renewals_late = delay;
    }

    pub(super) fn renewals_late(&self) -> Duration {
        locked(&self.0).renewals_late
    }

    pub(super) fn lose_reply(&self, after: u64) {
        locked(&self.0).lose_after = Some(after);
    }

    pub(super) fn lost(&self) -> u64 {
        locked(&self.0).lost
    }

    pub(super) fn lose_all_replies(&self, all: bool) {
        locked(&self.0).lose_all = all;
    }

    pub(super) fn delay_replies(&self, delay: Duration) {
        locked(&self.0).delay = delay;
    }

    pub(super) fn requests(&self) -> u64 {
        locked(&self.0).requests
    }

    /// Takes a reply on its way to the client: what was done is done, whatever becomes of the reply.
    pub(super) fn on_reply<T: Send + 'static>(&self, runtime: &SharedRuntime, reply: Result<T>) -> Answer<T> {
        let mut plan = locked(&self.0);
        plan.requests += 1;
        let lost = plan.lose_all || plan.lose_after == Some(0);
        plan.lost += u64::from(lost);
        plan.lose_after = plan.lose_after.and_then(|left| left.checked_sub(1));
        let reply = if lost {
            Err(Error::new(ErrorKind::Unavailable, "the reply was lost").with_unknown_effect())
        } else {
            reply
        };
        if plan.delay.is_zero() {
            return Answer::Now(reply);
        }
        let arrives = runtime.sleep_until(runtime.now() + plan.delay);
        Answer::later(async move {
            arrives.await;
            reply
        })
    }
}
