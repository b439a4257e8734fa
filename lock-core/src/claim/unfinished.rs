//! Calls that outlive their callers.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::{
    error::{Error, Result},
    runtime::{BoxFuture, SharedRuntime},
    session::LostReason,
};

/// A call that must not be torn: when it is dropped half way, the runtime finishes it, and drops what it
/// returns.
pub(crate) struct Unfinished<T: Send + 'static> {
    call: Option<BoxFuture<T>>,
    runtime: SharedRuntime,
}

impl<T: Send + 'static> Unfinished<T> {
    pub(crate) fn new(runtime: &SharedRuntime, call: BoxFuture<T>) -> Self {
        Self { call: Some(call), runtime: runtime.clone() }
    }
}

impl<T: Send + 'static> Future for Unfinished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(call) = &mut self.call else { return Poll::Pending };
        let outcome = std::task::ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(outcome)
    }
}

impl<T: Send + 'static> Drop for Unfinished<T> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.runtime.spawn(Box::pin(async move { drop(call.await) }));
        }
    }
}

/// What `call` comes to, in a task of its own unless it comes to it at once. For calls that others wait for: whoever
/// asks may not be polled for a while. It goes on when the future is dropped.
pub(crate) async fn in_a_task<T: Send + 'static>(
    runtime: &SharedRuntime,
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let mut call = Box::pin(call);
    if let Poll::Ready(outcome) = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        return outcome;
    }
    let (tell, told) = oneshot::channel();
    runtime.spawn(Box::pin(async move {
        // Nobody may be listening any more.
        let _heard = tell.send(call.await);
    }));
    told.await.unwrap_or_else(|_| Err(Error::lost(LostReason::RuntimeStopped).with_unknown_effect()))
}
