//! Under which guards the work runs that a thread polls right now. Work that waits for its own guard waits
//! for ever: while it runs, the guard cannot be released.

use std::{cell::RefCell, sync::Arc};

use crate::{
    coordinator::Shared,
    error::{Error, ErrorKind, Result},
    line::{Mode, Occupancy},
    name::LineId,
};

thread_local! {
    static ABOVE: RefCell<Vec<Above>> = const { RefCell::new(Vec::new()) };
}

/// A guard that work runs under.
pub(crate) struct Above {
    line: LineId,
    /// Whose line; only compared.
    coordinator: *const Shared,
    mode: Mode,
}

impl Above {
    pub(crate) fn new(shared: &Arc<Shared>, line: &LineId, mode: Mode) -> Self {
        Self { line: line.clone(), coordinator: Arc::as_ptr(shared), mode }
    }
}

/// Polls work under guards.
pub(crate) fn poll_under<R>(guards: impl IntoIterator<Item = Above>, poll: impl FnOnce() -> R) -> R {
    /// As many as there were before, also when the work panics.
    struct Done(usize);
    impl Drop for Done {
        fn drop(&mut self) {
            let _ended = ABOVE.try_with(|above| above.borrow_mut().truncate(self.0));
        }
    }
    // A thread that ends keeps no account any more.
    let _done = ABOVE.try_with(|above| {
        let mut above = above.borrow_mut();
        let done = Done(above.len());
        above.extend(guards);
        done
    });
    poll()
}

/// Refuses to wait for what cannot be granted before the work that asks for it has ended.
pub(crate) fn check(shared: &Arc<Shared>, line: &LineId, mode: Mode) -> Result<()> {
    let waits_for_itself = ABOVE.try_with(|above| {
        let above = above.borrow();
        let mut held = above
            .iter()
            .filter(|guard| guard.coordinator == Arc::as_ptr(shared) && guard.line == *line)
            .peekable();
        let mut occupancy = Occupancy::default();
        held.peek().is_some() && {
            held.for_each(|guard| occupancy.add(guard.mode));
            !occupancy.admits(mode)
        }
    });
    if waits_for_itself.unwrap_or(false) {
        let why =
            "the work that asks for this runs under a guard of the same line, and would wait for it for ever";
        return Err(Error::new(ErrorKind::Deadlock, why));
    }
    Ok(())
}
