//! Which etcd, as whom, and where in it.

use std::{fmt, time::Duration};

use lock_core::{Error, ErrorKind, Name, Result, Uri, UriOptions};
use lock_tls::Tls;
use percent_encoding::percent_decode_str;

/// How an etcd cluster is reached.
///
/// As a URI: `etcd://user:password@host1:2379,host2:2379/namespace?tls=true&connect_timeout=5s`. Everything
/// but one host may be left out; a host without a port gets 2379. User, password and namespace may be
/// percent-encoded.
///
/// | option | default | |
/// |---|---|---|
/// | `tls` | `false` | whether connections are encrypted, and members proved to be what they say |
/// | `ca` | the system's authorities | the file (PEM) of the authorities that may sign the members' certificates |
/// | `cert`, `key` | none | the files (PEM) of a client certificate and its key |
/// | `server_name` | the host | for which name the members' certificates must be valid |
/// | `layout` | `native` | how locks lie in the cluster: `native` or `go` ([`Layout`]) |
/// | `connect_timeout` | `5s` | for how long a session may take to open |
/// | `request_timeout` | `5s` | for how long a member may take to answer a request |
///
/// `ca`, `cert`, `key` and `server_name` turn TLS on; with `tls=false` they are an error. TLS needs the
/// feature `tls` of this crate (`etcd-tls` of the facade).
#[derive(Clone)]
#[must_use]
pub struct Config {
    endpoints: Vec<String>,
    pub(crate) namespace: Option<Name>,
    pub(crate) layout: Layout,
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

/// How locks lie in etcd. Those of different layouts never meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// The queue of this library, at a constant cost per turn (`docs/etcd-protocol.md`).
    #[default]
    Native,
    /// As Go's `concurrency.Mutex` and `concurrency.Election` do it, to take turns with them, with
    /// `etcdctl lock`, `etcdctl elect` and jetcd (`docs/etcd-go-layout.md`).
    ///
    /// - Names go in as they are: `mutex("billing")` and `etcdctl lock billing` exclude each other. With the
    ///   namespace `eu` that is `etcdctl lock eu/billing`.
    /// - A mutex's token is the revision at which it was granted, and compares with `ETCD_LOCK_REV` and Go's
    ///   `Mutex.Header().Revision`; an election's term is Go's `Election.Rev()`.
    /// - Kinds share names, and a name must not lie inside another: a lock `a` would wait for whoever holds
    ///   `a/b`. Where that is seen, it is [`ErrorKind::InvalidName`].
    /// - Exclusive claims only. A turn costs more the longer the queue is.
    Go,
}

const NAMESPACE: &str = "yourturn";
const LAYOUTS: &[(&str, Layout)] = &[("native", Layout::Native), ("go", Layout::Go)];
const PORT: &str = "2379";
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);

impl Config {
    /// The cluster with these members, as `host:port`, where every lock lies under the namespace `yourturn`,
    /// or in the [layout of Go](Layout::Go) under none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for none, or for what is not a host.
    pub fn new<S: AsRef<str>>(endpoints: impl IntoIterator<Item = S>) -> Result<Self> {
        let endpoints: Vec<String> =
            endpoints.into_iter().map(|endpoint| host_and_port(endpoint.as_ref())).collect::<Result<_>>()?;
        if endpoints.is_empty() {
            return Err(invalid("an etcd cluster has at least one endpoint: etcd://host:2379"));
        }
        let timeout = Duration::from_secs(5);
        let (connect_timeout, request_timeout) = (timeout, timeout);
        let (layout, credentials, tls) = (Layout::default(), None, None);
        Ok(Self { endpoints, namespace: None, layout, credentials, tls, connect_timeout, request_timeout })
    }

    /// Under which name everything lies in the cluster; the rules are those of a [`Name`]. Coordinators with
    /// different namespaces never meet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`].
    pub fn namespace(mut self, namespace: &str) -> Result<Self> {
        self.namespace = Some(namespace.parse()?);
        Ok(self)
    }

    /// How locks lie in the cluster. Default: [`Layout::Native`].
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// As whom to authenticate. The token is renewed when it has expired.
    ///
    /// Without [TLS](Self::tls), name and password go over the network as they are. A server that is started
    /// with `--client-cert-auth` takes a client certificate's common name for the user when none is given.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// Encrypts every connection, and proves that the members are what they say.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// For how long a session may take to open, all members tried; 100 ms to 5 min. Default: 5 s.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] outside these limits.
    pub fn connect_timeout(mut self, timeout: Duration) -> Result<Self> {
        self.connect_timeout = within_limits("connect_timeout", timeout)?;
        Ok(self)
    }

    /// For how long a member may take to answer a request before another is asked; 100 ms to 5 min. Default:
    /// 5 s. Where answers take an eighth of it, a session asks for less at a time: etcd has too much to do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] outside these limits.
    pub fn request_timeout(mut self, timeout: Duration) -> Result<Self> {
        self.request_timeout = within_limits("request_timeout", timeout)?;
        Ok(self)
    }

    /// The members, each as `host:port`.
    pub fn endpoints(&self) -> impl ExactSizeIterator<Item = &str> {
        self.endpoints.iter().map(String::as_str)
    }

