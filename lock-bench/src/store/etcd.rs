//! What etcd itself says about the load, and how fast it takes a plain put.
//!
//! Requests are the messages that clients sent over gRPC to the services KV, Watch and Lease of all
//! endpoints, keep-alives of leases aside. A transaction is one; so is each watch that is started or ended.
//! Writes are the entries that the cluster committed to its log: every transaction that may write, whichever
//! branch it took, every put, and every lease that is granted or revoked. One fsync may serve several.

use async_trait::async_trait;
use etcd_client::{Client, ConnectOptions};
use yourturn::{Name, Uri, etcd::Config};

use super::{Counters, Store, decoded, paced, unmeasured};
use crate::{Result, http};

/// The cluster behind an `etcd://` URI.
pub(crate) struct Etcd {
    /// `host:port` of each endpoint.
    hosts: Vec<String>,
    credentials: Option<(String, String)>,
    namespace: Name,
}

impl Etcd {
    pub(super) fn from_uri(uri: &Uri) -> Result<Self> {
        let config = Config::from_uri(uri, &mut uri.options()).map_err(|error| error.to_string())?;
        let user = uri.authority().rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        let credentials = match user {
            Some((user, password)) => Some((decoded(user)?, decoded(password)?)),
            None => None,
        };
        let path = decoded(uri.path())?;
        let namespace = if path.is_empty() { "yourturn" } else { &path };
        let namespace = namespace.parse().map_err(|error: yourturn::Error| error.to_string())?;
        let hosts = config.endpoints().map(str::to_owned).collect();
        Ok(Self { hosts, credentials, namespace })
    }

    async fn metrics(&self, host: &str) -> Result<String> {
        http::get(host, "/metrics").await.map_err(|error| format!("the counters of etcd at {host}: {error}"))
    }

    fn first(&self) -> Result<&str> {
        self.hosts.first().map(String::as_str).ok_or_else(|| "the URI names no host".to_owned())
    }
}

#[async_trait(?Send)]
impl Store for Etcd {
    async fn counters(&self) -> Result<Counters> {
        let mut all = Counters::default();
        for host in &self.hosts {
            let one = counters(&self.metrics(host).await?)?;
            all.requests += one.requests;
            // Each member counts the commits of the whole cluster.
            all.writes = all.writes.max(one.writes);
        }
        Ok(all)
    }

    async fn version(&self) -> Result<String> {
        let metrics = self.metrics(self.first()?).await?;
        let version = metrics.lines().find_map(|line| {
            line.strip_prefix("etcd_server_version{server_version=\"")?
                .split_once('"')
                .map(|(version, _)| version)
        });
        Ok(version.unwrap_or("unknown").to_owned())
    }

    /// At the first endpoint. The key is deleted afterwards.
    async fn puts_per_second(&self) -> Result<f64> {
        let options = self
            .credentials
            .as_ref()
            .map(|(user, password)| ConnectOptions::new().with_user(user.as_str(), password.as_str()));
        let key = format!("{}/lock-bench/put", self.namespace.encode());
        let mut client = Client::connect([self.first()?], options).await.map_err(unmeasured)?;
        client.put(key.as_str(), "warm", None).await.map_err(unmeasured)?;
        let speed = paced(async |_| {
            client.put(key.as_str(), "0123456789abcdef", None).await.map(drop).map_err(unmeasured)
        })
        .await?;
        client.delete(key.as_str(), None).await.map_err(unmeasured)?;
        Ok(speed)
    }
}

/// The counters of one member, from its metrics in the text form of Prometheus.
fn counters(metrics: &str) -> Result<Counters> {
    let values = || {
        metrics.lines().filter_map(|line| {
            let (name, value) = line.trim_end().rsplit_once(' ')?;
            Some((name, value.parse::<f64>().ok()?))
        })
    };
    let requests = values().filter(|(name, _)| is_request(name)).map(|(_, value)| value).reduce(|a, b| a + b);
    let writes = values().find(|(name, _)| *name == "etcd_server_proposals_committed_total");
    match (requests, writes) {
        (Some(requests), Some((_, writes))) => Ok(Counters { requests, writes }),
        _ => Err("this etcd does not export the counters that are needed".to_owned()),
    }
}

fn is_request(metric: &str) -> bool {
    let services = ["KV", "Watch", "Lease"];
    metric.starts_with("grpc_server_msg_received_total{")
        && !metric.contains("grpc_method=\"LeaseKeepAlive\"")
        && services.iter().any(|it| metric.contains(&format!("grpc_service=\"etcdserverpb.{it}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etcd(uri: &str) -> Etcd {
        Etcd::from_uri(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn hosts_and_credentials_come_out_of_the_uri() {
        let etcd = etcd("etcd://me:p%40ss@h1,h2:7,[::1],[::1]:8/a%2Fb?ttl=2s");
        assert_eq!(etcd.hosts, ["h1:2379", "h2:7", "[::1]:2379", "[::1]:8"]);
        assert_eq!(etcd.credentials, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!(etcd.namespace.as_str(), "a/b");
    }

    #[test]
    fn what_clients_ask_for_is_counted() {
        let metrics = "# HELP grpc_server_msg_received_total Messages.\n\
            grpc_server_msg_received_total{grpc_method=\"Txn\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 5\n\
            grpc_server_msg_received_total{grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"} 1e+01\n\
            grpc_server_msg_received_total{grpc_method=\"LeaseGrant\",grpc_service=\"etcdserverpb.Lease\",grpc_type=\"unary\"} 2\n\
            grpc_server_msg_received_total{grpc_method=\"LeaseKeepAlive\",grpc_service=\"etcdserverpb.Lease\",grpc_type=\"bidi_stream\"} 99\n\
            grpc_server_msg_received_total{grpc_method=\"Status\",grpc_service=\"etcdserverpb.Maintenance\",grpc_type=\"unary\"} 99\n\
            grpc_server_msg_sent_total{grpc_method=\"Txn\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 99\n\
            etcd_server_proposals_committed_total 7\n";
        assert_eq!(counters(metrics).unwrap(), Counters { requests: 17.0, writes: 7.0 });
        assert!(counters("up 1\n").is_err());
    }
}
