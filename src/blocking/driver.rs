//! The runtime behind a coordinator, and whatever is driven by it.

use std::sync::Arc;

use lock_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::Coordinator;

/// A coordinator with a runtime of its own. All handles that come from it keep it.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) coordinator: Coordinator,
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Driver {
    /// Opens a coordinator on a runtime of its own.
    pub(super) fn start(opening: impl Future<Output = Result<Coordinator>>) -> Result<Arc<Self>> {
        const CONNECT: &str = "connect";
        refuse_inside_async(CONNECT)?;
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("yourturn").enable_all().build();
        let runtime = runtime.map_err(|source| {
            let error = Error::new(ErrorKind::RuntimeStopped, "there is no thread to be had for a runtime");
            error.with_source(source).during(CONNECT)
        })?;
        let coordinator = match runtime.block_on(opening) {
            Ok(coordinator) => coordinator,
            Err(error) => {
                // To drop it would wait for a resolver that does not answer, long after the connect timeout.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Arc::new(Self { coordinator, handle: runtime.handle().clone(), runtime: Some(runtime) }))
    }

    /// Waits for what `future` comes to.
    pub(super) fn wait<T>(
        &self,
        operation: &'static str,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        refuse_inside_async(operation)?;
        self.handle.block_on(future)
    }
}

/// tokio would panic, or a thread would wait that has to drive the one that it waits for.
fn refuse_inside_async(operation: &'static str) -> Result<()> {
    if Handle::try_current().is_err() {
        return Ok(());
    }
    let message = "this would block a thread of an async runtime; use the async API there";
    Err(Error::new(ErrorKind::InsideAsync, message).during(operation))
}

impl Drop for Driver {
    /// On its own thread: whoever drops the last handle may be in a hurry, or inside an async runtime.
    #[expect(clippy::disallowed_methods, reason = "the task that ends the runtime has to own it")]
    fn drop(&mut self) {
        let (coordinator, runtime) = (self.coordinator.clone(), self.runtime.take());
        self.handle.spawn(async move {
            // What could not be told to the store, the ttl will.
            let _told = coordinator.close().await;
            drop(coordinator);
            runtime.map(Runtime::shutdown_background)
        });
    }
}

/// Something that a coordinator handed out, and the runtime that drives it.
#[derive(Clone, Debug)]
pub(super) struct Driven<T> {
    pub(super) inner: T,
    pub(super) driver: Arc<Driver>,
}

impl<T> Driven<T> {
    /// Waits for what a call of it comes to.
    pub(super) fn wait<'a, U, F: Future<Output = Result<U>>>(
        &'a self,
        operation: &'static str,
        call: impl FnOnce(&'a T) -> F,
    ) -> Result<U> {
        self.driver.wait(operation, call(&self.inner))
    }

    /// Waits for what becomes of it.
    pub(super) fn end<U, F: Future<Output = Result<U>>>(
        self,
        operation: &'static str,
        call: impl FnOnce(T) -> F,
    ) -> Result<U> {
        self.driver.wait(operation, call(self.inner))
    }

    /// What came from it is driven by the same runtime.
    pub(super) fn beside<U>(&self, inner: U) -> Driven<U> {
        Driven { inner, driver: self.driver.clone() }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Driven<U> {
        Driven { inner: change(self.inner), driver: self.driver }
    }
}
