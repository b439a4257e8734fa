//! Real servers for tests: they are killed, paused and cut off.
//!
//! A server keeps its files in a private folder, listens on ports that nobody else gets, and dies with the
//! test, however the test ends.

#[cfg(feature = "tls")]
pub mod certificates;
pub mod etcd;
mod folder;
mod http;
mod metrics;
mod process;
mod socks;

use std::{
    env,
    ffi::OsStr,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use lock_core::runtime::Runtime;

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
