//! What must never be printed, whatever goes wrong.

use std::{
    fs, io,
    sync::{Arc, Mutex},
};

use lock_core::{Options, Uri};
use lock_etcd::{Config, Etcd, Tls};
use lock_testkit::server::etcd::EtcdOptions;
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt};

use crate::world::{BILLING, Guarded, alone, chain, open, takes_turns};

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

    let guarded = Guarded::start(EtcdOptions::default()).await;
    let password = guarded.password();
    let mine = guarded.authority.client("program").unwrap();
    let key = fs::read_to_string(&mine.key).unwrap();
    let mut printed = String::new();

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
    printed += &format!("{right:?} {:?} {uri}", Etcd::new(right.clone()));
    let (one, other) = (open(right.clone()).await.unwrap(), open(right.clone()).await.unwrap());
    takes_turns(&one, &other).await;
    printed += &format!("{one:?} {:?}", one.mutex("x").unwrap());
    for user in [one, other] {
        user.close().await.unwrap();
    }
    let swapped = Tls::new().ca(&mine.key).identity(&mine.key, &mine.certificate);
    for bad in [
        config(BILLING, WRONG).0,
        config("stranger", WRONG).0,
        config(BILLING, WRONG).0.tls(swapped),
        right.clone().tls(Tls::new().identity(&mine.key, &mine.certificate)),
        right.clone().tls(Tls::new().identity(&mine.certificate, guarded.authority.certificate())),
        right.tls(Tls::new().server_name("elsewhere")),
    ] {
        let error = open(bad).await.unwrap_err();
        printed += &format!("{error:?} {}", chain(&error));
    }
    for uri in [
        format!("etcd://{WRONG}@h"),
        format!("etcd://user:{WRONG}@h:port"),
        format!("etcd://user:{WRONG}@h@"),
        format!("etcd://user:{WRONG}/@h"),
        format!("etcd://user:{WRONG}%ff@h"),
        format!("etcd://user:{WRONG}@h?tls=yes"),
        format!("etcd://user:{WRONG}@h?cert=x"),
    ] {
        let uri: Uri = uri.parse().unwrap();
        let refused = Config::from_uri(&uri, &mut uri.options());
        printed +=
            &refused.map_or_else(|error| format!("{error:?} {}", chain(&error)), |it| format!("{it:?}"));
    }
    printed += &format!("{:?}", Options::default());

    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    // It is the log of all of that.
    for part in ["connecting", "session opened", "lock_etcd", "h2::", "rustls::"] {
        assert!(logged.contains(part), "{part}");
    }
    let line = key.lines().nth(1).unwrap();
    let bytes = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
    let escaped = password.replace('@', "%40");
    for secret in [password, &escaped, WRONG, line, &line[..20], "PRIVATE KEY"] {
        for secret in [secret.to_owned(), bytes(secret)] {
            for (where_, text) in [("printed", &printed), ("logged", &logged)] {
                let found = text.find(&secret).map(|at| text[..at].lines().last().unwrap_or_default());
                assert_eq!(found, None, "{secret:?} was {where_}");
            }
        }
    }
}

const WRONG: &str = "hunter2";
