//! Waiting for servers.

use std::{future::Future, time::Duration};

use lock_core::runtime::{Moment, Runtime};

/// How long servers may take to become what they are bound to become. It takes a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often they are looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(20);

/// Looks again and again at something that is bound to happen.
pub(super) struct Patience<'a> {
    runtime: &'a dyn Runtime,
    end: Moment,
}

impl<'a> Patience<'a> {
    pub(super) fn new(runtime: &'a dyn Runtime) -> Self {
        Self { runtime, end: runtime.now() + PATIENCE }
    }

    /// Waits for a moment; false when it has been a minute.
    pub(super) async fn lasts(&self) -> bool {
        let now = self.runtime.now();
        self.runtime.sleep_until(now + GLANCE).await;
        now < self.end
    }
}

/// Which of the servers leads, once exactly one says so and it is not `former`; none when that takes more
/// than a minute.
pub(super) async fn leader<'a, S, F: Future<Output = bool>>(
    runtime: &dyn Runtime,
    servers: &'a [S],
    former: Option<usize>,
    leads: impl Fn(&'a S) -> F,
) -> Option<usize> {
    let patience = Patience::new(runtime);
    while patience.lasts().await {
        let mut leading = Vec::new();
        for (number, server) in servers.iter().enumerate() {
            if leads(server).await {
                leading.push(number);
            }
        }
        if let [leader] = leading.as_slice()
            && Some(*leader) != former
        {
            return Some(*leader);
        }
    }
    None
}
