//! Which ensemble, and where in it.

use std::{fmt, time::Duration};

use lock_core::{Error, ErrorKind, Name, Result, Uri, UriOptions};
use lock_tls::Tls;
use percent_encoding::percent_decode_str;

/// How a ZooKeeper ensemble is reached.
///
/// As a URI: `zk://user:password@host1:2181,host2:2181/namespace?session_timeout=15s&tick=2s`. Everything but
/// one host may be left out; a host without a port gets 2181, also with TLS, for which servers have another
/// one (`secureClientPort`). User, password and namespace, which is a path of nodes, may be percent-encoded.
///
/// | option | default | |
/// |---|---|---|
/// | `session_timeout` | `10s` | another name of `ttl`, as ZooKeeper calls it |
/// | `tls` | `false` | whether connections are encrypted, and servers proved to be what they say |
/// | `ca` | the system's authorities | the file (PEM) of the authorities that may sign the servers' certificates |
/// | `cert`, `key` | none | the files (PEM) of a client certificate and its key: [`Config::tls`] says whose nodes are then |
/// | `layout` | `native` | how locks lie in the ensemble: `native`, `curator` or `kazoo` ([`Layout`]) |
/// | `tick` | at most half the ttl | the ensemble's `tickTime`: [`Config::tick`] |
/// | `connect_timeout` | `5s` | for how long a session may take to open |
///
/// `ca`, `cert` and `key` turn TLS on; with `tls=false` they are an error. TLS needs the feature `tls` of this
/// crate (`zookeeper-tls` of the facade).
#[derive(Clone)]
#[must_use]
pub struct Config {
    servers: Vec<String>,
    pub(crate) namespace: Option<Name>,
    pub(crate) layout: Layout,
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) tick: Option<Duration>,
    pub(crate) connect_timeout: Duration,
}

/// How locks lie in ZooKeeper. Those of different layouts never meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// The queue of this library, at a constant cost per turn (`docs/zookeeper-protocol.md`).
    #[default]
    Native,
    /// As Curator's `InterProcessMutex` and `LeaderSelector` do it, to take turns with them
    /// (`docs/zookeeper-layouts.md`).
    ///
    /// - Names go in as they are: `mutex("billing")` and `new InterProcessMutex(client, "/billing")` exclude
    ///   each other. With the namespace `eu` that is `/eu/billing`.
    /// - Kinds share names, and a name must not lie inside another.
    /// - Mutexes, elections and tasks, and read-write locks (`InterProcessReadWriteLock`), without downgrading.
    ///   To join costs more the longer the queue is: it is listed once.
    Curator,
    /// As kazoo's `Lock` and `Election` do it, to take turns with them. Otherwise as with
    /// [`Curator`](Self::Curator), but that a lock's node stays when nobody is in line, and that there are no
    /// read-write locks.
    Kazoo,
}

const LAYOUTS: &[(&str, Layout)] =
    &[("native", Layout::Native), ("curator", Layout::Curator), ("kazoo", Layout::Kazoo)];
const NAMESPACE: &str = "yourturn";
const PORT: &str = "2181";
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);
const TICKS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);

impl Config {
    /// The ensemble with these servers, as `host:port`, where every lock lies under the node `/yourturn`, or
    /// in the layouts of [Curator](Layout::Curator) and [kazoo](Layout::Kazoo) under none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for none, or for what is not a host.
    pub fn new<S: AsRef<str>>(servers: impl IntoIterator<Item = S>) -> Result<Self> {
        let servers: Vec<String> =
            servers.into_iter().map(|server| host_and_port(server.as_ref())).collect::<Result<_>>()?;
        if servers.is_empty() {
            return Err(invalid("an ensemble has at least one server: zk://host:2181"));
        }
        let connect_timeout = Duration::from_secs(5);
        let (layout, namespace, credentials, tls, tick) = (Layout::default(), None, None, None, None);
        Ok(Self { servers, namespace, layout, credentials, tls, tick, connect_timeout })
    }

    /// Under which node everything lies; the rules are those of a [`Name`], and its segments are nodes.
    /// Coordinators with different namespaces never meet, unless one lies in the other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]; `zookeeper` is ZooKeeper's own.
    pub fn namespace(mut self, namespace: &str) -> Result<Self> {
        let name = namespace.parse()?;
        path_of(&name)?;
        self.namespace = Some(name);
        Ok(self)
    }

