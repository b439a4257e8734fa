//! Cells that are forgotten and made again.

use lock_core::{ErrorKind, backend::CellVersion};
use lock_testkit::live::soon;

use crate::{
    link::Link,
    support::{Cluster, config, line, session},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c17_a_write_hits_no_cell_that_was_made_since_it_looked() {
    let cluster = Cluster::one().await;
    let link = Link::start(cluster.server.endpoints()[0].parse().unwrap()).await;
    let (slow, other) = (session(config([link.address()]), 1).await, session(cluster.config(), 2).await);
    let line = line("x");
    let first = slow.put_cell(&line, CellVersion::ABSENT, b"first", None).await.unwrap();
    link.hold("/faults/mutex/x/cell");
    let anew = async {
        link.holds().await;
        other.forget(&line).await.unwrap();
        other.put_cell(&line, CellVersion::ABSENT, b"theirs", None).await.unwrap();
        link.let_go();
    };
    let put = slow.put_cell(&line, first, b"ours", None);
    let (put, ()) = soon("an answer", async { tokio::join!(put, anew) }).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(&*other.cell(&line).await.unwrap().bytes, b"theirs");
    for session in [slow, other] {
        session.close().await.unwrap();
    }
}
