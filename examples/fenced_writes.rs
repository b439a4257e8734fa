//! Why a lock needs a token: a holder is paused for longer than its ttl, somebody else gets the lock and
//! writes, and the first one wakes up and writes too, too late. The register refuses it.
//!
//! On etcd the register is a key in the same cluster, and writes to it go through `yourturn::etcd::transact`:
//! etcd itself carries them out only while the guard holds.
//!
//! ```text
//! cargo run --example fenced_writes [-- URI]
//! ```
//!
//! Ends by itself; the exit code is 0 only if the late write was refused and the paused holder knew that it
//! had lost the lock.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Instant,
};

use clap::Parser;
use yourturn::{Coordinator, FencingToken, Guard};

/// Shows a late write that is refused by its token.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://fenced_writes?ttl=2s")]
    uri: String,
}

/// What the lock protects.
#[derive(Debug)]
enum Register {
    /// In this process. It keeps the highest token that it has seen.
    Here(Here),
    /// A key in etcd.
    #[cfg(feature = "etcd")]
    Etcd,
}

impl Register {
    #[cfg(feature = "etcd")]
    const KEY: &str = "fenced_writes/register";

    fn beside(uri: &str) -> Self {
        match uri.split_once(':') {
            #[cfg(feature = "etcd")]
            Some(("etcd", _)) => Self::Etcd,
            _ => Self::Here(Here::default()),
        }
    }

    async fn write(&self, guard: &Guard, value: &str) -> Result<(), String> {
        match self {
            Self::Here(register) => register.write(guard.token(), value),
            #[cfg(feature = "etcd")]
            Self::Etcd => {
                let put = yourturn::etcd::client::TxnOp::put(Self::KEY, value, None);
                let written = yourturn::etcd::transact(guard, [], [put]).await;
                written.map(drop).map_err(|error| format!("refused: {error}"))
            }
        }
    }

    /// What it holds, for whoever has the lock.
    async fn read(&self, guard: &Guard) -> Result<String, Failure> {
        match self {
            Self::Here(register) => {
                guard.check()?;
                Ok(register.read())
            }
            #[cfg(feature = "etcd")]
            Self::Etcd => {
                use yourturn::etcd::client::{TxnOp, TxnOpResponse};
                let get = TxnOp::get(Self::KEY, None);
                let answers = yourturn::etcd::transact(guard, [], [get]).await?.op_responses();
                match answers.first() {
                    Some(TxnOpResponse::Get(got)) => Ok(got
                        .kvs()
                        .first()
                        .map(|kv| kv.value_str().map(str::to_owned))
                        .transpose()?
                        .unwrap_or_default()),
                    _ => Err("etcd did not answer with the register".into()),
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Here(Mutex<(String, Option<FencingToken>)>);

impl Here {
    fn write(&self, token: FencingToken, value: &str) -> Result<(), String> {
        let mut register = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, last) = &mut *register;
        match last {
            Some(last) if token < *last => Err(format!("refused: token {token} is older than {last}")),
            _ => {
                (*current, *last) = (value.to_owned(), Some(token));
                Ok(())
            }
        }
    }

    fn read(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// What the paused holder found when it woke up.
#[derive(Debug)]
struct Awake {
    believed_to_hold: bool,
    write: Result<(), String>,
}

type Failure = Box<dyn Error + Send + Sync>;

/// Takes the lock and writes; then its thread, with all that runs on it, stands still until `resume`.
#[tokio::main(flavor = "current_thread")]
async fn paused_holder(
    uri: &str,
    register: &Register,
    holding: &mpsc::Sender<FencingToken>,
    resume: &mpsc::Receiver<()>,
) -> Result<Awake, Failure> {
    let coordinator = Coordinator::connect(uri).await?;
    let guard = coordinator.mutex("register")?.lock().await?;
    register.write(&guard, "first").await.map_err(Failure::from)?;
    holding.send(guard.token())?;
    // No await: nothing is renewed meanwhile, as in a long garbage collection or a virtual machine that is
    // moved.
    resume.recv()?;
    let believed_to_hold = guard.is_valid();
    // A program that does not look, and writes all the same.
    let write = register.write(&guard, "first, again").await;
    Ok(Awake { believed_to_hold, write })
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let uri = Arguments::parse().uri;
    let register = Arc::new(Register::beside(&uri));
    let (holding, held) = mpsc::channel();
    let (resume, resumed) = mpsc::channel();
    let paused = thread::spawn({
        let (uri, register) = (uri.clone(), register.clone());
        move || paused_holder(&uri, &register, &holding, &resumed)
    });
    println!("the first holder has token {}, writes, and is paused", held.recv()?);

    let start = Instant::now();
    let coordinator = Coordinator::connect(&uri).await?;
    let guard = coordinator.mutex("register")?.lock().await?;
    register.write(&guard, "second").await.map_err(Failure::from)?;
    println!("after {:.1?} the second has token {}, and writes", start.elapsed(), guard.token());

    resume.send(())?;
    let awake = paused.join().map_err(|_| "the paused holder panicked")??;
    println!("the first wakes up; it believes that it holds the lock: {}", awake.believed_to_hold);
    println!("its write: {}", awake.write.as_ref().err().map_or("accepted", String::as_str));
    let held = register.read(&guard).await?;
    println!("the register holds {held:?}");
    guard.release().await?;
    coordinator.close().await?;
    if !awake.believed_to_hold && awake.write.is_err() && held == "second" {
        Ok(())
    } else {
        Err("the late write was not refused".into())
    }
}
