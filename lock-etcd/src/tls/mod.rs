//! TLS: whom to believe to be the cluster, and who we are.

#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod verdict;

use std::path::PathBuf;

use etcd_client::ConnectOptions;
use lock_core::{Result, UriOptions};

use crate::config::invalid;

#[cfg(feature = "tls")]
pub(crate) use verdict::verdict;

/// Without TLS, nothing is known of why a connection could not be made.
#[cfg(not(feature = "tls"))]
pub(crate) fn verdict(
    _cause: &(dyn std::error::Error + 'static),
) -> Option<(lock_core::ErrorKind, &'static str)> {
    None
}

/// How TLS is spoken with a cluster: by default, with members whose certificates are valid for the host that
/// was asked for and signed by an authority that the system trusts.
///
/// There is no way to leave out these checks. The files are read when a session is opened, and again for each
/// connection that it makes later: certificates may be renewed while sessions last. When they cannot be read
/// then, what was read before is used on.
///
/// Needs the feature `tls` of this crate: without it, opening a session is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Tls {
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

impl Tls {
    /// With the system's authorities, and no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities whose certificates are in this file (PEM), and no others.
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Shows this client certificate: a file with the certificate and, if there are any, those between it
    /// and its authority; and a file with its key, which is not encrypted (both PEM).
    pub fn identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// For which name or address the members' certificates must be valid, when it is not the host by which
    /// they are reached.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// What a URI says.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) for what does not fit together.
    pub(crate) fn from_uri(options: &mut UriOptions) -> Result<Option<Self>> {
        let on = match options.take("tls").as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => return Err(invalid(format!("the option tls is true or false, not {other:?}"))),
        };
        let mut file = |name| options.take(name).map(PathBuf::from);
        let (ca, certificate, key) = (file("ca"), file("cert"), file("key"));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(invalid("the options cert and key belong together: give both or neither")),
        };
        let tls = Self { ca, identity, server_name: options.take("server_name") };
        let given = tls != Self::default();
        if on == Some(false) && given {
            return Err(invalid("the options ca, cert, key and server_name need tls=true"));
        }
        Ok((on == Some(true) || given).then_some(tls))
    }

    /// The client's options with TLS, as the files are now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) with the file that cannot be used.
    #[cfg(feature = "tls")]
    pub(crate) fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions> {
        Ok(options.with_tls(files::read(self)?))
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn apply(&self, _options: ConnectOptions) -> Result<ConnectOptions> {
        Err(invalid(
            "TLS with etcd needs the feature `etcd-tls` of yourturn (`tls` of lock-etcd), which this build does not have",
        ))
    }
}

#[cfg(all(test, not(feature = "tls")))]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_tls_is_an_error_that_names_it() {
        let error = Tls::new().apply(ConnectOptions::new()).err().unwrap();
        assert_eq!(error.kind(), lock_core::ErrorKind::InvalidOption);
        assert!(error.to_string().contains("`etcd-tls`"), "{error}");
    }
}
