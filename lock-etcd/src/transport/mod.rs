//! A connection to one member, as etcd's client takes it: HTTP/2, with the caller in it.
//!
//! The client's own channel passes a request from task to task four times before it is written, and its answer twice
//! after it was read: more work than etcd has with it (`docs/performance.md`). Here whoever asks writes the request
//! into the connection and reads the answer out of it; the connection's one task moves the bytes.
//!
//! | file | |
//! |---|---|
//! | `caller` | a request, from its head to the end of its answer |
//! | `probes` | answering late when a member measures the connection |
//! | `silence` | noticing that a member says nothing any more |

mod caller;
mod probes;
mod silence;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use etcd_client::Channel;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use h2::client::Builder;
use http::uri::{Authority, Scheme};
use lock_core::{Error, ErrorKind, Result, runtime::SharedRuntime};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tower::util::BoxCloneSyncService;

use self::{
    caller::{Caller, Connected, Origin},
    probes::Probed,
    silence::Traffic,
};
use crate::{error::not_reached, tls::Secure};

/// How much a member may send before it is read, of one answer and of all: as hyper has it, for whom many have tried
/// it.
const ANSWER_BYTES: u32 = 2 << 20;
const ALL_ANSWERS_BYTES: u32 = 5 << 20;

/// How many requests that were given up may still be answered: as many as all claims of a process, given up at once. Of
/// more the connection would forget that it had made them, and end for it.
const GIVEN_UP_AT_ONCE: usize = 1 << 14;

/// By how much an address of a host is tried before the next one.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the member at `endpoint` (`host:port`). The connection ends when its channel and all that came from it
/// are dropped, or when the member has said nothing for `silence` and then does not answer a ping for as long.
///
/// # Errors
///
/// [`Unavailable`](ErrorKind::Unavailable) when there is no connection, also by the member's fault.
///
/// # Cancel safety
///
/// Dropped before its end, it leaves no connection.
pub(crate) async fn connect(
    endpoint: &str,
    secure: Option<&Secure>,
    silence: Duration,
    runtime: &SharedRuntime,
) -> Result<Channel> {
    let authority: Authority = endpoint.parse().map_err(|source| {
        Error::new(ErrorKind::InvalidOption, format!("{endpoint:?} is no host and port")).with_source(source)
    })?;
    let tcp = reach(endpoint, runtime).await.map_err(not_reached)?;
    // A request is one small write, and somebody waits for it.
    tcp.set_nodelay(true).map_err(not_reached)?;
    match secure {
        None => begin(tcp, Origin { scheme: Scheme::HTTP, authority }, silence, runtime).await,
        Some(secure) => {
            let stream = secure.shake_hands(authority.host(), tcp).await.map_err(not_reached)?;
            begin(stream, Origin { scheme: Scheme::HTTPS, authority }, silence, runtime).await
        }
    }
}

/// One of the host's addresses.
async fn reach(endpoint: &str, runtime: &SharedRuntime) -> io::Result<TcpStream> {
    first(lookup_host(endpoint).await?.map(TcpStream::connect), runtime).await
}

/// The first of these attempts that succeeds, each with a head start before the next (RFC 8305): an address that swallows
/// packets keeps nobody from the others.
async fn first<T>(
    attempts: impl Iterator<Item: Future<Output = io::Result<T>>>,
    runtime: &SharedRuntime,
) -> io::Result<T> {
    let (mut to_come, mut under_way) = (attempts.peekable(), FuturesUnordered::new());
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        under_way.extend(to_come.next());
        tokio::select! { biased;
            attempt = under_way.next() => match attempt {
                Some(Ok(success)) => return Ok(success),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = runtime.sleep_until(runtime.now() + HEAD_START), if to_come.peek().is_some() => {}
        }
    }
}

async fn begin(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    origin: Origin,
    silence: Duration,
    runtime: &SharedRuntime,
) -> Result<Channel> {
    let mut settings = Builder::new();
    settings
        .enable_push(false)
        .initial_window_size(ANSWER_BYTES)
        .initial_connection_window_size(ALL_ANSWERS_BYTES)
        .max_concurrent_reset_streams(GIVEN_UP_AT_ONCE)
        .max_local_error_reset_streams(None)
        // h2 0.4.20 never gives back what late answers to those took of it.
        .data_frame_budget(usize::MAX);
    let shaken = settings.handshake::<_, Bytes>(Probed::new(stream, runtime.clone())).await;
    let (requests, mut connection) = shaken.map_err(|error| not_reached(caller::of_io(error)))?;
    let traffic = Traffic::new(runtime.clone());
    let silent = silence::noticed(connection.ping_pong(), traffic.clone(), silence);
    runtime.spawn(Box::pin(async move {
        tokio::select! { biased;
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection to etcd has ended");
            },
            // Whoever waits for an answer hears that the connection is gone.
            () = silent => tracing::debug!("a member says nothing any more"),
        }
    }));
    let connected = Connected { requests, origin, traffic, runtime: runtime.clone() };
    Ok(Channel::Custom(BoxCloneSyncService::new(Caller(Arc::new(connected)))))
}