    /// How locks lie in the ensemble. Default: [`Layout::Native`].
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// As whom to authenticate, by ZooKeeper's scheme `digest`. Every node that is made then belongs to this
    /// user: nobody else can read it or take a turn beside it. So all who take turns use the same
    /// credentials, and the node that the namespace lies in must let them make it, or it must be there
    /// and be theirs.
    ///
    /// ZooKeeper knows no wrong password: with another one, one is somebody else. Without [TLS](Self::tls),
    /// name and password go over the network as they are.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// Encrypts every connection, and proves that the servers are what they say. Their certificates must be
    /// valid for the hosts by which they are reached: there is no [`server_name`](Tls::server_name) here.
    ///
    /// With a client certificate, its subject (`CN=billing,O=…`) is whom ZooKeeper knows the session as, by
    /// its scheme `x509`. Every node that is made then belongs to this subject, as it would to the user of
    /// [credentials](Self::credentials); with both, to either. So all who take turns have certificates of one
    /// subject or the same credentials, or are the server's superuser. That the server does not ask for
    /// certificates (`ssl.clientAuth=none`) is an error then, if there are no credentials.
    ///
    /// A program chooses the cryptography of all that uses `rustls` in its process
    /// (`CryptoProvider::install_default`). For one that has not, the first session chooses `aws-lc-rs`.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The ensemble's `tickTime`; 1 ms to 1 min. The leader hears of a session by half a tick late, so guards
    /// are valid for longer where the tick is known to be short. Default: half the ttl, which is the most
    /// that an ensemble allows, unless its `minSessionTimeout` is set.
    ///
    /// No session of less than some 1.2 ticks can be kept up: opening one is an error
    /// ([`InvalidOption`](ErrorKind::InvalidOption)).
    ///
    /// One that is longer than what is said here makes guards outlive their sessions. Behind an observer that
    /// follows another server than the leader (`observerMasterPort`), it counts twice.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] outside these limits.
    pub fn tick(mut self, tick: Duration) -> Result<Self> {
        self.tick = Some(within("tick", &TICKS, tick)?);
        Ok(self)
    }

    /// For how long a session may take to open, all servers tried; 100 ms to 5 min. Default: 5 s. Of several servers
    /// each may take a share of it, or a sixth of the ttl, but a second in any case: one that is silent for as long,
    /// also later, is left for another.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] outside these limits.
    pub fn connect_timeout(mut self, timeout: Duration) -> Result<Self> {
        self.connect_timeout = within("connect_timeout", &TIMEOUTS, timeout)?;
        Ok(self)
    }

    /// The servers, each as `host:port`.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.servers.iter().map(String::as_str)
    }

    /// The ensemble that `zk://…` names; takes the options of this store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] or [`ErrorKind::InvalidName`] for what is malformed.
    pub fn from_uri(uri: &Uri, options: &mut UriOptions) -> Result<Self> {
        options.rename("session_timeout", "ttl")?;
        let (user, hosts) = match uri.authority().rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, uri.authority()),
        };
        let mut config = Self::new(hosts.split(',').filter(|host| !host.is_empty()))?;
        if !uri.path().is_empty() {
            config = config.namespace(&decoded(uri.path())?)?;
        }
        if let Some(user) = user {
            let (user, password) = user
                .split_once(':')
                .ok_or_else(|| invalid("credentials look like zk://user:password@host:2181"))?;
            let user = decoded(user)?;
            if user.contains(':') {
                return Err(invalid("the name of a user has no colon"));
            }
            config = config.credentials(user, decoded(password)?);
        }
        if let Some(layout) = options.choice("layout", LAYOUTS)? {
            config = config.layout(layout);
        }
        config.tls = Tls::from_uri(options, None)?;
        if let Some(tick) = options.duration("tick")? {
            config = config.tick(tick)?;
        }
        if let Some(timeout) = options.duration("connect_timeout")? {
            config = config.connect_timeout(timeout)?;
        }
        Ok(config)
    }

    /// Whether sessions are somebody's, to whom nodes can belong.
    pub(crate) fn is_somebodys(&self) -> bool {
        self.credentials.is_some() || self.tls.as_ref().is_some_and(Tls::has_identity)
    }
}

/// Not the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("servers", &self.servers)
            .field("namespace", &self.namespace)
            .field("layout", &self.layout)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("tls", &self.tls)
            .field("tick", &self.tick)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

