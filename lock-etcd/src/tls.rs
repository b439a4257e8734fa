//! TLS, as etcd's client takes it.

use etcd_client::ConnectOptions;
use lock_core::Result;
use lock_tls::Tls;

/// The client's options with TLS, as the files are now.
///
/// # Errors
///
/// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) with the file that cannot be used.
#[cfg(feature = "tls")]
pub(crate) fn apply(tls: &Tls, options: ConnectOptions) -> Result<ConnectOptions> {
    use etcd_client::{Certificate, Identity, TlsOptions};

    let pem = lock_tls::Pem::read(tls, &rustls::crypto::ring::default_provider())?;
    let mut tls = match pem.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(ca)),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some((certificate, key)) = pem.identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    if let Some(name) = pem.server_name {
        tls = tls.domain_name(name);
    }
    Ok(options.with_tls(tls))
}

#[cfg(not(feature = "tls"))]
pub(crate) fn apply(_tls: &Tls, _options: ConnectOptions) -> Result<ConnectOptions> {
    Err(lock_tls::left_out("etcd", "etcd-tls", "lock-etcd"))
}
