//! One member of the cluster at a time, and another when it does not answer.
//!
//! The client's own balancer sends each request to a random member, one that has gone silent included, and
//! its keepalive pings on idle connections break the server's rules about pings. A session talks to one
//! member: its renewals, its watches and its requests are one conversation, and when that falls silent, all
//! of them move on together.

use std::{sync::Arc, time::Duration};

use etcd_client::Client;
use lock_core::{Error, ErrorKind, Moment, Result, runtime::SharedRuntime, sync::Signal};

use crate::{
    error::{is_an_answer, translated},
    heard::Heard,
    task::in_a_task,
    way::Way,
};

/// The link in use, and what the next one is made with.
pub(crate) struct Links {
    pub(crate) way: Way,
    pub(crate) runtime: SharedRuntime,
    pub(crate) limits: Limits,
    state: Signal<Linked>,
}

#[derive(Default)]
struct Linked {
    /// The number of the link in use, or of the next one.
    number: u64,
    /// None before the first request and after one was given up.
    link: Option<Arc<Link>>,
    /// One is being made.
    making: bool,
    /// Whether there has been one: before, nobody waits for us, and many may log in at once, which etcd makes
    /// expensive.
    before: bool,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// To connect to one member for the first time, and to log in.
    pub(crate) connect_timeout: Duration,
    /// The same later on.
    pub(crate) reconnect_timeout: Duration,
    /// For a member to answer a request.
    pub(crate) request_timeout: Duration,
}

/// A connection to one member.
pub(crate) struct Link {
    pub(crate) client: Client,
    number: u64,
    /// When the member last answered a request.
    heard: Heard,
}

impl Link {
    /// The member has answered a request.
    pub(crate) fn heard(&self, runtime: &SharedRuntime) {
        self.heard.at(runtime.now());
    }

    /// Whether the member has answered a request since then, which one that is stuck does not.
    pub(crate) fn heard_since(&self, sent: Moment) -> bool {
        self.heard.last() > sent
    }
}

impl Links {
    pub(crate) fn new(way: Way, runtime: SharedRuntime, limits: Limits) -> Arc<Self> {
        Arc::new(Self { way, runtime, limits, state: Signal::default() })
    }

    /// The link in use, or a new one.
    pub(crate) async fn link(self: &Arc<Self>) -> Result<Arc<Link>> {
        loop {
            let (link, begins) = self.state.update_silently(|state| {
                let begins = state.link.is_none() && !state.making;
                state.making |= begins;
                (state.link.clone(), begins)
            });
            match link {
                Some(link) => return Ok(link),
                // In a task of the session's own runtime, whoever asks: the connection's tasks live where it is made, and
                // who asks and is not polled keeps nobody else from a link.
                None if begins => {
                    let mut attempt = Attempt { links: self.clone(), made: false };
                    return in_a_task(&self.runtime, move || async move { attempt.make().await }).await;
                }
                None => self.state.wait(|state| (!state.making).then_some(())).await,
            }
        }
    }

    /// Moves on to the next member, unless that has been done. What is under way on this link is answered
    /// as unavailable.
    pub(crate) fn give_up(&self, link: &Link, why: &dyn std::fmt::Display) {
        if matches!(self.way, Way::Client(_)) {
            return;
        }
        let given_up = self.state.update(|state| {
            let in_use = state.link.is_some() && state.number == link.number;
            if in_use {
                (state.number, state.link) = (state.number + 1, None);
            }
            in_use
        });
        if given_up {
            let member = self.way.whither(link.number);
            tracing::warn!(member, %why, "the member is of no use; the next one is asked");
        }
    }

    /// Waits until the link was given up.
    pub(crate) async fn given_up(&self, link: &Link) {
        self.state.wait(|state| (state.number != link.number).then_some(())).await;
    }

