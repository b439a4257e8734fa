//! What others do to a line between two requests of a session.

use etcd_client::{Client, Txn, TxnOp};
use lock_core::{ClaimId, Mode, SessionId, backend::Record};
use lock_etcd::Layout;
use lock_testkit::server::etcd::Etcd as Server;

use crate::{
    harness::NAMESPACE,
    requests::{line, session, soon},
};

async fn other(server: &Server) -> Client {
    Client::connect(server.endpoints(), None).await.unwrap()
}

#[tokio::test]
async fn c6_a_try_does_not_wait_for_others_to_take_their_places() {
    let server = Server::start().await.unwrap();
    let (x, permits) = (line("beside"), Mode::Permits { count: 1, limit: 3 });
    let (session, claim, faults) = session(&server, Layout::Native, permits).await;
    // Others join who would be granted, and take no step.
    let other = other(&server).await;
    let joins = async |number| {
        let id = ClaimId { session: SessionId::new(8), number };
        let [node, tail] = ["q/", "tail"].map(|part| format!("{NAMESPACE}/mutex/beside/{part}"));
        let node = TxnOp::put(format!("{node}{id}"), Record::from(&claim).write(), None);
        let joins = [node, TxnOp::put(tail, format!("{id} behind"), None)];
        other.kv_client().txn(Txn::new().and_then(joins)).await.unwrap();
    };
    joins(0).await;
    faults.hold_reply();
    let tries = {
        let (session, x, claim) = (session.clone(), x.clone(), claim.clone());
        tokio::spawn(async move { session.try_join(&x, &claim).await })
    };
    soon("a look at the line", faults.held_a_reply()).await;
    joins(1).await;
    faults.let_go();
    let taken = soon("an answer", tries).await.unwrap().unwrap();
    assert!(taken.is_some(), "nobody was in its way");
    session.leave(&x, claim.id).await.unwrap();
    session.close().await.unwrap();
}
