//! One future for several who wait for it.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, ready},
};

use tokio::sync::Notify;

use crate::{runtime::BoxFuture, sync::locked};

/// What several wait for. Whichever of them is polled goes on where another has stopped, so one that is not polled
/// keeps nobody waiting. When the last one is dropped, so is the future.
pub(super) struct Together<T> {
    /// `None` once it has ended.
    future: Mutex<Option<BoxFuture<T>>>,
    alarm: Arc<Alarm>,
}

/// Wakes all of them, when the future can go on and when it has ended.
#[derive(Default)]
struct Alarm(Notify);

impl<T> Together<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Mutex::new(Some(Box::pin(future))), alarm: Arc::default() }
    }

    /// What `settle` makes of what it comes to, for one of those who wait; `None` for the others, after that.
    /// `settle` must not wake anybody.
    pub(super) async fn end<R>(&self, mut settle: impl FnMut(T) -> R) -> Option<R> {
        let mut alarm = pin!(self.alarm.0.notified());
        poll_fn(|context| {
            // Before the future is polled: no alarm is missed.
            alarm.set(self.alarm.0.notified());
            while alarm.as_mut().poll(context).is_ready() {
                alarm.set(self.alarm.0.notified());
            }
            self.poll(&mut settle)
        })
        .await
    }

    fn poll<R>(&self, settle: impl FnOnce(T) -> R) -> Poll<Option<R>> {
        let mut future = locked(&self.future);
        let Some(under_way) = &mut *future else { return Poll::Ready(None) };
        let waker = self.alarm.clone().into();
        let outcome = ready!(under_way.as_mut().poll(&mut Context::from_waker(&waker)));
        *future = None;
        let settled = settle(outcome);
        drop(future);
        self.alarm.wake_by_ref();
        Poll::Ready(Some(settled))
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_waiters();
    }
}