    /// Asks, and moves on to another member when this one says nothing at all within `limit`.
    pub(crate) async fn ask<T, F>(
        self: &Arc<Self>,
        limit: Duration,
        call: impl FnOnce(&Client) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let runtime = &self.runtime;
        let silent = || unavailable(format!("etcd did not answer within {limit:?}"));
        let end = runtime.now() + limit;
        let link = tokio::select! { biased;
            link = self.link() => link?,
            () = runtime.sleep_until(end) => return Err(silent()),
        };
        let sent = runtime.now();
        let error = tokio::select! { biased;
            // A box, so that who waits for a link is small.
            outcome = Box::pin(call(&link.client)) => match outcome {
                Ok(value) => {
                    link.heard(runtime);
                    return Ok(value);
                }
                Err(error) => {
                    if is_an_answer(&error) {
                        link.heard(runtime);
                    }
                    translated(error)
                }
            },
            () = self.given_up(&link) => unavailable("the connection to etcd was given up"),
            () = runtime.sleep_until(end) => silent(),
        };
        // A member that answers others is slow, not gone: moving on would only cut those off.
        if error.kind() == ErrorKind::Unavailable && !link.heard_since(sent) {
            self.give_up(&link, &error);
        }
        Err(error)
    }
}

/// An attempt to make a link, one at a time. When it fails, or who asked for it has no more patience with it, another
/// member is tried next.
struct Attempt {
    links: Arc<Links>,
    made: bool,
}

impl Attempt {
    /// Within a limit, because with credentials the member is asked for a token.
    async fn make(&mut self) -> Result<Arc<Link>> {
        let Links { way, runtime, limits, state } = &*self.links;
        let (number, before) = state.read(|state| (state.number, state.before));
        let limit = if before { limits.reconnect_timeout } else { limits.connect_timeout };
        let client = tokio::select! { biased;
            client = way.client(number, runtime) => client?,
            () = runtime.sleep_until(runtime.now() + limit) => {
                return Err(unavailable(format!("no connection within {limit:?}")));
            }
        };
        let link = Arc::new(Link { client, number, heard: Heard::default() });
        self.made = true;
        state.update(|state| {
            (state.link, state.making, state.before) = (Some(link.clone()), false, true);
        });
        Ok(link)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.made {
            self.links.state.update(|state| (state.number, state.making) = (state.number + 1, false));
        }
    }
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use lock_core::runtime::{Runtime as _, TokioRuntime};

    use super::*;
    use crate::config::Config;

    /// To members of which none is there.
    pub(crate) fn links(runtime: &Arc<TokioRuntime>) -> Arc<Links> {
        links_by(Config::new(["127.0.0.1:1", "127.0.0.1:2"]).unwrap(), runtime)
    }

    pub(crate) fn links_by(config: Config, runtime: &Arc<TokioRuntime>) -> Arc<Links> {
        let limit = Duration::from_mins(1);
        let limits = Limits { connect_timeout: limit, reconnect_timeout: limit, request_timeout: limit };
        Links::new(Way::members(config, limit, 0).unwrap(), runtime.clone(), limits)
    }

    #[tokio::test]
    async fn who_has_no_more_patience_with_a_member_has_another_one_tried_next() {
        let links = links(&Arc::new(TokioRuntime::current().unwrap()));
        assert!(links.link().now_or_never().is_none());
        let tried = links.state.wait(|state| (!state.making).then_some(state.number));
        assert_eq!(tried.await, 1);
    }

    #[tokio::test]
    async fn who_asks_for_a_link_and_is_not_polled_keeps_nobody_else_from_one() {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let links = links(&runtime);
        let mut idle = pin!(links.link());
        assert!(idle.as_mut().now_or_never().is_none());
        tokio::select! { biased;
            other = links.link() => assert!(other.is_err(), "nobody is there"),
            () = runtime.sleep_until(runtime.now() + Duration::from_secs(30)) => panic!("it waits for the idle one"),
        }
        assert!(idle.await.is_err());
    }
}
