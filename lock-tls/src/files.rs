//! What the files of certificates and keys say. Nothing of their contents is ever printed.

use std::{fmt, fs, path::Path, sync::Arc};

use lock_core::{Error, Result};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{Tls, invalid};

/// What the files of a [`Tls`] hold, as it is: PEM, which can be used.
#[derive(Clone)]
pub struct Pem {
    /// The authorities to trust; the system's when there are none.
    pub ca: Option<Vec<u8>>,
    /// The client certificate, with those between it and its authority, and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// For which name certificates must be valid; the host's when there is none.
    pub server_name: Option<String>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").finish_non_exhaustive()
    }
}

impl Pem {
    /// Reads the files, and checks that they hold what they should, by this cryptography.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) with the file that cannot be used.
    pub fn read(tls: &Tls, cryptography: &CryptoProvider) -> Result<Self> {
        let ca = tls.ca.as_deref().map(authorities).transpose()?;
        let identity = match &tls.identity {
            Some((certificate, key)) => Some(identity(certificate, key, cryptography)?),
            None => None,
        };
        if let Some(name) = &tls.server_name {
            ServerName::try_from(name.as_str()).map_err(|source| {
                invalid(format!("the option server_name is a name or an address, not {name:?}"))
                    .with_source(source)
            })?;
        }
        Ok(Self { ca, identity, server_name: tls.server_name.clone() })
    }

    /// What rustls needs to prove whom it talks to, and who we are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) when the system is to name the authorities,
    /// and knows none.
    pub fn client_config(&self, cryptography: Arc<CryptoProvider>) -> Result<ClientConfig> {
        let roots = match &self.ca {
            Some(ca) => chain(ca).collect(),
            None => system_authorities()?,
        };
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(roots);
        let unusable = |source| invalid("TLS cannot be set up like this").with_source(source);
        let config = ClientConfig::builder_with_provider(cryptography)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(authorities);
        let Some((certificate, key)) = &self.identity else {
            return Ok(config.with_no_client_auth());
        };
        // It has been parsed before; what is said may repeat what was read.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| invalid("the key is no private key"))?;
        config.with_client_auth_cert(chain(certificate).collect(), key).map_err(unusable)
    }
}

/// Those that the system trusts.
///
/// # Errors
///
/// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) when there are none.
pub fn system_authorities() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = "the system knows no authorities: name a file of them with the option ca";
        return Err(match found.errors.into_iter().next() {
            Some(source) => invalid(why).with_source(source),
            None => invalid(why),
        });
    }
    Ok(found.certs)
}

fn chain(pem: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok)
}

fn authorities(file: &Path) -> Result<Vec<u8>> {
    let pem = contents("ca", file)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", file, &pem)? {
        roots
            .add(certificate)
            .map_err(|source| unusable("ca", file, "holds what is no authority").with_source(source))?;
    }
    Ok(pem)
}

fn identity(certificate: &Path, key: &Path, cryptography: &CryptoProvider) -> Result<(Vec<u8>, Vec<u8>)> {
    let (pem, key_pem) = (contents("cert", certificate)?, contents("key", key)?);
    let chain = certificates("cert", certificate, &pem)?;
    // What the parser says may repeat what it read.
    let parsed = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| unusable("key", key, "holds no private key (PEM, not encrypted)"))?;
    CertifiedKey::from_der(chain, parsed, cryptography).map_err(|source| {
        let of = format!("holds a key that does not fit the certificate in {}", certificate.display());
        unusable("key", key, &of).with_source(source)
    })?;
    Ok((pem, key_pem))
}

fn contents(option: &str, file: &Path) -> Result<Vec<u8>> {
    // Small and local, and no more than once a connection.
    fs::read(file).map_err(|source| unusable(option, file, "cannot be read").with_source(source))
}

fn certificates(option: &str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Option<Vec<_>> = CertificateDer::pem_slice_iter(pem).map(Result::ok).collect();
    found
        .filter(|found| !found.is_empty())
        .ok_or_else(|| unusable(option, file, "holds no certificate (PEM)"))
}

fn unusable(option: &str, file: &Path, why: &str) -> Error {
    invalid(format!("the file {} of the option {option} {why}", file.display()))
}
