//! What must never be printed, whatever goes wrong.

use std::fs;

use lock_core::{Options, Uri};
use lock_testkit::live::{Said, alone, bad_uris, close, takes_turns};
use lock_zk::{Config, Tls, Zk};

use crate::{
    support::NAMESPACE,
    world::{Guarded, open, secure},
};

#[tokio::test]
async fn passwords_and_keys_are_in_no_log_no_error_and_no_debug_output() {
    alone("secrets::child", &[]).await;
}

#[tokio::test]
#[ignore = "a part of the test above"]
async fn child() {
    let mut said = Said::listen();
    let guarded = Guarded::start().await;
    let mine = guarded.authority.client("program").unwrap();
    let key = fs::read_to_string(&mine.key).unwrap();

    let config = |password: &str| {
        let uri = format!(
            "zk://billing:{password}@{}/{NAMESPACE}?ca={}&cert={}&key={}",
            secure(&guarded.cluster)[0],
            guarded.authority.certificate().display(),
            mine.certificate.display(),
            mine.key.display(),
        );
        let uri: Uri = uri.parse().unwrap();
        let mut options = uri.options();
        let config = Config::from_uri(&uri, &mut options).unwrap();
        (config, format!("{uri:?} {options:?}"))
    };
    let (right, uri) = config(&RIGHT.replace('@', "%40"));
    said.print(format_args!("{right:?} {:?} {uri}", Zk::new(right.clone()).unwrap()));
    let (one, other) = (open(right.clone()).await.unwrap(), open(right.clone()).await.unwrap());
    takes_turns(&one, &other).await;
    // Said again to the next connection.
    guarded.cluster.server.restart().await.unwrap();
    takes_turns(&one, &other).await;
    said.print(format_args!("{one:?} {:?}", one.mutex("x").unwrap()));
    close([one, other]).await;

    let swapped = Tls::new().ca(&mine.key).identity(&mine.key, &mine.certificate);
    let no_key = Tls::new().identity(&mine.certificate, guarded.authority.certificate());
    for bad in [
        config(WRONG).0.tls(guarded.tls("stranger")),
        config(WRONG).0.tls(swapped),
        right.clone().tls(no_key),
        right.clone().tls(Tls::new().ca(guarded.authority.certificate())),
        right.tls(Tls::new()),
    ] {
        said.print_error(&open(bad).await.unwrap_err());
    }
    for uri in bad_uris("zk", WRONG) {
        let uri: Uri = uri.parse().unwrap();
        match Config::from_uri(&uri, &mut uri.options()) {
            Ok(taken) => said.print(format_args!("{taken:?}")),
            Err(error) => said.print_error(&error),
        }
    }
    said.print(format_args!("{:?}", Options::default()));

    // It is the log of all of that.
    said.tells_of(&["session opened", "lock_zk", "zookeeper_client::", "succeeds to establish", "rustls::"]);
    let line = key.lines().nth(1).unwrap();
    let escaped = RIGHT.replace('@', "%40");
    said.keeps(&[RIGHT, &escaped, WRONG, line, &line[..20], "PRIVATE KEY"]);
}

const RIGHT: &str = "open@sesame";
const WRONG: &str = "hunter2";
