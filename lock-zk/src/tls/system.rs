//! The authorities that the system trusts, as the client takes them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lock_core::Result;

/// Their certificates, in PEM.
///
/// # Errors
///
/// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) when there are none.
pub(super) fn authorities() -> Result<String> {
    Ok(lock_tls::system_authorities()?.iter().map(|certificate| pem(certificate)).collect())
}

fn pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
