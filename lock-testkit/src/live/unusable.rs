//! Files for TLS that cannot be used.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lock_tls::Tls;

use crate::server::certificates::Authority;

/// One of them.
#[derive(Debug)]
pub struct Unusable {
    /// The options that name it.
    pub tls: Tls,
    /// What the error must name.
    pub file: PathBuf,
    /// What the error must say of it.
    pub why: &'static str,
}

/// All of them, among files of this authority's clients; and a line of a private key, which is to be in no error.
///
/// # Panics
///
/// When they cannot be written.
#[must_use]
pub fn unusable_files(authority: &Authority) -> (Vec<Unusable>, String) {
    let (mine, other) = (authority.client("a").unwrap(), authority.client("b").unwrap());
    let (empty, folder) = (mine.key.with_file_name("empty.pem"), mine.key.parent().unwrap());
    fs::write(&empty, "").unwrap();
    let missing = Path::new("/no/such.pem");
    let secret = fs::read_to_string(&mine.key).unwrap().lines().nth(1).unwrap().to_owned();
    let broken = mine.key.with_file_name("broken.pem");
    fs::write(&broken, format!("-----BEGIN {secret}\n{secret}")).unwrap();
    let all = [
        (Tls::new().ca(missing), missing, "ca cannot be read"),
        (Tls::new().ca(folder), folder, "ca cannot be read"),
        (Tls::new().ca(&empty), &*empty, "ca holds no certificate"),
        (Tls::new().ca(&mine.key), &*mine.key, "ca holds no certificate"),
        (Tls::new().identity(missing, &mine.key), missing, "cert cannot be read"),
        (Tls::new().identity(&empty, &mine.key), &*empty, "cert holds no certificate"),
        (Tls::new().identity(&mine.certificate, missing), missing, "key cannot be read"),
        (Tls::new().identity(&mine.certificate, &empty), &*empty, "key holds no private key"),
        (Tls::new().identity(&mine.certificate, &broken), &*broken, "key holds no private key"),
        (Tls::new().identity(&mine.certificate, &other.key), &*other.key, "does not fit the certificate"),
    ];
    (all.map(|(tls, file, why)| Unusable { tls, file: file.to_owned(), why }).into(), secret)
}