/// The node that a namespace names.
pub(crate) fn path_of(namespace: &Name) -> Result<String> {
    if namespace.as_str().split('/').next() == Some("zookeeper") {
        return Err(Error::new(ErrorKind::InvalidName, "the node /zookeeper is ZooKeeper's own"));
    }
    Ok(format!("/{namespace}"))
}

/// The namespace of who gives none.
pub(crate) fn default_namespace() -> Result<Name> {
    NAMESPACE.parse()
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid("a part of the URI is not UTF-8 once decoded"))
}

fn within(option: &str, limits: &std::ops::RangeInclusive<Duration>, given: Duration) -> Result<Duration> {
    if limits.contains(&given) {
        return Ok(given);
    }
    let (least, most) = (limits.start(), limits.end());
    Err(invalid(format!("the option {option} is between {least:?} and {most:?}, not {given:?}")))
}

/// `host:port`
fn host_and_port(server: &str) -> Result<String> {
    let (host, port) = match server.rsplit_once(':') {
        // A bare IPv6 address has colons of its own.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (server, PORT),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if !good || port.parse::<u16>().is_err() {
        // Not repeated: it may be a part of a password.
        return Err(invalid("a server looks like 10.0.0.7:2181 or [::1]:2181"));
    }
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(uri: &str) -> Result<Config> {
        let uri: Uri = uri.parse()?;
        let mut options = uri.options();
        let config = Config::from_uri(&uri, &mut options)?;
        options.finish()?;
        Ok(config)
    }

    #[test]
    fn the_parts_come_out() {
        let config =
            config("zk://me:p%40ss@h1,h2:2182,[::1]:7/billing/eu?layout=kazoo&tick=500ms&connect_timeout=3s");
        let config = config.unwrap();
        assert_eq!(config.credentials, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!(config.servers, ["h1:2181", "h2:2182", "[::1]:7"]);
        assert_eq!(path_of(&config.namespace.unwrap()).unwrap(), "/billing/eu");
        assert_eq!(config.layout, Layout::Kazoo);
        assert_eq!((config.tick, config.connect_timeout), {
            (Some(Duration::from_millis(500)), Duration::from_secs(3))
        });
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        let config = config("zk://[::1]").unwrap();
        assert_eq!(config.servers, ["[::1]:2181"]);
        assert_eq!((config.namespace, config.layout, config.tick), (None, Layout::Native, None));
        assert_eq!(path_of(&default_namespace().unwrap()).unwrap(), "/yourturn");
    }

    #[test]
    fn any_option_of_tls_turns_it_on() {
        assert!(config("zk://h").unwrap().tls.is_none());
        assert!(config("zk://h?tls=false").unwrap().tls.is_none());
        for (options, given) in [
            ("tls=true", Tls::new()),
            ("ca=/ca.pem", Tls::new().ca("/ca.pem")),
            ("cert=/cert.pem&key=/key.pem", Tls::new().identity("/cert.pem", "/key.pem")),
        ] {
            let config = config(&format!("zk://h?{options}")).unwrap();
            assert_eq!(config.is_somebodys(), given.has_identity(), "{options}");
            assert_eq!(config.tls, Some(given), "{options}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let bad = [
            "zk://",
            "zk://h:port",
            "zk://h:99999",
            "zk://h 1",
            "zk://::1",
            "zk://hunter2@h",
            "zk://us%3Aer:hunter2@h",
            "zk://us%3Aer:hunter2@h:port",
            "zk://h/a//b",
            "zk://h/zookeeper/quota",
            "zk://h?layout=Curator",
            "zk://h?tls=yes",
            "zk://h?tls=false&ca=/ca.pem",
            "zk://h?cert=/cert.pem",
            "zk://h?key=/key.pem",
            "zk://h?server_name=zookeeper.local",
            "zk://h?tick=0s",
            "zk://h?connect_timeout=1h",
            "zk://h?conect_timeout=1s",
        ];
        for uri in bad {
            let error = config(uri).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::InvalidOption | ErrorKind::InvalidName),
                "{uri}: {error}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_password_does_not_print() {
        let printed = format!("{:?}", config("zk://me:hunter2@h").unwrap());
        assert!(printed.contains("me") && !printed.contains("hunter2"), "{printed}");
    }
}
