//! When a member was last heard of.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use lock_core::Moment;

/// The last time, in nanoseconds on the runtime's clock; its zero before the first.
#[derive(Debug, Default)]
pub(crate) struct Heard(AtomicU64);

impl Heard {
    /// It said something then.
    pub(crate) fn at(&self, moment: Moment) {
        let nanos = u64::try_from(moment.since_zero().as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Moment {
        Moment::from_zero(Duration::from_nanos(self.0.load(Ordering::Relaxed)))
    }
}
