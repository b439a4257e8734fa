//! The real clock.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lock_core::runtime::{Runtime as _, TokioRuntime};

/// On a machine that was never suspended, any clock that counts from boot does. `cargo xtask mutants` has this run
/// where it seems to have been.
#[tokio::test]
async fn the_clock_counts_from_boot() {
    lock_check::bug::seed();
    // /proc/uptime is the kernel's own reading of CLOCK_BOOTTIME.
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime = Duration::from_secs_f64(uptime.split(' ').next().unwrap().parse().unwrap());
    let now = TokioRuntime::current().unwrap().now().since_zero();
    assert!(
        now + Duration::from_millis(10) >= uptime && now < uptime + Duration::from_mins(1),
        "{now:?}, {uptime:?}"
    );
}
