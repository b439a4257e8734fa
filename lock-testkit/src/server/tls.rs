//! Servers that speak TLS with their clients.

use std::path::PathBuf;

/// What servers show to clients, and what they ask of them.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The file of the servers' certificate.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// The file of the authority that signs clients' certificates, when each client must have one.
    pub clients: Option<PathBuf>,
}
