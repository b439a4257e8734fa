//! The way to the servers: how sessions are opened and taken over.

use std::{io, time::Duration};

use async_net::TcpStream;
use futures_util::{
    future::join_all,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};
use lock_core::{
    Error, ErrorKind, Moment, Result,
    runtime::{Runtime, jitter},
};
use zookeeper_client::{Client, Connector, SessionInfo};

use crate::{config::Config, error::translated, tls::Secure, trouble::Trouble};

/// How long it may take to open a session before somebody looks what is wrong, and looks again; and how long to
/// wait, at most, before it is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// For how long a server may always be silent, unless the ttl is too short for that.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// Every server answers this, if only that it is not allowed to. One that speaks TLS takes five bytes to see
/// that these are none.
const WORD: &[u8] = b"srvr\n";

/// How the record begins in which TLS says what is wrong. No answer to a word does.
const ALERT: u8 = 0x15;

/// How one session reaches the servers.
pub(crate) struct Way {
    config: Config,
    secure: Option<Secure>,
}

impl Way {
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for certificates that cannot be used.
    pub(crate) fn new(config: Config) -> Result<Self> {
        let secure = match &config.tls {
            Some(tls) => Some(Secure::read(tls, config.servers().map(host))?),
            None => None,
        };
        Ok(Self { config, secure })
    }

    /// A new session, with the time at which it was asked for. It does not end with its client: see
    /// [`take_over`](Self::take_over). Tries until there is one, or until every server has shown that there is
    /// no use in that.
    pub(crate) async fn connect(
        &self,
        ttl: Duration,
        runtime: &dyn Runtime,
        trouble: &Trouble,
    ) -> Result<(Moment, Client)> {
        tokio::select! { biased;
            opened = self.persevere(ttl, runtime) => opened,
            error = self.hopeless(runtime, trouble) => Err(error),
        }
    }

    async fn persevere(&self, ttl: Duration, runtime: &dyn Runtime) -> Result<(Moment, Client)> {
        loop {
            let sent = runtime.now();
            // By itself, the client would try for the ttl, and nobody would know how old a session is.
            let connector =
                self.connector().with_session_timeout(ttl).with_connection_timeout(self.patience(ttl));
            let connector = connector.with_detached().with_fail_eagerly();
            match self.reach(connector).await {
                Ok(client) => return Ok((sent, client)),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::debug!(%error, "no server opens a session");
                }
                Err(error) => return Err(error),
            }
            jitter(runtime, PAUSE).await;
        }
    }

    /// That session with a client that ends it when it is dropped.
    pub(crate) async fn take_over(&self, session: SessionInfo) -> Result<Client> {
        let timeout = self.config.connect_timeout;
        self.reach(self.connector().with_session(session).with_session_timeout(timeout)).await
    }

    /// How long a server may be silent before another one is tried. When less than half of them are, somebody
    /// answers before a session must be open. And one that lives may meet two that are silent, one after the other,
    /// before its guards end: they are valid for another 44 % of the ttl at least.
    ///
    /// The client pings when three eighths of it have passed. Silence of less than a second is no reason to leave.
    fn patience(&self, ttl: Duration) -> Duration {
        let servers = u32::try_from(self.config.servers().len()).unwrap_or(u32::MAX);
        let share = self.config.connect_timeout / (servers / 2 + 1);
        share.min(ttl / 6).max(LEAST_PATIENCE).min(ttl / 5 * 2)
    }

    /// Looks for certificates that have been renewed, for the connections to come.
    pub(crate) fn refresh(&self) {
        if let Some(secure) = &self.secure {
            secure.refresh();
        }
    }

    fn connector(&self) -> Connector {
        let mut connector = Client::connector();
        if let Some((user, password)) = &self.config.credentials {
            connector = connector.with_auth("digest", format!("{user}:{password}").as_bytes());
        }
        match &self.secure {
            Some(secure) => secure.apply(connector),
            None => connector,
        }
    }

    async fn reach(&self, connector: Connector) -> Result<Client> {
        let scheme = if self.secure.is_some() { "tcp+tls" } else { "tcp" };
        let servers: Vec<_> = self.config.servers().map(|server| format!("{scheme}://{server}")).collect();
        connector.connect(&servers.join(",")).await.map_err(translated)
    }

    /// Asks the servers what is wrong, and ends when that is something to give up for.
    async fn hopeless(&self, runtime: &dyn Runtime, trouble: &Trouble) -> Error {
        loop {
            runtime.sleep_until(runtime.now() + PAUSE).await;
            let verdicts = self.config.servers().map(|server| async move {
                let error = self.knock(server).await.err()?;
                trouble.note(server, error, self.secure.is_some())
            });
            let all = join_all(verdicts).await.iter().all(Option::is_some);
            if all && let Some(error) = trouble.conclude() {
                return error;
            }
        }
    }

    /// Speaks with a server as the client does, without a session that somebody had to end.
    async fn knock(&self, server: &str) -> io::Result<()> {
        let stream = TcpStream::connect(server).await?;
        match &self.secure {
            Some(secure) => ask(secure.shake_hands(host(server), stream).await?).await,
            None => ask(stream).await,
        }
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.write_all(WORD).await?;
    stream.flush().await?;
    let mut first = [0];
    match stream.read(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first == [ALERT] => Err(io::ErrorKind::ConnectionAborted.into()),
        _ => Ok(()),
    }
}

/// Of `host:port`.
fn host(server: &str) -> &str {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    host.trim_matches(['[', ']'])
}
