//! What ZooKeeper itself says about the load, and how fast it takes a plain create.
//!
//! Requests are the packets that clients sent to all servers, pings and beats of sessions included. Writes
//! are transactions, by the zxid: sessions that open and close are some, and so is what was refused.

use std::{io, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use yourturn::{
    Uri,
    zookeeper::{
        Config,
        client::{Acls, Client, CreateMode},
    },
};

use super::{Counters, Store, paced, unmeasured};
use crate::Result;

const LIMIT: Duration = Duration::from_secs(10);

/// The ensemble behind a `zk://` URI.
pub(super) struct ZooKeeper {
    /// `host:port` of each server.
    servers: Vec<String>,
}

impl ZooKeeper {
    pub(super) fn from_uri(uri: &Uri) -> Result<Self> {
        let config = Config::from_uri(uri, &mut uri.options()).map_err(|error| error.to_string())?;
        Ok(Self { servers: config.servers().map(str::to_owned).collect() })
    }

    fn first(&self) -> Result<&str> {
        self.servers.first().map(String::as_str).ok_or_else(|| "the URI names no server".to_owned())
    }
}

#[async_trait(?Send)]
impl Store for ZooKeeper {
    async fn counters(&self) -> Result<Counters> {
        let mut all = Counters::default();
        for server in &self.servers {
            let one = counters(&status(server).await?)?;
            all.requests += one.requests;
            // Each server counts the transactions of the whole ensemble.
            all.writes = all.writes.max(one.writes);
        }
        Ok(all)
    }

    async fn version(&self) -> Result<String> {
        let status = status(self.first()?).await?;
        let version = field(&status, "Zookeeper version").unwrap_or("unknown");
        Ok(version.split(['-', ',']).next().unwrap_or(version).to_owned())
    }

    /// At the first server. The nodes go with the session that made them.
    async fn puts_per_second(&self) -> Result<f64> {
        let client = Client::connect(self.first()?).await.map_err(unmeasured)?;
        let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        let session = client.session_id();
        paced(async |number| {
            let path = format!("/lock-bench-{session}-{number}");
            client.create(&path, b"0123456789abcdef", &options).await.map(drop).map_err(unmeasured)
        })
        .await
    }
}

/// What a server says of itself. `srvr` is the one command that needs no leave of the administrator.
async fn status(server: &str) -> Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(b"srvr").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = tokio::time::timeout(LIMIT, exchange).await.unwrap_or_else(|late| Err(late.into()));
    answer.map_err(|error| format!("the counters of ZooKeeper at {server}: {error}"))
}

fn counters(status: &str) -> Result<Counters> {
    let requests = field(status, "Received").and_then(|received| received.parse().ok());
    let zxid = field(status, "Zxid").and_then(|zxid| u64::from_str_radix(zxid.strip_prefix("0x")?, 16).ok());
    match (requests, zxid) {
        (Some(requests), Some(zxid)) => Ok(Counters { requests, writes: zxid as f64 }),
        _ => Err("this ZooKeeper does not tell its counters".to_owned()),
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_out_of_the_uri() {
        let zookeeper = ZooKeeper::from_uri(&"zk://h1,h2:7/a/b?tick=1s".parse().unwrap()).unwrap();
        assert_eq!(zookeeper.servers, ["h1:2181", "h2:7"]);
    }

    #[test]
    fn a_servers_status_is_read() {
        let status = "Zookeeper version: 3.8.0-abc, built on 2024\nReceived: 7\nSent: 9\nZxid: 0x1a\nMode: standalone\n";
        assert_eq!(counters(status).unwrap(), Counters { requests: 7.0, writes: 26.0 });
        assert!(counters("This ZooKeeper instance is not currently serving requests\n").is_err());
    }
}
