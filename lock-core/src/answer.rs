//! What a store answers: at once, or later.

use std::{
    fmt,
    future::{Future, IntoFuture, ready},
};

use crate::{error::Result, runtime::BoxFuture};

/// What a store answers to a call of a claim's life. A store at the other end of a network answers
/// [`later`](Self::later), with plain async code; one that knows at once says so, and costs no future.
///
/// The future borrows nothing. So when a caller goes away, the core hands it to the runtime, which lets it
/// finish. `.await` works on an answer as on a future.
///
/// ```
/// # use lock_core::{ClaimId, LineId, Result, backend::Answer};
/// # #[derive(Clone)]
/// # struct Client;
/// # impl Client {
/// #     async fn delete(&self, _: &LineId, _: ClaimId) -> Result<()> { Ok(()) }
/// # }
/// # struct StoreSession { client: Client }
/// # impl StoreSession {
/// fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
///     let (client, line) = (self.client.clone(), line.clone());
///     Answer::later(async move { client.delete(&line, claim).await })
/// }
/// # }
/// ```
pub enum Answer<T> {
    /// It is done, or has failed.
    Now(Result<T>),
    /// It is under way, or begins with the first poll.
    Later(BoxFuture<Result<T>>),
}

impl<T> Answer<T> {
    /// The answer that `future` comes to.
    pub fn later(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl<T: Send + 'static> IntoFuture for Answer<T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Now(outcome) => Box::pin(ready(outcome)),
            Self::Later(future) => future,
        }
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}
