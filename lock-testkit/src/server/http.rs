//! As much of HTTP as it takes to ask a server how it is.

use std::{io, net::SocketAddr};

use lock_core::runtime::Runtime;

use super::ask;

/// The body of the answer, whatever its status.
///
/// In HTTP/1.0, where an answer is not sent in chunks, and ends with its connection.
pub(super) async fn get(runtime: &dyn Runtime, server: SocketAddr, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    let answer = ask(runtime, server, &request).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    Ok(body.to_owned())
}
