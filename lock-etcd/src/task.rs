//! Work that goes on in a task, whether or not who waits for it is polled.

use lock_core::{Error, ErrorKind, Result, runtime::SharedRuntime};
use tokio::sync::oneshot;

/// Does this in a task of its own, which ends when nobody waits for it any more; what it comes to. Not an `async fn`:
/// who waits for it is as small as can be.
pub(crate) fn in_a_task<T, W, B>(
    runtime: &SharedRuntime,
    begin: B,
) -> impl Future<Output = Result<T>> + use<T, W, B>
where
    T: Send + 'static,
    W: Future<Output = Result<T>> + Send,
    B: FnOnce() -> W + Send + 'static,
{
    let (work, outcome) = for_who_waits(begin);
    runtime.spawn(Box::pin(work));
    outcome
}

/// Work for a task to do, which ends when nobody waits for it any more, and what it comes to. It is small until it
/// begins.
pub(crate) fn for_who_waits<T, W, B>(
    begin: B,
) -> (impl Future<Output = ()> + Send + 'static, impl Future<Output = Result<T>>)
where
    T: Send + 'static,
    W: Future<Output = Result<T>> + Send,
    B: FnOnce() -> W + Send + 'static,
{
    let (mut made, making) = oneshot::channel();
    let work = async move {
        let mut work = Box::pin(begin());
        let outcome = tokio::select! { biased;
            () = made.closed() => return,
            outcome = &mut work => outcome,
        };
        let _nobody_waits = made.send(outcome);
    };
    let dropped = |_| Err(Error::new(ErrorKind::Unavailable, "the runtime has ended"));
    (work, async move { making.await.unwrap_or_else(dropped) })
}
