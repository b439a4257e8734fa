//! Runs a throw-away ensemble of ZooKeeper as it is outside of tests: with ZooKeeper's own timing, heap and
//! compiler, and durable.
//!
//! `cargo run -p lock-testkit --bin zookeeper-cluster -- [MEMBERS [FOLDER]]` prints the addresses for
//! clients, separated by commas, on one line once all servers are ready, and ends with its standard input: so
//! it ends with who started it. Its data is below FOLDER, in memory when none is named, and is deleted at the
//! end. Clients may open as many connections as they like, and every four letter word is answered.
#![forbid(unsafe_code)]

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    use std::time::Duration;

    use lock_testkit::server::{
        program::serve,
        zookeeper::{ZooKeeper, ZooKeeperOptions},
    };

    // In place of what suits small servers that live for a second.
    let arguments = ["-Xmx1000m", "-XX:-UseSerialGC", "-XX:TieredStopAtLevel=4"];
    let properties = ["zookeeper.preAllocSize=65536"];
    serve("zookeeper-cluster", async |servers, folder| {
        let zookeeper = ZooKeeper::with(ZooKeeperOptions {
            servers,
            folder,
            durable: true,
            tick: Duration::from_secs(2),
            init_limit: 10,
            sync_limit: 5,
            arguments: arguments.map(str::to_owned).to_vec(),
            properties: properties.map(str::to_owned).to_vec(),
            ..Default::default()
        })
        .await?;
        let addresses = zookeeper.endpoints();
        Ok((zookeeper, addresses))
    })
    .await
}

#[cfg(not(unix))]
fn main() {
    eprintln!("zookeeper-cluster: on Unix only");
}
