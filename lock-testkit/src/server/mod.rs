//! Real servers for tests: they are killed, paused and cut off.
//!
//! A server keeps its files in a private folder, listens on ports that nobody else gets, and dies with the
//! test, however the test ends.

#[cfg(feature = "tls")]
pub mod certificates;
pub mod etcd;
mod folder;
mod http;
mod listener;
mod mesh;
mod metrics;
mod node;
mod patience;
mod process;
pub mod program;
mod socks;
mod tls;
pub mod zookeeper;

use std::{
    env,
    ffi::OsStr,
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use lock_core::runtime::Runtime;
pub use tls::ServerTls;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a server on the same machine may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// How often a whole cluster is started, when somebody takes one of its ports.
const ATTEMPTS: usize = 3;

/// The file that the variable names, else the first of this name on `PATH`.
fn find(variable: &str, name: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from).or_else(|| on_path(name))
}

/// The first file of this name on `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What `future` gives; none when that takes longer than `limit`.
async fn within<T>(runtime: &dyn Runtime, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        value = future => Some(value),
        () = runtime.sleep_until(runtime.now() + limit) => None,
    }
}

/// What a server answers to a question, when it then ends the connection.
async fn ask(runtime: &dyn Runtime, server: SocketAddr, question: &str) -> io::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(question.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    within(runtime, LIMIT, exchange).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Starts a cluster, and once more when one of its ports was taken.
async fn on_free_ports<T, F: Future<Output = Result<T, String>>>(start: impl Fn() -> F) -> Result<T, String> {
    let mut attempt = 1;
    loop {
        match start().await {
            Err(error) if attempt < ATTEMPTS && error.to_lowercase().contains("address already in use") => {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
}

/// Text of a path or a variable, for messages and arguments.
fn text(value: &(impl AsRef<OsStr> + ?Sized)) -> String {
    value.as_ref().to_string_lossy().into_owned()
}
