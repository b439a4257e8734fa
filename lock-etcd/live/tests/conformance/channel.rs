//! What goes wrong between a client and its etcd: a channel that loses requests and replies, or has them come late, or
//! renewals.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use http_body::Frame;
use tonic::body::Body;
use tower::{BoxError, Service, ServiceExt};

type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// What is to go wrong for one client.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    /// How many replies still come through before one is lost.
    lose_after: Option<u64>,
    /// How many replies have been lost.
    lost: u64,
    /// How many requests still go through before one is lost.
    lose_request_after: Option<u64>,
    /// How many requests still go through before one is late.
    delay_request_after: Option<u64>,
    /// The request that is late.
    late: Option<(tonic::transport::Channel, Request)>,
    /// The next reply is to be held back.
    hold_next: bool,
    /// A reply is held back.
    held: bool,
    frozen: bool,
    /// Who waits for any of this to change.
    waiting: Vec<Waker>,
}

impl Faults {
    pub(crate) fn lose_reply(&self, after: u64) {
        self.0.lock().unwrap().lose_after = Some(after);
    }

    pub(crate) fn lost_replies(&self) -> u64 {
        self.0.lock().unwrap().lost
    }

    pub(crate) fn lose_request(&self, after: u64) {
        self.0.lock().unwrap().lose_request_after = Some(after);
    }

    /// Keeps a request until it is [delivered](Self::deliver), and tells who made it that there is no answer.
    pub(crate) fn delay_request(&self, after: u64) {
        self.0.lock().unwrap().delay_request_after = Some(after);
    }

    /// Has the request come that was kept, and waits for what becomes of it.
    pub(crate) async fn deliver(&self) {
        let late = self.0.lock().unwrap().late.take();
        let (channel, request) = late.expect("a request is late");
        channel.oneshot(request).await.unwrap();
    }

    pub(crate) fn freeze_renewals(&self, frozen: bool) {
        self.change(|plan| plan.frozen = frozen);
    }

    /// Holds the next reply back until it is [let go](Self::let_go).
    pub(crate) fn hold_reply(&self) {
        self.0.lock().unwrap().hold_next = true;
    }

    /// Waits until a reply is held back.
    pub(crate) async fn held_a_reply(&self) {
        poll_fn(|cx| self.poll_until(cx, |plan| plan.held)).await;
    }

    pub(crate) fn let_go(&self) {
        self.change(|plan| plan.held = false);
    }

    /// Holds the reply that has just come back, if it is the one.
    async fn hold_if_due(&self) {
        if std::mem::take(&mut self.0.lock().unwrap().hold_next) {
            self.change(|plan| plan.held = true);
            poll_fn(|cx| self.poll_until(cx, |plan| !plan.held)).await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.0.lock().unwrap();
        change(&mut plan);
        plan.waiting.drain(..).for_each(Waker::wake);
    }

    fn poll_until(&self, cx: &Context<'_>, is_so: impl Fn(&Plan) -> bool) -> Poll<()> {
        let mut plan = self.0.lock().unwrap();
        if is_so(&plan) {
            return Poll::Ready(());
        }
        plan.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the reply that has just come is to be lost.
    fn loses_reply(&self) -> bool {
        let mut plan = self.0.lock().unwrap();
        let lost = counts_down(&mut plan.lose_after);
        plan.lost += u64::from(lost);
        lost
    }

    /// Whether the request that is just made is to be lost.
    fn loses_request(&self) -> bool {
        counts_down(&mut self.0.lock().unwrap().lose_request_after)
    }

    /// Whether the request that is just made is late.
    fn delays_request(&self) -> bool {
        counts_down(&mut self.0.lock().unwrap().delay_request_after)
    }

    fn poll_thawed(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(cx, |plan| !plan.frozen)
    }
}

/// One less is left; whether it was none before.
fn counts_down(left: &mut Option<u64>) -> bool {
    let none = *left == Some(0);
    *left = left.and_then(|left| left.checked_sub(1));
    none
}

/// A channel to etcd with faults.
#[derive(Clone)]
pub(crate) struct Faulty {
    pub(crate) inner: tonic::transport::Channel,
    pub(crate) faults: Arc<Faults>,
}

impl Service<Request> for Faulty {
    type Response = Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        let path = request.uri().path();
        // The read that goes with each renewal comes whenever it does: it is none of those that tests count.
        let loses = path.starts_with("/etcdserverpb.KV/") && !path.ends_with("/Range");
        let renews = path.ends_with("/LeaseKeepAlive");
        let request = if renews {
            let faults = faults.clone();
            request.map(|body| Body::new(Held { body, faults }))
        } else {
            request
        };
        Box::pin(async move {
            if loses && faults.loses_request() {
                return Ok(tonic::Status::unavailable("the request was lost").into_http());
            }
            if loses && faults.delays_request() {
                faults.0.lock().unwrap().late = Some((inner, request));
                return Ok(tonic::Status::unavailable("the request is late").into_http());
            }
            let response = inner.oneshot(request).await?;
            // Its reply is there, so what was asked for is done.
            if loses {
                faults.hold_if_due().await;
            }
            if loses && faults.loses_reply() {
                return Ok(tonic::Status::unavailable("the reply was lost").into_http());
            }
            Ok(response)
        })
    }
}

/// A stream of renewals that is held back while they are frozen.
struct Held {
    body: Body,
    faults: Arc<Faults>,
}

impl http_body::Body for Held {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        std::task::ready!(self.faults.poll_thawed(cx));
        Pin::new(&mut self.body).poll_frame(cx)
    }
}