    /// For how long each member is tried.
    pub(crate) fn share(&self) -> Duration {
        self.connect_timeout / u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX)
    }

    /// The cluster that `etcd://…` names; takes the options of this store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] or [`ErrorKind::InvalidName`] for what is malformed.
    pub fn from_uri(uri: &Uri, options: &mut UriOptions) -> Result<Self> {
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
                .ok_or_else(|| invalid("credentials look like etcd://user:password@host:2379"))?;
            config = config.credentials(decoded(user)?, decoded(password)?);
        }
        if let Some(layout) = options.choice("layout", LAYOUTS)? {
            config = config.layout(layout);
        }
        let server_name = options.take("server_name");
        config.tls = Tls::from_uri(options, server_name)?;
        if let Some(timeout) = options.duration("connect_timeout")? {
            config = config.connect_timeout(timeout)?;
        }
        if let Some(timeout) = options.duration("request_timeout")? {
            config = config.request_timeout(timeout)?;
        }
        Ok(config)
    }
}

/// Not the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoints", &self.endpoints)
            .field("namespace", &self.namespace)
            .field("layout", &self.layout)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

/// The namespace of who gives none.
pub(crate) fn default_namespace() -> Result<Name> {
    NAMESPACE.parse()
}

fn within_limits(option: &str, timeout: Duration) -> Result<Duration> {
    if TIMEOUTS.contains(&timeout) {
        return Ok(timeout);
    }
    let (least, most) = (TIMEOUTS.start(), TIMEOUTS.end());
    Err(invalid(format!("the option {option} is between {least:?} and {most:?}, not {timeout:?}")))
}

/// `host:port`
fn host_and_port(endpoint: &str) -> Result<String> {
    let endpoint = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let (host, port) = match endpoint.rsplit_once(':') {
        // A bare IPv6 address has colons of its own.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (endpoint, PORT),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if !good || port.parse::<u16>().is_err() {
        // Not repeated: it may be a part of a password.
        return Err(invalid("an endpoint looks like 10.0.0.7:2379 or [::1]:2379"));
    }
    Ok(format!("{host}:{port}"))
}

fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid("a part of the URI is not UTF-8 once decoded"))
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
        let config = config(
            "etcd://me:p%40ss@h1,h2:2380,[::1]:7/billing%2Feu?layout=go&connect_timeout=3s&request_timeout=1s",
        );
        let config = config.unwrap();
        assert_eq!(config.endpoints, ["h1:2379", "h2:2380", "[::1]:7"]);
        assert_eq!((config.namespace.unwrap().as_str(), config.layout), ("billing/eu", Layout::Go));
        assert_eq!(config.credentials, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!((config.connect_timeout, config.request_timeout), {
            (Duration::from_secs(3), Duration::from_secs(1))
        });
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        let config = config("etcd://[::1]").unwrap();
        assert_eq!(config.endpoints, ["[::1]:2379"]);
        assert_eq!((config.namespace, config.layout, config.credentials), (None, Layout::Native, None));
        assert_eq!(default_namespace().unwrap().as_str(), "yourturn");
    }

    #[test]
    fn any_option_of_tls_turns_it_on() {
        assert!(config("etcd://h").unwrap().tls.is_none());
        assert!(config("etcd://h?tls=false").unwrap().tls.is_none());
        let all = "ca=/ca.pem&cert=/cert.pem&key=/key.pem&server_name=etcd.local";
        for (uri, given) in [
            ("tls=true", Tls::new()),
            ("ca=/ca.pem", Tls::new().ca("/ca.pem")),
            ("tls=true&server_name=etcd.local", Tls::new().server_name("etcd.local")),
            ("cert=/cert.pem&key=/key.pem", Tls::new().identity("/cert.pem", "/key.pem")),
            (all, Tls::new().ca("/ca.pem").identity("/cert.pem", "/key.pem").server_name("etcd.local")),
        ] {
            assert_eq!(config(&format!("etcd://h?{uri}")).unwrap().tls, Some(given), "{uri}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let bad = [
            "etcd://",
            "etcd://h:port",
            "etcd://h:99999",
            "etcd://h 1",
            "etcd://::1",
            "etcd://user@h",
            "etcd://h/a//b",
            "etcd://h?connect_timeout=0s",
            "etcd://h?request_timeout=1h",
            "etcd://h?conect_timeout=1s",
            "etcd://h?layout=Go",
            "etcd://h?tls=yes",
            "etcd://h?tls=false&ca=/ca.pem",
            "etcd://h?cert=/cert.pem",
            "etcd://h?key=/key.pem",
        ];
        for uri in bad {
            let kind = config(uri).unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::InvalidOption | ErrorKind::InvalidName), "{uri}: {kind:?}");
        }
    }

    #[test]
    fn the_password_does_not_print() {
        let printed = format!("{:?}", config("etcd://me:hunter2@h").unwrap());
        assert!(printed.contains("me") && !printed.contains("hunter2"), "{printed}");
        for uri in ["etcd://me:hunt/er2@h", "etcd://me:hunter2@h:port", "etcd://hunter2@h"] {
            let printed = config(uri).unwrap_err().to_string();
            assert!(!printed.contains("hunt"), "{printed}");
        }
        let printed = Config::new(["me:hunter2@h"]).unwrap_err().to_string();
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
