//! A configuration of two values that fit together only as a pair. Readers read one after the other under a
//! read lock, many at a time; writers replace one after the other under the write lock, and then read back
//! what they have written, together with other readers.
//!
//! ```text
//! cargo run --example config_readers
//! cargo run --features etcd --example config_readers -- 'etcd://127.0.0.1:2379/demo'
//! cargo run --features zookeeper --example config_readers -- 'zk://127.0.0.1:2181/demo'
//! ```
//!
//! The values are keys in the same etcd, nodes in the same ZooKeeper, or in this process. A store in memory is
//! one process's own: there readers and writers are tasks, with any other store processes.
//!
//! Ends by itself; the exit code is 0 only if nobody saw a pair that does not fit, nobody read while somebody
//! wrote, readers did read at a time, and every writer had its turns although readers never ceased to come.
//!
//! A lock does not make two steps one: a writer that dies between them leaves a pair behind that does not fit.
//! Where that would do harm, write in one step, as `bank_transfer` does.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

#[path = "../shared/child.rs"]
mod child;
#[path = "../shared/hearing.rs"]
mod hearing;
#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/parts.rs"]
mod parts;
mod reader;
#[path = "../shared/values.rs"]
mod values;
mod witness;
mod writer;

use clap::Parser;
use hearing::Hearing;
use parts::{Failure, Orders, Part, Stage};
use values::Values;
use witness::Witness;

/// The lock.
const CONFIG: &str = "config";
/// Either part of the configuration: the number of its version. They fit when these are the same.
const PARTS: [&str; 2] = ["config/address", "config/certificate"];
const READERS: usize = 6;
const WRITERS: [&str; 2] = ["writer-1", "writer-2"];

/// Reads and replaces a configuration of two parts.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://config_readers")]
    uri: String,
    /// The reader or writer that this process is, when the program has started itself.
    #[arg(long, hide = true)]
    play: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { uri, play } = Arguments::parse();
    match play {
        Some(name) => parts::play(&name, &uri, play_part).await,
        None => run(&uri).await,
    }
}

async fn play_part(part: Part, orders: Orders) -> Result<(), Failure> {
    if WRITERS.contains(&part.name.as_str()) {
        writer::write(part).await
    } else {
        reader::read(part, orders).await
    }
}

async fn run(uri: &str) -> Result<(), Failure> {
    let values = Values::beside(uri).await?;
    for part in PARTS {
        values.put(part, 0).await?;
    }
    let (stage, written) = Stage::new(uri, play_part)?;
    let mut hearing = Hearing::new(written, Witness::default(), Witness::note);
    let readers = stage.start_all((1..=READERS).map(|number| format!("reader-{number}"))).await?;
    let readers_come = |witness: &Witness| witness.most_at_a_time() > 1;
    hearing.until("readers read at a time", readers_come).await?;
    let writers = stage.start_all(WRITERS).await?;
    println!("{READERS} readers and {} writers ({})", writers.len(), stage.kind());
    // They end when they have had their turns; the readers go on meanwhile.
    let all = |witness: &Witness| WRITERS.iter().all(|name| witness.written_by(name) == writer::TURNS);
    hearing.until("the writers have had their turns", all).await?;
    parts::all_ended(writers).await?;
    let witness = stage.end(readers, hearing).await?;
    println!("{witness}");
    Ok(witness.verdict()?)
}
