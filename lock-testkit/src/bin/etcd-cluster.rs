//! Runs a throw-away cluster of etcd as it is outside of tests: with etcd's own timing, and durable.
//!
//! `cargo run -p lock-testkit --bin etcd-cluster -- [MEMBERS [FOLDER]]` prints the addresses for clients,
//! separated by commas, on one line once all members are ready, and ends with its standard input: so it ends
//! with who started it. Its data is below FOLDER, in memory when none is named, and is deleted at the end.
#![forbid(unsafe_code)]

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    use lock_testkit::server::{
        etcd::{Etcd, EtcdOptions},
        program::serve,
    };

    // In place of the short ones that suit tests.
    let timing = ["--heartbeat-interval", "100", "--election-timeout", "1000"];
    serve("etcd-cluster", async |members, folder| {
        let arguments = timing.map(str::to_owned).to_vec();
        let options = EtcdOptions { members, folder, durable: true, arguments, ..Default::default() };
        let etcd = Etcd::with(options).await?;
        let addresses = etcd.endpoints().into_iter().map(|address| address.replace("http://", ""));
        let addresses = addresses.collect();
        Ok((etcd, addresses))
    })
    .await
}

#[cfg(not(unix))]
fn main() {
    eprintln!("etcd-cluster: on Unix only");
}
