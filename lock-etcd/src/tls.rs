//! TLS with a member.

use std::io;

use lock_core::Result;
use lock_tls::Tls;
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
pub(crate) use self::with::Secure;
#[cfg(not(feature = "tls"))]
pub(crate) use self::without::Secure;

#[cfg(feature = "tls")]
mod with {
    use std::sync::Arc;

    use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
    use tokio_rustls::{TlsConnector, client::TlsStream};

    use super::{Result, TcpStream, Tls, io};

    /// As TLS calls it.
    const HTTP2: &[u8] = b"h2";

    /// Whom to believe to be a member, and who we are.
    #[derive(Clone)]
    pub(crate) struct Secure {
        config: Arc<ClientConfig>,
        server_name: Option<String>,
    }

    impl Secure {
        /// As the files are now.
        ///
        /// # Errors
        ///
        /// [`InvalidOption`](lock_core::ErrorKind::InvalidOption) with the file that cannot be used.
        pub(crate) fn read(tls: &Tls) -> Result<Self> {
            let cryptography = Arc::new(ring::default_provider());
            let pem = lock_tls::Pem::read(tls, &cryptography)?;
            let mut config = pem.client_config(cryptography)?;
            config.alpn_protocols = vec![HTTP2.to_vec()];
            Ok(Self { config: Arc::new(config), server_name: pem.server_name })
        }

        /// Proves that it is this host, or the one that was named for it.
        pub(crate) async fn shake_hands(
            &self,
            host: &str,
            stream: TcpStream,
        ) -> io::Result<TlsStream<TcpStream>> {
            // An address of IPv6 stands in brackets.
            let host = self.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
            let name = ServerName::try_from(host).map_err(io::Error::other)?.to_owned();
            let stream = TlsConnector::from(self.config.clone()).connect(name, stream).await?;
            match stream.get_ref().1.alpn_protocol() {
                Some(HTTP2) => Ok(stream),
                _ => Err(io::Error::other("what answers speaks TLS, and not HTTP/2")),
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use super::{Result, TcpStream, Tls, io};

    /// There is none.
    #[derive(Clone)]
    pub(crate) enum Secure {}

    impl Secure {
        pub(crate) fn read(_tls: &Tls) -> Result<Self> {
            Err(lock_tls::left_out("etcd", "etcd-tls", "lock-etcd"))
        }

        pub(crate) async fn shake_hands(&self, _host: &str, _stream: TcpStream) -> io::Result<TcpStream> {
            match *self {}
        }
    }
}
