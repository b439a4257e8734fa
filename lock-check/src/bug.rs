//! Which [bug](lock_core::bug) a test program seeds into itself: the one that `YOURTURN_BUG` names, so that a
//! program seeds the same one into the processes that it starts.

use lock_core::bug::Bug;

/// Names a bug to seed.
pub const VARIABLE: &str = "YOURTURN_BUG";

/// Seeds what the environment asks for. Whatever runs tests calls it before it opens anything.
///
/// # Panics
///
/// When there is no bug of that name: a test that looks for it would pass for the wrong reason.
#[expect(clippy::panic, reason = "for test programs, which have nobody to give an error to")]
pub fn seed() {
    let Some(name) = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()) else { return };
    match Bug::ALL.iter().find(|bug| bug.to_string() == name) {
        Some(bug) => bug.seed(),
        None => panic!("{VARIABLE}={name}: there is no such bug; there are {:?}", Bug::ALL),
    }
}
