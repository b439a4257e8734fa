//! Servers that speak TLS, and who they let in.

use etcd_client::{Certificate, ConnectOptions, Identity as Shown, TlsOptions};
use lock_core::{Coordinator, ErrorKind};
use lock_etcd::{Config, Tls};
use lock_testkit::{
    live::{chain, soon},
    server::{
        ServerTls,
        certificates::{Authority, Identity},
        etcd::EtcdOptions,
    },
};

use crate::support::Cluster;

/// Longer than anything here waits: who gives up sooner had a reason.
pub(crate) const TTL: std::time::Duration = std::time::Duration::from_secs(10);

/// How servers present themselves, in most tests.
pub(crate) const HERE: &[&str] = &["127.0.0.1"];

/// A server with this certificate, of that authority, that asks for client certificates of `clients`.
pub(crate) async fn server(
    authority: &Authority,
    identity: &Identity,
    clients: Option<&Authority>,
    options: EtcdOptions,
) -> Cluster {
    let options = EtcdOptions { tls: Some(ServerTls::new(identity, clients)), ..options };
    let pem = |file| std::fs::read(file).unwrap();
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(pem(authority.certificate())));
    if let Some(clients) = clients {
        let root = clients.client("root").unwrap();
        tls = tls.identity(Shown::from_pem(pem(&root.certificate), pem(&root.key)));
    }
    Cluster::seen_by(options, ConnectOptions::new().with_tls(tls)).await
}

pub(crate) fn trusting(authority: &Authority) -> Tls {
    Tls::new().ca(authority.certificate())
}

pub(crate) fn shown(identity: &Identity, tls: Tls) -> Tls {
    tls.identity(&identity.certificate, &identity.key)
}

pub(crate) async fn open(config: Config) -> lock_core::Result<Coordinator> {
    let etcd = std::sync::Arc::new(lock_etcd::Etcd::new(config));
    Coordinator::open(etcd, lock_core::Options::default().ttl(TTL)).await
}

/// Why it is not let in. Waits for so long that whoever tries again until the timeout fails the test.
pub(crate) async fn refusal(config: Config) -> (ErrorKind, String) {
    let config = config.connect_timeout(std::time::Duration::from_mins(5)).unwrap();
    let error = soon("an answer", open(config)).await.unwrap_err();
    (error.kind(), chain(&error))
}

/// The namespace, the role and the user of the documentation.
pub(crate) const BILLING: &str = "billing";

/// A server that asks for client certificates and for rights, set up as `docs/etcd-protocol.md` says.
pub(crate) struct Guarded {
    pub(crate) cluster: Cluster,
    /// Of the server and of its clients.
    pub(crate) authority: Authority,
}

impl Guarded {
    pub(crate) async fn start(options: EtcdOptions) -> Self {
        let authority = Authority::new().unwrap();
        let cluster = server(&authority, &authority.server(HERE).unwrap(), Some(&authority), options).await;
        let guarded = Self { cluster, authority };
        let page = include_str!("../../../../docs/etcd-protocol.md");
        let commands = page.lines().filter_map(|line| line.trim().strip_prefix("etcdctl "));
        let commands = commands.map(|line| line.split('#').next().unwrap_or_default());
        let mut run = 0;
        for command in commands.filter(|command| !command.starts_with("get ")) {
            guarded.control(command).await;
            run += 1;
        }
        assert_eq!(run, 7, "the page has other commands");
        guarded
    }

    /// Everybody's, in these tests.
    pub(crate) fn password(&self) -> &'static str {
        "open@sesame"
    }

    /// Runs etcdctl as root.
    async fn control(&self, command: &str) {
        let program = std::env::var_os("YOURTURN_ETCDCTL").unwrap_or_else(|| "etcdctl".into());
        let root = self.authority.client("root").unwrap();
        let mut etcdctl = tokio::process::Command::new(program);
        etcdctl
            .env("ETCDCTL_API", "3")
            .env("ETCDCTL_ENDPOINTS", self.cluster.server.members()[0].direct_endpoint());
        etcdctl.env("ETCDCTL_CACERT", self.authority.certificate());
        etcdctl.env("ETCDCTL_CERT", root.certificate).env("ETCDCTL_KEY", root.key);
        etcdctl.args(command.split_whitespace());
        if command.starts_with("user add") {
            etcdctl.arg("--interactive=false");
        }
        let piped = std::process::Stdio::piped;
        etcdctl.stdin(piped()).stdout(piped()).stderr(piped()).kill_on_drop(true);
        let mut child = etcdctl.spawn().unwrap();
        let password = format!("{}\n", self.password());
        // One that asks for nothing may be done before.
        let _unread =
            tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).await;
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// With a certificate of this common name.
    pub(crate) fn config(&self, common_name: &str) -> Config {
        let tls = shown(&self.authority.client(common_name).unwrap(), trusting(&self.authority));
        self.cluster.config().namespace(BILLING).unwrap().tls(tls)
    }
}
