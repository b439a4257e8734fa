//! The authorities that the system trusts, as the client takes them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lock_core::Result;

use crate::config::invalid;

/// Their certificates, in PEM.
///
/// # Errors
///
/// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) when there are none.
pub(super) fn authorities() -> Result<String> {
    let found = rustls_native_certs::load_native_certs();
    if !found.errors.is_empty() {
        tracing::debug!(errors = ?found.errors, "not all of the system's authorities can be read");
    }
    if found.certs.is_empty() {
        return Err(invalid("the system knows no authorities: name a file of them with the option ca"));
    }
    Ok(found.certs.iter().map(|certificate| pem(certificate)).collect())
}

fn pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