#[cfg(test)]
mod tests {
    use lock_core::runtime::{Runtime as _, SimulatedRuntime, TokioRuntime};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
        net::TcpListener,
    };

    use super::*;
    use crate::error::translated;

    /// A channel to somebody who says nothing, and both ends of the connection.
    async fn to_nobody(silence: Duration) -> (etcd_client::Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let runtime: SharedRuntime = Arc::new(TokioRuntime::current().unwrap());
        let channel = connect(&endpoint, None, silence, &runtime).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        (etcd_client::Client::from_channel(channel, None).await.unwrap(), peer)
    }

    /// In real time: it is the peer's kernel that acknowledges every byte and so keeps the connection up.
    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a test on the real clock")]
    async fn c7_who_accepts_connections_and_says_nothing_is_given_up() {
        let (client, _peer) = to_nobody(Duration::from_millis(20)).await;
        // Nothing else ends it.
        let asked = tokio::time::timeout(Duration::from_mins(1), client.kv_client().get("x", None)).await;
        let error = asked.expect("it is still waited for").unwrap_err();
        assert_eq!(translated(error).kind(), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_and_one_that_refuses_keep_nobody_from_the_next() {
        let runtime: SharedRuntime = Arc::new(TokioRuntime::current().unwrap());
        let attempt = async |number: u8| match number {
            0 => std::future::pending().await,
            1 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(number),
        };
        assert_eq!(first([0, 1, 2, 3].into_iter().map(attempt), &runtime).await.unwrap(), 2);
        let refused = first([1, 1].into_iter().map(attempt), &runtime).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let nobody = first([].into_iter().map(attempt), &runtime).await.unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::NotFound);
    }

    /// As gRPC for Go has them: the probe of a connection, and the ping that asks whether its end has been read.
    const PROBE: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 2, 4, 16, 16, 9, 14, 7, 7];
    const OF_THE_END: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 6, 1, 8, 0, 3, 3, 9];

    /// Seen to fail: with an answer at once, which the connection's task then writes by itself.
    #[tokio::test(start_paused = true)]
    async fn who_measures_the_connection_is_answered_with_what_is_written_later() {
        let machine = SimulatedRuntime::new(1).unwrap();
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let origin = Origin { scheme: Scheme::HTTP, authority: Authority::from_static("etcd") };
        let _channel = begin(near, origin, Duration::from_mins(1), &machine.shared()).await.unwrap();
        // Settings, none of them another than usual.
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        said(&mut far, &machine).await;

        far.write_all(&PROBE).await.unwrap();
        assert!(said(&mut far, &machine).await.is_empty());
        far.write_all(&OF_THE_END).await.unwrap();
        assert_eq!(said(&mut far, &machine).await, answer(OF_THE_END));
        machine.suspend(Duration::from_secs(1));
        far.write_all(&OF_THE_END).await.unwrap();
        assert_eq!(said(&mut far, &machine).await, [answer(OF_THE_END), answer(PROBE)].concat());
    }

    fn answer(mut ping: [u8; 17]) -> [u8; 17] {
        ping[4] = 1;
        ping
    }

    /// gRPC for Go would have hung up at the fourth ping in five seconds.
    #[tokio::test(start_paused = true)]
    async fn who_answers_nothing_but_pings_is_not_pinged_too_often() {
        let machine = SimulatedRuntime::new(1).unwrap();
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let origin = Origin { scheme: Scheme::HTTP, authority: Authority::from_static("etcd") };
        let channel = begin(near, origin, Duration::from_secs(1), &machine.shared()).await.unwrap();
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut requests = etcd_client::Client::from_channel(channel, None).await.unwrap().kv_client();
        let mut asked = Box::pin(requests.get("x", None));
        assert!(futures_util::FutureExt::now_or_never(&mut asked).is_none());

        let (start, mut pings) = (machine.now(), Vec::new());
        while machine.now() < start + Duration::from_secs(20) {
            for ping in pings_in(&said(&mut far, &machine).await) {
                pings.push(machine.now().saturating_since(start).as_secs());
                far.write_all(&answer(ping)).await.unwrap();
            }
        }
        assert_eq!(pings, [1, 2, 8, 14]);
    }

    /// The pings among these frames, answers apart.
    fn pings_in(mut said: &[u8]) -> Vec<[u8; 17]> {
        let mut pings = Vec::new();
        if let Some(rest) = said.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
            said = rest;
        }
        while let [a, b, c, kind, flags, ..] = *said {
            let length = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if (kind, flags) == (6, 0) {
                pings.push(said[..length].try_into().unwrap());
            }
            said = &said[length..];
        }
        pings
    }

    /// What has been said, once all has been that is to be said now.
    async fn said(far: &mut DuplexStream, machine: &SimulatedRuntime) -> Vec<u8> {
        let mut said = Vec::new();
        loop {
            tokio::select! { biased;
                read = far.read_buf(&mut said) => assert_ne!(read.unwrap(), 0, "the connection has ended"),
                () = machine.sleep_until(machine.now() + Duration::from_millis(1)) => return said,
            }
        }
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_channel_and_with_requests_that_were_dropped() {
        let (client, mut peer) = to_nobody(Duration::from_mins(10)).await;
        let mut requests = client.kv_client();
        let mut asked = Box::pin(requests.get("x", None));
        assert!(futures_util::FutureExt::now_or_never(&mut asked).is_none());
        drop(asked);
        drop((requests, client));
        let mut said = Vec::new();
        peer.read_to_end(&mut said).await.unwrap();
        assert!(said.starts_with(b"PRI * HTTP/2.0"), "it is no HTTP/2");
    }
}
