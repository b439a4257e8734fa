//! What must never be printed, whatever goes wrong.

use std::{
    fs, io,
    sync::{Arc, Mutex},
};

use lock_core::{Options, Uri};
use lock_zk::{Config, Tls, Zk};
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt};

use crate::{
    support::NAMESPACE,
    world::{Guarded, alone, chain, close, open, secure, takes_turns},
};

/// Everything that is logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn passwords_and_keys_are_in_no_log_no_error_and_no_debug_output() {
    // Others would decide what is logged, too.
    alone("secrets::child", &[]).await;
}

#[tokio::test]
#[ignore = "a part of the test above"]
async fn child() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    let _logging = subscriber.with_writer(log.clone()).set_default();

    let guarded = Guarded::start().await;
    let mine = guarded.authority.client("program").unwrap();
    let key = fs::read_to_string(&mine.key).unwrap();
    let mut printed = String::new();

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
    printed += &format!("{right:?} {:?} {uri}", Zk::new(right.clone()).unwrap());
    let (one, other) = (open(right.clone()).await.unwrap(), open(right.clone()).await.unwrap());
    takes_turns(&one, &other).await;
    // Said again to the next connection.
    guarded.cluster.server.restart().await.unwrap();
    takes_turns(&one, &other).await;
    printed += &format!("{one:?} {:?}", one.mutex("x").unwrap());
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
        let error = open(bad).await.unwrap_err();
        printed += &format!("{error:?} {}", chain(&error));
    }
    for uri in [
        format!("zk://{WRONG}@h"),
        format!("zk://user:{WRONG}@h:port"),
        format!("zk://user:{WRONG}@h@"),
        format!("zk://user:{WRONG}/@h"),
        format!("zk://user:{WRONG}%ff@h"),
        format!("zk://user:{WRONG}@h?tls=yes"),
        format!("zk://user:{WRONG}@h?cert=x"),
    ] {
        let uri: Uri = uri.parse().unwrap();
        let refused = Config::from_uri(&uri, &mut uri.options());
        printed +=
            &refused.map_or_else(|error| format!("{error:?} {}", chain(&error)), |it| format!("{it:?}"));
    }
    printed += &format!("{:?}", Options::default());

    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    // It is the log of all of that.
    for part in ["session opened", "lock_zk", "zookeeper_client::", "succeeds to establish", "rustls::"] {
        assert!(logged.contains(part), "{part}");
    }
    let line = key.lines().nth(1).unwrap();
    let bytes = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
    let escaped = RIGHT.replace('@', "%40");
    for secret in [RIGHT, &escaped, WRONG, line, &line[..20], "PRIVATE KEY"] {
        for secret in [secret.to_owned(), bytes(secret)] {
            for (where_, text) in [("printed", &printed), ("logged", &logged)] {
                let found = text.find(&secret).map(|at| text[..at].lines().last().unwrap_or_default());
                assert_eq!(found, None, "{secret:?} was {where_}");
            }
        }
    }
}

const RIGHT: &str = "open@sesame";
const WRONG: &str = "hunter2";
