//! What others do to a line between two requests of a session.

use etcd_client::{Client, Event, GetOptions, Txn, TxnOp, WatchOptions};
use lock_core::{ClaimId, ErrorKind, LostReason, Mode, SessionId, backend::Record};
use lock_etcd::Layout;
use lock_testkit::{
    live::soon,
    server::etcd::{Etcd as Server, EtcdOptions},
};

use crate::{
    harness::NAMESPACE,
    requests::{line, session, user},
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

#[tokio::test]
async fn c7_a_holder_that_is_evicted_while_its_mode_changes_is_told_when_that_news_was_missed() {
    let server = Server::start().await.unwrap();
    let (x, permits) = (line("moves"), |count| Mode::Permits { count, limit: 4 });
    let (session, claim, faults) = session(&server, Layout::Native, permits(4)).await;
    let ticket = session.join(&x, &claim).await.unwrap();
    let grant = session.granted(&ticket).await.unwrap();
    faults.hold_reply();
    // Whose bell is taken away has missed news.
    let other = other(&server).await;
    let seat = format!("{NAMESPACE}/mutex/moves/h/p/{}", claim.id);
    let bell = format!("{NAMESPACE}/session/{}/bell", claim.id.session);
    let evicts = [seat, bell].map(|key| TxnOp::delete(key, None));
    other.kv_client().txn(Txn::new().and_then(evicts)).await.unwrap();
    soon("it makes sure", faults.held_a_reply()).await;
    let refused = session.set_mode(&ticket, permits(3)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotHeld);
    faults.let_go();
    assert_eq!(soon("it is told", grant.fate.ended()).await, LostReason::Evicted);
    session.close().await.unwrap();
}

#[tokio::test]
async fn c5_a_holder_that_leaves_a_full_store_takes_the_seat_of_a_weaker_mode_with_it() {
    let options = EtcdOptions { quota_backend_bytes: Some(256 * 1024), ..EtcdOptions::default() };
    let server = Server::with(options).await.unwrap();
    let x = line("full");
    let (session, claim, faults) = session(&server, Layout::Native, Mode::Exclusive).await;
    let (behind, _) = user(&server, Layout::Native).await;
    let ticket = session.join(&x, &claim).await.unwrap();
    session.granted(&ticket).await.unwrap();
    let waits = behind.claims(x.clone());
    let waits = tokio::spawn(async move { waits.acquire(Mode::Exclusive).await });
    let other = other(&server).await;
    let holders = async || {
        let all = GetOptions::new().with_prefix();
        let found = other.kv_client().get(format!("{NAMESPACE}/mutex/full/h/"), Some(all)).await;
        found.unwrap().kvs().len()
    };
    let nodes = format!("{NAMESPACE}/mutex/full/q/");
    let all = WatchOptions::new().with_prefix().with_start_revision(1);
    let mut watch = other.watch_client().watch(nodes, Some(all)).await.unwrap();
    let is_link = |event: &Event| event.kv().is_some_and(|kv| kv.key().ends_with(b"/next"));
    while !soon("a link", watch.message()).await.unwrap().unwrap().events().iter().any(is_link) {}
    // Refused until it has heard who waits behind it.
    while holders().await == 0 {
        faults.lose_reply(0);
        assert!(session.set_mode(&ticket, Mode::Shared).await.is_err());
    }
    // Not polled for: it takes hundreds.
    while other.kv_client().put("filler", "#".repeat(512), None).await.is_ok() {}
    session.leave(&x, claim.id).await.unwrap();
    let turn = soon("its turn", waits).await.unwrap().unwrap();
    turn.release().await.unwrap();
    behind.close().await.unwrap();
    session.close().await.unwrap();
}

#[tokio::test]
async fn c4_a_release_that_meets_the_claim_that_it_expects_is_one_request() {
    let server = Server::start().await.unwrap();
    let x = line("meets");
    let (session, claim, faults) = session(&server, Layout::Native, Mode::Exclusive).await;
    let (ahead, _) = user(&server, Layout::Native).await;
    let held = ahead.claims(x.clone()).acquire(Mode::Exclusive).await.unwrap();
    let ticket = session.join(&x, &claim).await.unwrap();
    held.release().await.unwrap();
    soon("its turn", session.granted(&ticket).into_future()).await.unwrap();
    // The session ahead comes back, and what it has linked has not been heard.
    let (next, other) = (ClaimId { session: ahead.session_id(), number: 1 }, other(&server).await);
    let key = |part: &str| format!("{NAMESPACE}/mutex/meets/{part}");
    let comes = [
        (key(&format!("q/{next}")), Record::from(&claim).write()),
        (key("tail"), format!("{next} behind").into_bytes()),
        (key(&format!("q/{}/next", claim.id)), next.to_string().into_bytes()),
    ];
    let comes = comes.map(|(key, value)| TxnOp::put(key, value, None));
    other.kv_client().txn(Txn::new().and_then(comes)).await.unwrap();
    faults.lose_request(1);
    session.leave(&x, claim.id).await.unwrap();
    assert!(session.inspect(&x).await.is_err(), "it took two requests");
    let places = session.inspect(&x).await.unwrap().places;
    assert_eq!(places.iter().map(|place| place.claim).collect::<Vec<_>>(), [next]);
    let bell = format!("{NAMESPACE}/session/{}/bell", next.session);
    let told = other.kv_client().get(bell, None).await.unwrap();
    assert!(told.kvs()[0].value().starts_with(b"turn 1"), "{told:?}");
    session.close().await.unwrap();
    ahead.close().await.unwrap();
}
