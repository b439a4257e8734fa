//! What the store itself says about the load, and how fast it takes a plain write.

mod etcd;
mod zookeeper;

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use percent_encoding::percent_decode_str;
use yourturn::Uri;

use self::{etcd::Etcd, zookeeper::ZooKeeper};
use crate::Result;

/// For how long the yardstick is measured.
const YARDSTICK: Duration = Duration::from_secs(2);

/// What has been counted since the servers started; each store says what it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// What clients asked of all servers.
    pub(crate) requests: f64,
    /// What the servers committed.
    pub(crate) writes: f64,
}

/// The servers behind a URI.
#[async_trait(?Send)]
pub(crate) trait Store {
    /// The counters of all servers.
    async fn counters(&self) -> Result<Counters>;

    /// Which version the first server is.
    async fn version(&self) -> Result<String>;

    /// The yardstick: how many small writes a client gets done in a second, one after the other. Nothing of
    /// it stays.
    async fn puts_per_second(&self) -> Result<f64>;
}

/// The servers that this URI names; none when its store has none.
pub(crate) fn from_uri(uri: &Uri) -> Result<Option<Box<dyn Store>>> {
    Ok(match uri.scheme() {
        "etcd" => Some(Box::new(Etcd::from_uri(uri)?)),
        "zk" => Some(Box::new(ZooKeeper::from_uri(uri)?)),
        _ => None,
    })
}

/// How often this is done in a second, once after the other; each time is given its number.
async fn paced(mut write: impl AsyncFnMut(u32) -> Result<()>) -> Result<f64> {
    let writes = async {
        let (start, mut writes) = (Instant::now(), 0_u32);
        while start.elapsed() < YARDSTICK {
            write(writes).await?;
            writes += 1;
        }
        Ok(f64::from(writes) / start.elapsed().as_secs_f64())
    };
    let limit = YARDSTICK + Duration::from_secs(30);
    tokio::time::timeout(limit, writes).await.unwrap_or_else(|_| Err(unmeasured("no answer")))
}

fn unmeasured(error: impl Display) -> String {
    format!("the writes that turns are compared with: {error}")
}

fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "a part of the URI is not UTF-8 once decoded".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_no_servers() {
        assert!(from_uri(&"memory://x".parse().unwrap()).unwrap().is_none());
    }
}
