//! Everything that is logged and printed, to see that no secret is in it.

use std::{
    error::Error,
    fmt::Display,
    io,
    sync::{Arc, Mutex},
};

use lock_core::sync::locked;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt as _};

use super::chain;

/// What this thread logs, at any level, for as long as it lives; and what it was told was printed.
#[derive(Debug)]
pub struct Said {
    log: Log,
    printed: String,
    _logging: DefaultGuard,
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        locked(&self.0).extend(text);
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

impl Said {
    /// Listens from now on. In a process of its own ([`alone`](super::alone)): others would decide what is logged, too.
    #[must_use]
    pub fn listen() -> Self {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        let logging = subscriber.with_writer(log.clone()).set_default();
        Self { log, printed: String::new(), _logging: logging }
    }

    /// Somebody prints this.
    pub fn print(&mut self, text: impl Display) {
        self.printed += &format!("{text}\n");
    }

    /// Somebody prints this error, with its causes, and as it is shown to developers.
    pub fn print_error(&mut self, error: &(impl Error + 'static)) {
        self.print(format_args!("{error:?} {}", chain(error)));
    }

    /// Asserts that each of these is in the log, which so is one of what it should be.
    ///
    /// # Panics
    ///
    /// When one is not.
    pub fn tells_of(&self, parts: &[&str]) {
        let logged = self.logged();
        for part in parts {
            assert!(logged.contains(part), "{part} is not in the log");
        }
    }

    /// Asserts that none of these was logged or printed, neither as it is nor as a list of its bytes.
    ///
    /// # Panics
    ///
    /// When one was.
    pub fn keeps(&self, secrets: &[&str]) {
        let logged = self.logged();
        for secret in secrets {
            let bytes = format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned();
            for secret in [secret, &*bytes] {
                for (place, text) in [("printed", &self.printed), ("logged", &logged)] {
                    let found =
                        text.split_once(secret).map(|(before, _)| before.lines().last().unwrap_or_default());
                    assert_eq!(found, None, "{secret:?} was {place}");
                }
            }
        }
    }

    fn logged(&self) -> String {
        String::from_utf8_lossy(&locked(&self.log.0)).into_owned()
    }
}

/// URIs that are refused, each for another reason, with this secret in them.
#[must_use]
pub fn bad_uris(scheme: &str, secret: &str) -> [String; 7] {
    [
        format!("{scheme}://{secret}@h"),
        format!("{scheme}://user:{secret}@h:port"),
        format!("{scheme}://user:{secret}@h@"),
        format!("{scheme}://user:{secret}/@h"),
        format!("{scheme}://user:{secret}%ff@h"),
        format!("{scheme}://user:{secret}@h?tls=yes"),
        format!("{scheme}://user:{secret}@h?cert=x"),
    ]
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_secret_that_is_logged_or_printed_is_found_out() {
        let keeps = |said: &Said| catch_unwind(AssertUnwindSafe(|| said.keeps(&["hunter2"]))).is_ok();
        let mut said = Said::listen();
        tracing::trace!("opened");
        said.print("nothing");
        said.tells_of(&["opened"]);
        assert!(keeps(&said));
        said.print_error(&io::Error::other(io::Error::other("with hunter2")));
        assert!(!keeps(&said));

        let said = Said::listen();
        tracing::trace!(bytes = ?b"hunter2", "sent");
        assert!(!keeps(&said));
        catch_unwind(AssertUnwindSafe(|| said.tells_of(&["opened"]))).unwrap_err();
    }
}
