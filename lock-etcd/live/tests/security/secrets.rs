//! What must never be printed, whatever goes wrong.

use std::fs;

use lock_core::{Options, Uri};
use lock_etcd::{Config, Etcd, Tls};
use lock_testkit::{
    live::{Said, alone, bad_uris, close, takes_turns},
    server::etcd::EtcdOptions,
};

use crate::world::{BILLING, Guarded, open};

#[tokio::test]
async fn passwords_and_keys_are_in_no_log_no_error_and_no_debug_output() {
    alone("secrets::child", &[]).await;
}

#[tokio::test]
#[ignore = "a part of the test above"]
async fn child() {
    let mut said = Said::listen();
    let guarded = Guarded::start(EtcdOptions::default()).await;
    let password = guarded.password();
    let mine = guarded.authority.client("program").unwrap();
    let key = fs::read_to_string(&mine.key).unwrap();

    let config = |user: &str, password: &str| {
        let uri = format!(
            "etcd://{user}:{password}@{}/{BILLING}?ca={}&cert={}&key={}",
            guarded.cluster.server.endpoints()[0].trim_start_matches("https://"),
            guarded.authority.certificate().display(),
            mine.certificate.display(),
            mine.key.display(),
        );
        let uri: Uri = uri.parse().unwrap();
        let mut options = uri.options();
        let config = Config::from_uri(&uri, &mut options).unwrap();
        (config, format!("{uri:?} {options:?}"))
    };
    let (right, uri) = config(BILLING, &password.replace('@', "%40"));
    said.print(format_args!("{right:?} {:?} {uri}", Etcd::new(right.clone())));
    let (one, other) = (open(right.clone()).await.unwrap(), open(right.clone()).await.unwrap());
    takes_turns(&one, &other).await;
    said.print(format_args!("{one:?} {:?}", one.mutex("x").unwrap()));
    close([one, other]).await;
    let swapped = Tls::new().ca(&mine.key).identity(&mine.key, &mine.certificate);
    for bad in [
        config(BILLING, WRONG).0,
        config("stranger", WRONG).0,
        config(BILLING, WRONG).0.tls(swapped),
        right.clone().tls(Tls::new().identity(&mine.key, &mine.certificate)),
        right.clone().tls(Tls::new().identity(&mine.certificate, guarded.authority.certificate())),
        right.tls(Tls::new().server_name("elsewhere")),
    ] {
        said.print_error(&open(bad).await.unwrap_err());
    }
    for uri in bad_uris("etcd", WRONG) {
        let uri: Uri = uri.parse().unwrap();
        match Config::from_uri(&uri, &mut uri.options()) {
            Ok(taken) => said.print(format_args!("{taken:?}")),
            Err(error) => said.print_error(&error),
        }
    }
    said.print(format_args!("{:?}", Options::default()));

    // It is the log of all of that.
    said.tells_of(&["connecting", "session opened", "lock_etcd", "h2::", "rustls::"]);
    let line = key.lines().nth(1).unwrap();
    let escaped = password.replace('@', "%40");
    said.keeps(&[password, &escaped, WRONG, line, &line[..20], "PRIVATE KEY"]);
}

const WRONG: &str = "hunter2";
