//! As much of HTTP as it takes to ask a server how it is.

use std::{io, net::SocketAddr, time::Duration};

use lock_core::runtime::Runtime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::within;

/// How long a server on the same machine may take to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The body of the answer, whatever its status.
///
/// In HTTP/1.0, where an answer is not sent in chunks, and ends with its connection.
pub(super) async fn get(runtime: &dyn Runtime, server: SocketAddr, path: &str) -> io::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        Ok(body.to_owned())
    };
    within(runtime, LIMIT, exchange).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}
