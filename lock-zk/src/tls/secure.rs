//! The certificates that the client uses, and a handshake that says what it keeps to itself.

use std::{io, sync::Arc};

use async_net::TcpStream;
use futures_rustls::{TlsConnector, client::TlsStream};
use lock_core::{Error, Result};
use lock_tls::{Pem, Tls};
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
};
use zookeeper_client::{Connector, TlsCa, TlsCerts, TlsDynamicCerts, TlsIdentity, TlsOptions};

use super::system;
use crate::config::invalid;

/// Whom to believe to be a server, and who we are.
pub(crate) struct Secure {
    tls: Tls,
    /// As the files were when they were read last.
    certificates: TlsDynamicCerts,
}

impl Secure {
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`](lock_core::ErrorKind::InvalidOption) with the file that cannot be used, or
    /// the host for which no certificate can be valid.
    pub(crate) fn read<'a>(tls: &Tls, mut hosts: impl Iterator<Item = &'a str>) -> Result<Self> {
        // The client would panic.
        if let Some(host) = hosts.find(|host| ServerName::try_from(*host).is_err()) {
            return Err(invalid(format!("no certificate can be valid for the host {host:?}")));
        }
        let certificates = TlsDynamicCerts::new(certificates(&Pem::read(tls, &cryptography())?)?);
        Ok(Self { tls: tls.clone(), certificates })
    }

    /// Reads the files again, for the connections to come: they may have been renewed.
    pub(crate) fn refresh(&self) {
        match Pem::read(&self.tls, &cryptography()).and_then(|pem| certificates(&pem)) {
            Ok(fresh) => self.certificates.update(fresh),
            Err(error) => tracing::warn!(%error, "the certificates of before are used on"),
        }
    }

    pub(crate) fn apply(&self, connector: Connector) -> Connector {
        connector.with_tls(TlsOptions::new().with_certs(self.certificates.clone()))
    }

    /// Does with a server what the client does, as the files are now.
    pub(crate) async fn shake_hands(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let pem = Pem::read(&self.tls, &cryptography()).map_err(io::Error::other)?;
        let name = ServerName::try_from(host).map_err(io::Error::other)?.to_owned();
        let config = pem.client_config(cryptography()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// The cryptography of this process, which the client uses too. A program may choose it; when it has not, it
/// would be chosen by what happens to be compiled in, and the client would panic if that is more than one.
fn cryptography() -> Arc<CryptoProvider> {
    if CryptoProvider::get_default().is_none() {
        // Whoever is faster has chosen.
        let _chosen = aws_lc_rs::default_provider().install_default();
    }
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// The authorities in PEM.
fn authorities(pem: &Pem) -> Result<String> {
    pem.ca.as_deref().map_or_else(system::authorities, |ca| Ok(text(ca)))
}

/// As the client takes them.
fn certificates(pem: &Pem) -> Result<TlsCerts> {
    // What it says may repeat what it read.
    fn refused(_: zookeeper_client::Error) -> Error {
        invalid("ZooKeeper's client cannot use these certificates")
    }
    let ca = TlsCa::from_pem(&authorities(pem)?).map_err(refused)?;
    let mut certificates = TlsCerts::builder().with_ca(ca);
    if let Some((certificate, key)) = &pem.identity {
        let identity = TlsIdentity::from_pem(&text(certificate), &text(key)).map_err(refused)?;
        certificates = certificates.with_identity(identity);
    }
    certificates.build().map_err(refused)
}

fn text(pem: &[u8]) -> String {
    String::from_utf8_lossy(pem).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_no_certificate_can_name_is_refused() {
        for host in ["a..b", "-a", "1.2"] {
            let error = Secure::read(&Tls::new(), [host].into_iter()).err().unwrap();
            assert_eq!(error.kind(), lock_core::ErrorKind::InvalidOption, "{error}");
            assert!(error.to_string().contains(host), "{error}");
        }
    }
}
