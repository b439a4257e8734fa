//! Which files, as a user names them.

use std::path::PathBuf;

use lock_core::{Result, UriOptions};

use crate::invalid;

/// How TLS is spoken with a store: by default, with servers whose certificates are valid for the host that
/// was asked for and signed by an authority that the system trusts.
///
/// There is no way to leave out these checks. The files are read when a session is opened, and again when it
/// must connect anew: certificates may be renewed while sessions last. When they cannot be read then, what was
/// read before is used on.
///
/// Needs the feature `tls` of the store's crate: without it, opening a session is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) server_name: Option<String>,
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

    /// For which name or address the servers' certificates must be valid, when it is not the host by which
    /// they are reached. Not every store can do that; one that cannot refuses it.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Whether a client certificate is shown to servers that ask for one.
    #[must_use]
    pub const fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Whether certificates must be valid for another name than the host's.
    #[must_use]
    pub const fn has_server_name(&self) -> bool {
        self.server_name.is_some()
    }

    /// What a URI says: the options `tls`, `ca`, `cert` and `key`, and the name of the servers that the store
    /// has taken from it, if it can do with one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) for what does not fit together.
    pub fn from_uri(options: &mut UriOptions, server_name: Option<String>) -> Result<Option<Self>> {
        let on = options.choice("tls", &[("true", true), ("false", false)])?;
        let mut file = |name| options.take(name).map(PathBuf::from);
        let (ca, certificate, key) = (file("ca"), file("cert"), file("key"));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(invalid("the options cert and key belong together: give both or neither")),
        };
        let tls = Self { ca, identity, server_name };
        let given = tls != Self::default();
        if on == Some(false) && given {
            return Err(invalid("the other options of TLS need tls=true, which may be left out"));
        }
        Ok((on == Some(true) || given).then_some(tls))
    }
}
