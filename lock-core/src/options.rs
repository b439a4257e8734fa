//! How a coordinator is opened.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "testkit")]
use crate::recipe::Mutant;
use crate::{
    error::{Error, ErrorKind, Result},
    runtime::SharedRuntime,
    uri::UriOptions,
};

/// How a [`Coordinator`](crate::Coordinator) is opened, whatever its store.
///
/// As URI options: `ttl` (such as `10s` or `1m 30s`) and `owner`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    ttl: Duration,
    owner: Option<String>,
    runtime: Option<SharedRuntime>,
    #[cfg(feature = "testkit")]
    mutant: Option<Mutant>,
}

const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const MAX_OWNER_BYTES: usize = 256;

impl Default for Options {
    /// A ttl of 10 s, this process as the owner, the tokio runtime that it is opened in.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            owner: None,
            runtime: None,
            #[cfg(feature = "testkit")]
            mutant: None,
        }
    }
}

impl Options {
    /// How long the store keeps the claims of a process that went silent; 1 s to 24 h. Shorter recovers
    /// sooner from a crash, longer survives a longer pause or network fault. Default: 10 s.
    ///
    /// A store may have limits of its own. etcd takes whole seconds, and a fraction is rounded up; the least is
    /// 1.5 of its election timeouts. ZooKeeper takes 2 to 20 of its ticks, 4 s to 40 s unless it is configured
    /// otherwise. A ttl that is too short for either is an error; one that is too long for ZooKeeper is
    /// shortened.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Who is shown as holding or waiting, to people who inspect a line; 1 to 256 bytes without control
    /// characters. Default: host and process id.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Where clock, timers, tasks and random numbers come from. Default: the tokio runtime that the
    /// coordinator is opened in.
    pub fn runtime(mut self, runtime: SharedRuntime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Breaks recipes on purpose, for tests of what must notice it.
    #[cfg(feature = "testkit")]
    pub const fn mutant(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    /// Takes the options that every store has from those of a URI.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for a malformed value.
    pub fn with_uri(mut self, options: &mut UriOptions) -> Result<Self> {
        if let Some(ttl) = options.duration("ttl")? {
            self.ttl = ttl;
        }
        if let Some(owner) = options.take("owner") {
            self.owner = Some(owner);
        }
        Ok(self)
    }

    /// The options as they will be used, or why they cannot be.
    pub(crate) fn resolve(self) -> Result<Resolved> {
        if !TTL.contains(&self.ttl) {
            let message =
                format!("a ttl is between {:?} and {:?}, not {:?}", TTL.start(), TTL.end(), self.ttl);
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        let owner = self.owner.unwrap_or_else(this_process);
        if owner.is_empty() || owner.len() > MAX_OWNER_BYTES || owner.chars().any(char::is_control) {
            let message = format!("an owner is 1 to {MAX_OWNER_BYTES} bytes without control characters");
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => Arc::new(crate::runtime::TokioRuntime::current()?),
        };
        Ok(Resolved {
            ttl: self.ttl,
            owner: owner.into(),
            runtime,
            #[cfg(feature = "testkit")]
            mutant: self.mutant,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) ttl: Duration,
    pub(crate) owner: Arc<str>,
    pub(crate) runtime: SharedRuntime,
    #[cfg(feature = "testkit")]
    pub(crate) mutant: Option<Mutant>,
}

/// `host/pid`
fn this_process() -> String {
    #[cfg(unix)]
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let host = std::env::var("COMPUTERNAME").unwrap_or_else(|_| "host".to_owned());
    format!("{host}/{}", std::process::id())
}
