//! Which members there are, and how one of them is reached.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use etcd_client::{Client, ConnectOptions};
use lock_core::{Result, runtime::SharedRuntime, sync::locked};

use crate::{config::Config, error::translated, tls::Secure, transport};

/// Where links come from.
#[derive(Clone)]
pub(crate) enum Way {
    /// The user's own client, which finds members by itself.
    Client(Arc<Client>),
    Members(Arc<Members>),
}

pub(crate) struct Members {
    config: Config,
    /// With the certificates that were read last.
    secure: Mutex<Option<Secure>>,
    /// After how much silence a member is pinged, and after how much more it is given up.
    silence: Duration,
    /// Which one comes first.
    first: u64,
}

impl Way {
    /// `ttl` says how soon silence must be noticed: within a third of it, and soon enough for who waits.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](lock_core::ErrorKind::InvalidOption) for certificates that cannot be used.
    pub(crate) fn members(config: Config, ttl: Duration, first: u64) -> Result<Self> {
        let silence = (ttl / 8).min(Duration::from_secs(10));
        let secure = Mutex::new(config.tls.as_ref().map(Secure::read).transpose()?);
        Ok(Self::Members(Arc::new(Members { config, secure, silence, first })))
    }

    /// How many members there are to choose from; unknown for the user's own client.
    pub(crate) fn choices(&self) -> Option<usize> {
        match self {
            Self::Client(_) => None,
            Self::Members(members) => Some(members.config.endpoints().len()),
        }
    }

    /// Whether a request may have to log in before it is made: with credentials, or with a client of the user's own, whatever
    /// that has.
    pub(crate) fn logs_in(&self) -> bool {
        match self {
            Self::Client(_) => true,
            Self::Members(members) => members.config.credentials.is_some(),
        }
    }

    /// A client of the member whose turn it is.
    pub(crate) async fn client(&self, number: u64, runtime: &SharedRuntime) -> Result<Client> {
        let members = match self {
            Self::Client(client) => return Ok(Client::clone(client)),
            Self::Members(members) => &**members,
        };
        let endpoint = members.endpoint(number);
        tracing::debug!(endpoint, "connecting");
        let secure = members.secure();
        let channel = transport::connect(endpoint, secure.as_ref(), members.silence, runtime).await?;
        // Logs in, when there are credentials.
        Client::from_channel(channel, Some(members.options())).await.map_err(translated)
    }

    /// What a member may want that hangs up on us.
    pub(crate) fn suspicion(&self) -> &'static str {
        let tls = match self {
            Self::Client(_) => None,
            Self::Members(members) => Some(members.config.tls.is_some()),
        };
        match tls {
            Some(false) => "does it demand TLS (tls=true)?",
            Some(true) => "does it serve without TLS, or demand a client certificate (cert, key)?",
            None => "does it demand TLS, or a client certificate?",
        }
    }

    /// Which member a link leads to, for people.
    pub(crate) fn whither(&self, number: u64) -> &str {
        match self {
            Self::Client(_) => "etcd",
            Self::Members(members) => members.endpoint(number),
        }
    }
}

impl Members {
    fn endpoint(&self, number: u64) -> &str {
        let members = self.config.endpoints().len().max(1) as u64;
        let turn = usize::try_from(self.first.wrapping_add(number) % members).unwrap_or_default();
        self.config.endpoints().nth(turn).unwrap_or_default()
    }

    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
        match &self.config.credentials {
            Some((user, password)) => options.with_user(user, password),
            None => options,
        }
    }

    /// With the certificates as they are now: they may have been renewed since the session was opened.
    fn secure(&self) -> Option<Secure> {
        let mut secure = locked(&self.secure);
        match self.config.tls.as_ref().map(Secure::read) {
            Some(Ok(fresh)) => *secure = Some(fresh),
            Some(Err(error)) => tracing::warn!(%error, "the certificates of before are used on"),
            None => {}
        }
        secure.clone()
    }
}
