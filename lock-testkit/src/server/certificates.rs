//! Certificates for servers and their clients, signed by authorities that exist as long as a test does.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, date_time_ymd,
};

use super::{ServerTls, folder::Folder};

/// An authority that servers or clients may trust. Its files are deleted when it is dropped.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: PathBuf,
    folder: Folder,
    signed: AtomicU32,
}

/// A certificate and its key, in a folder of their own, as long as the authority is there.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The file of the certificate, PEM.
    pub certificate: PathBuf,
    /// The file of the key, PEM.
    pub key: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authority").field(&self.certificate).finish()
    }
}

impl ServerTls {
    /// Servers that show this certificate, and ask for clients' of this authority.
    #[must_use]
    pub fn new(identity: &Identity, clients: Option<&Authority>) -> Self {
        Self {
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
            clients: clients.map(|authority| authority.certificate().clone()),
        }
    }
}

impl Authority {
    /// A new one, whom nobody trusts yet.
    ///
    /// # Errors
    ///
    /// When its files cannot be written.
    pub fn new() -> Result<Self, String> {
        let (mut params, key) = blank(&[], Some("an authority of tests"))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = Folder::new(None).map_err(|error| error.to_string())?;
        let certificate = folder.path().join("authority.pem");
        let signed = params.self_signed(&key).map_err(|error| error.to_string())?;
        fs::write(&certificate, signed.pem()).map_err(|error| error.to_string())?;
        Ok(Self { issuer: Issuer::new(params, key), certificate, folder, signed: AtomicU32::new(0) })
    }

    /// The file of its own certificate, PEM.
    #[must_use]
    pub const fn certificate(&self) -> &PathBuf {
        &self.certificate
    }

    /// A certificate for a server with these names or addresses.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or its files cannot be written.
    pub fn server(&self, names: &[&str]) -> Result<Identity, String> {
        let (params, key) = blank(names, SERVER)?;
        self.sign(&params, &key)
    }

    /// The same, but no longer valid.
    ///
    /// # Errors
    ///
    /// As [`server`](Self::server).
    pub fn expired(&self, names: &[&str]) -> Result<Identity, String> {
        let (mut params, key) = blank(names, SERVER)?;
        params.not_after = date_time_ymd(2000, 1, 1);
        self.sign(&params, &key)
    }

    /// A certificate for a client; etcd takes its common name for the user's when it is asked to, and
    /// ZooKeeper its subject, which is "CN=" with the name.
    ///
    /// # Errors
    ///
    /// As [`server`](Self::server).
    pub fn client(&self, common_name: &str) -> Result<Identity, String> {
        let (params, key) = blank(&[], Some(common_name))?;
        self.sign(&params, &key)
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Result<Identity, String> {
        let signed = params.signed_by(key, &self.issuer).map_err(|error| error.to_string())?;
        let folder = self.folder.path().join(self.signed.fetch_add(1, Ordering::Relaxed).to_string());
        let identity = Identity { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
        let written = fs::create_dir(&folder)
            .and_then(|()| fs::write(&identity.certificate, signed.pem()))
            .and_then(|()| fs::write(&identity.key, key.serialize_pem()));
        written.map_err(|error| error.to_string())?;
        Ok(identity)
    }
}

/// Java takes no certificate of nobody, unless it says so in a special way.
const SERVER: Option<&str> = Some("a server of tests");

/// For servers and clients alike: etcd's gateway to itself shows the server's certificate as a client.
fn blank(names: &[&str], common_name: Option<&str>) -> Result<(CertificateParams, KeyPair), String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok((params, KeyPair::generate().map_err(|error| error.to_string())?))
}
