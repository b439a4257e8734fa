//! When a tokio runtime ends. tokio panics if one of its timers is polled after that.

use std::{
    future::pending,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::{runtime::Handle, task::AbortHandle};

/// Knows whether a runtime has ended: it drops its tasks first, and this is one of them, and stops its timers afterwards.
#[derive(Debug)]
pub(super) struct End {
    has_come: Arc<RwLock<bool>>,
    task: AbortHandle,
}

/// Dropped with the task.
struct Comes(Arc<RwLock<bool>>);

impl End {
    #[expect(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]
    pub(super) fn of(runtime: &Handle) -> Self {
        let has_come = Arc::default();
        // Made here and not at the first poll: a runtime that ends may never come to that.
        let comes = Comes(Arc::clone(&has_come));
        let task = runtime.spawn(async move {
            let _comes = comes;
            pending::<()>().await;
        });
        Self { has_come, task: task.abort_handle() }
    }

    /// What a timer's `poll` tells; `None` once the runtime has ended, which waits for a poll under way.
    pub(super) fn unless_it_has_come<R>(&self, poll: impl FnOnce() -> R) -> Option<R> {
        let has_come = self.has_come.read().unwrap_or_else(PoisonError::into_inner);
        (!*has_come).then(poll)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Comes {
    fn drop(&mut self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}
