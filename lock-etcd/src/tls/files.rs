//! What the files of certificates and keys say. Nothing of their contents is ever printed.

use std::{fs, path::Path};

use etcd_client::{Certificate, Identity, TlsOptions};
use lock_core::{Error, Result};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
};

use super::Tls;
use crate::config::invalid;

pub(super) fn read(tls: &Tls) -> Result<TlsOptions> {
    let mut options = match &tls.ca {
        Some(file) => TlsOptions::new().ca_certificate(authorities(file)?),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        options = options.identity(identity(certificate, key)?);
    }
    if let Some(name) = &tls.server_name {
        ServerName::try_from(name.as_str()).map_err(|source| {
            invalid(format!("the option server_name is a name or an address, not {name:?}"))
                .with_source(source)
        })?;
        options = options.domain_name(name);
    }
    Ok(options)
}

fn authorities(file: &Path) -> Result<Certificate> {
    let pem = contents("ca", file)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", file, &pem)? {
        roots
            .add(certificate)
            .map_err(|source| unusable("ca", file, "holds what is no authority").with_source(source))?;
    }
    Ok(Certificate::from_pem(pem))
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let (pem, key_pem) = (contents("cert", certificate)?, contents("key", key)?);
    let chain = certificates("cert", certificate, &pem)?;
    // What the parser says may repeat what it read.
    let parsed = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| unusable("key", key, "holds no private key (PEM, not encrypted)"))?;
    CertifiedKey::from_der(chain, parsed, &ring::default_provider()).map_err(|source| {
        let of = format!("holds a key that does not fit the certificate in {}", certificate.display());
        unusable("key", key, &of).with_source(source)
    })?;
    Ok(Identity::from_pem(pem, key_pem))
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
