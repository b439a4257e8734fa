//! TLS with both stores in one process.
//!
//! Each brings along a cryptography of its own, and rustls, which both use, panics when it has to choose.
#![allow(clippy::unwrap_used)]

use yourturn::{Coordinator, ErrorKind};

/// Whom nobody needs to believe here.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBbzCCARWgAwIBAgIUQXgHxmsdGoBiSpWILucfe7fazqYwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwHhcNMjYxMTI3MDUzMjMyWhcNMjYxMjI3MDUzMjMyWjAN
MQswCQYDVQQDDAJjYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIa8+5/upj7V
6I7eC7JFy0RLSkaWgMuiHPyf8ttzsENuvl9+RwBP3LKEn3P70zOPtmyxWgztUpcA
4V1Cj9rk/HejUzBRMB0GA1UdDgQWBBSXetcutxe9nF1IVrmBPu/xMS1/YDAfBgNV
HSMEGDAWgBSXetcutxe9nF1IVrmBPu/xMS1/YDAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0gAMEUCIQC3T4V6zwCRuhXCgNZCq49c/an14aNsUz1yW9Vo0Oee
agIgAm3x/wO/PCdtzs53RQSFDIxTK44PmFrD//0ngZCSgoY=
-----END CERTIFICATE-----
";

#[tokio::test]
async fn c13_a_server_that_is_not_there_is_an_error_in_whichever_store_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, AUTHORITY).unwrap();
    // Nobody listens once it is dropped.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["etcd", "zk", "etcd", "zk"] {
        let uri = format!("{scheme}://{nobody}?ca={}&connect_timeout=300ms", authority.display());
        let error = Coordinator::connect(&uri).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{scheme}: {error}");
    }
}
