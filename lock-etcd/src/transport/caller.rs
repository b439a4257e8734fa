//! A request, from its head to the end of its answer.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::{Reason, RecvStream, SendStream, client::SendRequest};
use http::{
    HeaderValue, Request, Response, Uri, Version,
    header::USER_AGENT,
    uri::{Authority, Scheme},
};
use http_body::{Body as _, Frame};
use lock_core::runtime::SharedRuntime;
use tonic::body::Body;
use tower::{BoxError, Service};

use super::silence::{Traffic, UnderWay};

/// As whom gRPC wants clients to name themselves.
const NAME: HeaderValue = HeaderValue::from_static(concat!("yourturn/", env!("CARGO_PKG_VERSION")));

/// What a member is called.
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
}

/// A connection.
pub(super) struct Connected {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) origin: Origin,
    pub(super) traffic: Arc<Traffic>,
    pub(super) runtime: SharedRuntime,
}

/// Writes requests into a connection. etcd's client clones it for each request, and a [`SendRequest`] locks the
/// connection when it is cloned.
#[derive(Clone)]
pub(super) struct Caller(pub(super) Arc<Connected>);

impl Service<Request<Body>> for Caller {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connected = self.0.clone();
        Box::pin(async move { connected.ask(request).await })
    }
}

impl Connected {
    /// Dropped before its end, it takes the request back, if the member has not carried it out.
    async fn ask(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (head, body) = self.addressed(request)?;
        let under_way = self.traffic.begin();
        let (answer, stream) = self.requests.clone().send_request(head, false).map_err(broken)?;
        write(body, stream, &self.runtime)?;
        let answer = answer.await.map_err(broken)?;
        under_way.is_heard();
        Ok(answer.map(|stream| Body::new(Answer { stream, under_way, is_read: false })))
    }

    fn addressed(&self, request: Request<Body>) -> Result<(Request<()>, Body), BoxError> {
        let (mut head, body) = request.into_parts();
        let mut uri = head.uri.into_parts();
        uri.scheme = Some(self.origin.scheme.clone());
        uri.authority = Some(self.origin.authority.clone());
        head.uri = Uri::from_parts(uri)?;
        head.version = Version::HTTP_2;
        head.headers.insert(USER_AGENT, NAME);
        Ok((Request::from_parts(head, ()), body))
    }
}

/// Writes what there is; of a stream of requests, the rest as it comes. When it cannot be written, the answer says why.
fn write(mut body: Body, mut stream: SendStream<Bytes>, runtime: &SharedRuntime) -> Result<(), BoxError> {
    // One is kept back, to say with the last one that it is the last.
    let mut kept = None;
    loop {
        match next(&mut body).now_or_never() {
            Some(Some(data)) => {
                if let Some(before) = kept.replace(data?) {
                    let _the_answer_says = stream.send_data(before, false);
                }
            }
            Some(None) => {
                let _the_answer_says = stream.send_data(kept.unwrap_or_default(), true);
                return Ok(());
            }
            None => {
                let _the_answer_says = kept.map(|before| stream.send_data(before, false));
                runtime.spawn(Box::pin(write_on(body, stream)));
                return Ok(());
            }
        }
    }
}

/// Until there is no more, or nobody who reads it: who waits for the answer hears of that.
async fn write_on(mut body: Body, mut stream: SendStream<Bytes>) {
    loop {
        let data = tokio::select! { biased;
            _ = poll_fn(|context| stream.poll_reset(context)) => return,
            data = next(&mut body) => data,
        };
        let written = match data {
            Some(Ok(data)) => stream.send_data(data, false),
            Some(Err(_)) => return stream.send_reset(Reason::CANCEL),
            None => return drop(stream.send_data(Bytes::new(), true)),
        };
        if written.is_err() {
            return;
        }
    }
}

/// The next piece of a request.
async fn next(body: &mut Body) -> Option<Result<Bytes, BoxError>> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            // Requests of gRPC have no trailers.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error.into())),
        }
    }
}

/// An answer, as it comes.
struct Answer {
    stream: RecvStream,
    under_way: UnderWay,
    /// But for its trailers.
    is_read: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.is_read {
            match ready!(self.stream.poll_data(context)) {
                Some(data) => {
                    let data = data.map_err(broken)?;
                    self.under_way.is_heard();
                    self.stream.flow_control().release_capacity(data.len()).map_err(broken)?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                None => self.is_read = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(context)).map_err(broken)?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

/// What has broken the connection, where that is what happened: what TLS says is behind it.
fn broken(error: h2::Error) -> BoxError {
    if error.is_io() { of_io(error).into() } else { error.into() }
}

/// Of one that is of input and output.
pub(super) fn of_io(error: h2::Error) -> io::Error {
    error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
}
