//! The in-process store: a queue per line, a direct hand-off to the granted claim, no polling.
//!
//! | folder | what is in it |
//! |---|---|
//! | `queue` | one line, pure; grants as the kernel says, in constant time |
//! | `store` | all lines, cells and sessions; the "server" |
//! | `session` | one client of it: renewals, waiting |
//! | `faults` | test hooks, behind the feature `testkit` |

#[cfg(feature = "testkit")]
mod faults;
mod queue;
mod session;
mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use crate::{
    backend::{Backend, SharedSession},
    error::{Error, ErrorKind, Result},
    runtime::SharedRuntime,
    session::{Lease, SessionOptions},
    sync::locked,
    uri::Uri,
};

/// A store in this process: for programs that need turns among their own tasks with all that this library
/// adds to a mutex (tokens, inspection, eviction, election), and for tests of programs that use another store
/// in production. Cheap to clone; clones are the same store.
///
/// Every [`Mode`](crate::Mode) and every operation is there. Tokens rise as long as the process lives
/// ([`TokenScope::Process`](crate::TokenScope::Process)). A session that is no longer renewed, because its
/// runtime ended or its coordinator was abandoned, ends after its ttl: the other sessions of the store see to
/// that, or else the next who comes.
#[derive(Clone, Debug)]
pub struct Memory {
    store: Arc<store::Store>,
}

static NAMED: Mutex<BTreeMap<String, Memory>> = Mutex::new(BTreeMap::new());

impl Memory {
    /// A store of its own.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two stores are not alike: each is one place to meet")]
    pub fn new() -> Self {
        Self { store: Arc::new(store::Store::new(None)) }
    }

    /// A store whose ttls run on the clock of `runtime`, for simulations.
    #[must_use]
    pub fn with_clock(runtime: SharedRuntime) -> Self {
        Self { store: Arc::new(store::Store::new(Some(runtime))) }
    }

    /// The store that everybody in this process gets by this name; `memory://name` as a URI. It lives as long
    /// as the process, and so do its cells and its tokens' order.
    #[must_use]
    pub fn named(name: &str) -> Self {
        locked(&NAMED).entry(name.to_owned()).or_insert_with(Self::new).clone()
    }

    /// The store that `memory://name` or `memory://name/namespace` names. It has no options of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] without a name.
    pub fn from_uri(uri: &Uri) -> Result<Self> {
        if uri.authority().is_empty() {
            return Err(Error::new(ErrorKind::InvalidOption, "a store in memory has a name: memory://name"));
        }
        let name = match uri.path() {
            "" => uri.authority().to_owned(),
            path => format!("{}/{path}", uri.authority()),
        };
        Ok(Self::named(&name))
    }
}

#[async_trait]
impl Backend for Memory {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        let SessionOptions { id, ttl, runtime } = options;
        let sent = runtime.now();
        let (store, member) = (self.store.clone(), self.store.open(id, ttl)?);
        let lease = Arc::new(Lease::new(runtime.clone(), sent, ttl));
        runtime.spawn(Box::pin(session::keep(store.clone(), member.clone(), lease.clone(), runtime.clone())));
        Ok(Arc::new(session::MemorySession::new(store, member, lease, runtime)))
    }
}

#[cfg(feature = "testkit")]
pub use testkit::Residue;

/// Test hooks: what goes wrong on the way to the store, and what is left in it.
#[cfg(feature = "testkit")]
mod testkit {
    use std::{sync::atomic::Ordering, time::Duration};

    use super::{Memory, store::Member};
    use crate::{backend::Line, name::LineId, session::SessionId};

    /// How much a store holds; see [`Memory::residue`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Residue {
        /// Sessions that have not ended.
        pub sessions: usize,
        /// Claims in line.
        pub claims: usize,
        /// Lines with a claim.
        pub lines: usize,
        /// Cells with a value.
        pub cells: usize,
        /// Lines that somebody watches.
        pub observers: usize,
    }

    impl Memory {
        /// What is in the store now.
        #[must_use]
        pub fn residue(&self) -> Residue {
            self.store.residue()
        }

        /// The line as it is, without a session and uncounted.
        #[must_use]
        pub fn peek(&self, line: &LineId) -> Line {
            self.store.inspect(line)
        }

        /// How many calls of this session the store has served, renewals aside; 0 once it has ended.
        #[must_use]
        pub fn requests(&self, session: SessionId) -> u64 {
            self.member(session, |member| member.faults.requests()).unwrap_or_default()
        }

        /// How many calls the store has served, renewals aside.
        #[must_use]
        pub fn served(&self) -> u64 {
            self.store.served.load(Ordering::Relaxed)
        }

        /// Declares exclusive claims only, as a simpler store would.
        pub fn declare_exclusive_only(&self) {
            self.store.exclusive_only.store(true, Ordering::Relaxed);
        }

        /// Keeps the session's renewals from the store, or lets them through again.
        pub fn pause_renewals(&self, session: SessionId, paused: bool) {
            self.member(session, |member| member.faults.pause_renewals(paused));
        }

        /// Delays the answers to the session's renewals from now on. Tells whether it was there.
        pub fn delay_renewals(&self, session: SessionId, delay: Duration) -> bool {
            self.member(session, |member| member.faults.delay_renewals(delay)).is_some()
        }

        /// Loses a reply to this session, after so many that come through. What was asked for is done.
        pub fn lose_reply(&self, session: SessionId, after: u64) {
            self.member(session, |member| member.faults.lose_reply(after));
        }

        /// How many replies to this session have been lost.
        #[must_use]
        pub fn lost_replies(&self, session: SessionId) -> u64 {
            self.member(session, |member| member.faults.lost()).unwrap_or_default()
        }

        /// Loses every reply to this session, or none any more. Its renewals come through.
        pub fn lose_all_replies(&self, session: SessionId, all: bool) {
            self.member(session, |member| member.faults.lose_all_replies(all));
        }

        /// Delays every reply to this session from now on.
        pub fn delay_replies(&self, session: SessionId, delay: Duration) {
            self.member(session, |member| member.faults.delay_replies(delay));
        }

        /// Ends the session now, as if its ttl had passed; its owner is not told. Tells whether it was there.
        pub fn expire_now(&self, session: SessionId) -> bool {
            self.member(session, |member| self.store.expire(member)).is_some()
        }

        fn member<R>(&self, id: SessionId, act: impl FnOnce(&Member) -> R) -> Option<R> {
            self.store.member(id).map(|member| act(&member))
        }
    }
}
