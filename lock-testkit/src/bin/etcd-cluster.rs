//! Runs a throw-away cluster of etcd as it is outside of tests: with etcd's own timing, and durable.
//!
//! `cargo run -p lock-testkit --bin etcd-cluster -- [MEMBERS [FOLDER]]` prints the addresses for clients,
//! separated by commas, on one line once all members are ready, and ends with its standard input: so it ends
//! with who started it. Its data is below FOLDER, in memory when none is named, and is deleted at the end.
#![forbid(unsafe_code)]

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    match run().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("etcd-cluster: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(unix)]
async fn run() -> Result<(), String> {
    use lock_testkit::server::etcd::{Etcd, EtcdOptions};

    let mut arguments = std::env::args_os().skip(1);
    let members = match arguments.next() {
        None => 1,
        Some(number) => {
            let number = number.to_str().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
            number.ok_or("usage: etcd-cluster [MEMBERS [FOLDER]]")?
        }
    };
    let folder = arguments.next().map(Into::into);
    // In place of the short ones that suit tests.
    let timing = ["--heartbeat-interval", "100", "--election-timeout", "1000"];
    let options = EtcdOptions {
        members,
        folder,
        durable: true,
        arguments: timing.map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let etcd = Etcd::with(options).await?;
    println!("{}", etcd.endpoints().join(",").replace("http://", ""));
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("etcd-cluster: on Unix only");
}
