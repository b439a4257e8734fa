//! Requests that are lost before etcd sees them: the suite loses replies.

use std::{sync::Arc, time::Duration};

use etcd_client::{Channel, Client, GetOptions, PutOptions};
use futures_util::FutureExt as _;
use lock_core::{
    Claim, ClaimId, Coordinator, Effect, ErrorKind, Kind, LineId, Mode, Options, Payload, SessionId,
    SessionOptions,
    backend::{Backend, CellVersion},
};
use lock_etcd::{Etcd, Layout};
use lock_testkit::{live::soon, server::etcd::Etcd as Server, suite::MODES};
use tonic::transport::Endpoint;
use tower::util::BoxCloneSyncService;

use crate::{
    channel::{Faults, Faulty},
    harness::{NAMESPACE, TTL, client},
};

/// More than any one of these operations makes.
const REQUESTS: u64 = 7;

pub(crate) async fn user(server: &Server, layout: Layout) -> (Coordinator, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let etcd = client(server, faults.clone()).await.unwrap();
    let backend = Arc::new(Etcd::from_client_in(layout, etcd, Some(NAMESPACE)).unwrap());
    (Coordinator::open(backend, Options::default().ttl(TTL * 5)).await.unwrap(), faults)
}

pub(crate) fn line(name: &str) -> LineId {
    LineId::new(Kind::Mutex, name.parse().unwrap())
}

#[tokio::test]
async fn c9_a_request_that_is_lost_is_made_again() {
    requests_are_lost(Layout::Native, &MODES).await;
}

#[tokio::test]
async fn c9_a_request_that_is_lost_is_made_again_in_the_layout_of_go() {
    requests_are_lost(Layout::Go, &[Mode::Exclusive]).await;
}

async fn requests_are_lost(layout: Layout, modes: &[Mode]) {
    let server = Server::start().await.unwrap();
    let ((user, faults), (other, _)) = (user(&server, layout).await, user(&server, layout).await);
    for &mode in modes {
        for after in 0..REQUESTS {
            let what = format!("{mode}, the request after {after} is lost");
            let (mine, others) = (user.claims(line("lost")), other.claims(line("lost")));
            faults.lose_request(after);
            let guard = soon(&what, mine.acquire(mode)).await.unwrap();
            let cell = mine.cell().await.unwrap();
            mine.put_cell(cell.version, what.as_bytes(), &guard).await.unwrap();
            soon(&what, guard.release()).await.unwrap();
            let guard = soon(&what, mine.try_acquire(mode)).await.unwrap();
            soon(&what, guard.unwrap().release()).await.unwrap();
            // Behind somebody, and giving up.
            let held = soon(&what, others.acquire(Mode::Exclusive)).await.unwrap();
            faults.lose_request(after);
            let tried = soon(&what, mine.try_acquire_for(mode, Duration::from_millis(50))).await.unwrap();
            assert_eq!(tried.is_none(), mode != Mode::Present, "{what}");
            drop(tried);
            // Handed over.
            faults.lose_request(after);
            let (waited, released) =
                tokio::join!(soon(&what, mine.acquire(mode)), soon(&what, held.release()));
            released.unwrap();
            waited.unwrap().release().await.unwrap();
            // Nobody is left, so everybody else can go on.
            soon(&what, others.acquire(Mode::Exclusive)).await.unwrap().release().await.unwrap();
        }
        let cell = other.claims(line("lost")).cell().await.unwrap();
        assert_ne!(cell.version, CellVersion::ABSENT);
    }
    for user in [user, other] {
        user.close().await.unwrap();
    }
}

#[tokio::test]
async fn c6_a_try_whose_request_was_lost_can_never_land() {
    let server = Server::start().await.unwrap();
    let ((user, faults), (other, _)) =
        (user(&server, Layout::Native).await, user(&server, Layout::Native).await);
    let held = other.claims(line("try")).acquire(Mode::Exclusive).await.unwrap();
    let tries = user.claims(line("try"));
    faults.lose_request(0);
    assert!(soon("an answer", tries.try_acquire(Mode::Exclusive)).await.unwrap().is_none());
    // What was lost may only be late.
    let spy = client(&server, Arc::default()).await.unwrap();
    let void = format!("{NAMESPACE}/mutex/try/v/{}.0", user.session_id());
    let found = spy.kv_client().get(void, None).await.unwrap();
    assert_eq!(found.kvs().len(), 1, "the request could still land");
    held.release().await.unwrap();
    for user in [user, other] {
        user.close().await.unwrap();
    }
}

/// A session that is driven call by call, and a claim of it. Its client sends no pings: etcd breaks a connection with too
/// many of them, and nobody repeats these calls.
pub(crate) async fn session(
    server: &Server,
    layout: Layout,
    mode: Mode,
) -> (Arc<dyn lock_core::backend::Session>, Claim, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let endpoints = server.endpoints().into_iter().map(|endpoint| Endpoint::from_shared(endpoint).unwrap());
    let inner = tonic::transport::Channel::balance_list(endpoints);
    let channel = Channel::Custom(BoxCloneSyncService::new(Faulty { inner, faults: faults.clone() }));
    let etcd = Client::from_channel(channel, None).await.unwrap();
    let backend = Etcd::from_client_in(layout, etcd, Some(NAMESPACE)).unwrap();
    let machine = lock_testkit::machine::Machine::new().unwrap();
    let id = SessionId::new(7);
    let options = SessionOptions { id, ttl: TTL * 5, runtime: machine.shared() };
    let claim = Claim {
        id: ClaimId { session: id, number: 0 },
        mode,
        owner: "o".into(),
        payload: Payload::default(),
        since: std::time::UNIX_EPOCH,
    };
    (backend.open(options).await.unwrap(), claim, faults)
}

#[tokio::test]
async fn c5_a_join_that_was_lost_can_never_land_in_the_layout_of_go() {
    let server = Server::start().await.unwrap();
    let (session, claim, faults) = session(&server, Layout::Go, Mode::Exclusive).await;
    let spy = client(&server, Arc::default()).await.unwrap();
    let place = format!("{NAMESPACE}/x/7");
    for lost_reply in [false, true] {
        let claim = Claim { id: ClaimId { number: u64::from(lost_reply), ..claim.id }, ..claim.clone() };
        if lost_reply {
            faults.lose_reply(0)
        } else {
            faults.lose_request(0)
        }
        assert!(session.join(&line("x"), &claim).await.is_err());
        session.leave(&line("x"), claim.id).await.unwrap();
        let keys = [place.clone(), format!("{NAMESPACE}/yourturn.go/void/{}", claim.id)];
        let mut found = Vec::new();
        for key in keys {
            found.push(spy.kv_client().get(key, None).await.unwrap().kvs().len());
        }
        assert_eq!(found, [0, 1], "the request could still land (its reply was lost: {lost_reply})");
    }
    // A request that comes after that takes no effect, whichever it is.
    let void = |claim: &Claim| format!("{NAMESPACE}/yourturn.go/void/{}", claim.id);
    let [joins, tries] = [2, 3].map(|number| Claim { id: ClaimId { number, ..claim.id }, ..claim.clone() });
    for claim in [&joins, &tries] {
        let under_its_lease = PutOptions::new().with_lease(7);
        spy.kv_client().put(void(claim), "", Some(under_its_lease)).await.unwrap();
    }
    assert_eq!(session.join(&line("x"), &joins).await.unwrap_err().kind(), ErrorKind::NotHeld);
    assert_eq!(session.try_join(&line("x"), &tries).await.unwrap_err().kind(), ErrorKind::NotHeld);
    assert!(spy.kv_client().get(place, None).await.unwrap().kvs().is_empty());
    session.close().await.unwrap();
    let found = spy.kv_client().get(void(&joins), None).await.unwrap();
    assert!(found.kvs().is_empty(), "it outlived its session");
}

#[tokio::test]
async fn c16_a_holder_of_permits_gives_them_back_one_by_one() {
    let server = Server::start().await.unwrap();
    let (x, permits) = (line("permits"), |count| Mode::Permits { count, limit: 4 });
    let (session, claim, faults) = session(&server, Layout::Native, permits(4)).await;
    let ticket = session.join(&x, &claim).await.unwrap();
    session.granted(&ticket).await.unwrap();
    for count in [3, 2, 1] {
        // Twice, because the first reply is lost.
        faults.lose_reply(0);
        assert!(session.set_mode(&ticket, permits(count)).await.is_err());
        session.set_mode(&ticket, permits(count)).await.unwrap();
        assert_eq!(session.inspect(&x).await.unwrap().places[0].mode, permits(count));
    }
    session.set_mode(&ticket, Mode::Present).await.unwrap();
    session.leave(&x, claim.id).await.unwrap();
    assert!(session.inspect(&x).await.unwrap().places.is_empty());
    session.close().await.unwrap();
}

#[tokio::test]
async fn c4_who_queues_and_finds_nobody_ahead_holds_by_the_same_request() {
    let server = Server::start().await.unwrap();
    let x = line("alone");
    let (session, claim, faults) = session(&server, Layout::Native, Mode::Present).await;
    // Whoever has another claim in the line queues, and this one is in nobody's way.
    session.join(&x, &claim).await.unwrap();
    let id = ClaimId { number: 1, ..claim.id };
    faults.lose_request(1);
    let ticket = session.join(&x, &Claim { id, mode: Mode::Exclusive, ..claim }).await.unwrap();
    soon("its turn", async { session.granted(&ticket).await }).await.unwrap();
    assert!(session.inspect(&x).await.is_err(), "it took more than one request");
    session.close().await.unwrap();
}

/// Found by the simulation: the tail that a claim leaves behind does not keep a shared claim out, and what a claim of
/// its session finds there is told of the deletion when that is answered.
#[tokio::test]
async fn c1_who_comes_behind_a_claim_that_has_gone_unheard_looks_behind_the_gate() {
    let server = Server::start().await.unwrap();
    let x = line("gone");
    let (session, first, faults) = session(&server, Layout::Native, Mode::Exclusive).await;
    let (other, _) = user(&server, Layout::Native).await;
    let ticket = session.join(&x, &first).await.unwrap();
    session.granted(&ticket).await.unwrap();
    faults.hold_reply();
    let leaves = {
        let (session, x, id) = (session.clone(), x.clone(), first.id);
        async move { session.leave(&x, id).await }
    };
    let leaves = tokio::spawn(leaves);
    soon("the deletion", faults.held_a_reply()).await;
    let shared = soon("a try", other.claims(x.clone()).try_acquire(Mode::Shared)).await.unwrap().unwrap();
    let second = Claim { id: ClaimId { number: 1, ..first.id }, ..first };
    let ticket = session.join(&x, &second).await.unwrap();
    // It waits for the first one by then. Nothing tells: that is said without a request.
    tokio::time::sleep(Duration::from_millis(100)).await;
    faults.let_go();
    soon("the answer", leaves).await.unwrap().unwrap();
    let mut granted = Box::pin(async { session.granted(&ticket).await });
    assert!(granted.as_mut().now_or_never().is_none(), "both hold");
    shared.release().await.unwrap();
    soon("its turn", granted).await.unwrap();
    session.leave(&x, second.id).await.unwrap();
    session.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn c16_a_shared_try_over_a_tail_of_its_own_session_lets_it_be_taken_away() {
    let server = Server::start().await.unwrap();
    let x = line("tail");
    let (session, first, _) = session(&server, Layout::Native, Mode::Exclusive).await;
    let ticket = session.join(&x, &first).await.unwrap();
    session.granted(&ticket).await.unwrap();
    session.leave(&x, first.id).await.unwrap();
    let second = Claim { id: ClaimId { number: 1, ..first.id }, mode: Mode::Shared, ..first };
    assert!(session.try_join(&x, &second).await.unwrap().is_some());
    session.leave(&x, second.id).await.unwrap();
    session.close().await.unwrap();
    let spy = client(&server, Arc::default()).await.unwrap();
    let all = GetOptions::new().with_prefix();
    let left = spy.kv_client().get(format!("{NAMESPACE}/"), Some(all)).await.unwrap();
    assert!(left.kvs().is_empty(), "{left:?}");
}

#[tokio::test]
async fn c9_a_request_to_forget_a_cell_that_comes_late_takes_no_newer_one() {
    let server = Server::start().await.unwrap();
    for layout in [Layout::Native, Layout::Go] {
        let x = line("cell");
        let (session, _, faults) = session(&server, layout, Mode::Exclusive).await;
        session.put_cell(&x, CellVersion::ABSENT, b"older", None).await.unwrap();
        faults.delay_request(1);
        assert_eq!(session.forget(&x).await.unwrap_err().effect(), Effect::Unknown);
        session.forget(&x).await.unwrap();
        let newer = session.put_cell(&x, CellVersion::ABSENT, b"newer", None).await.unwrap();
        faults.deliver().await;
        assert_eq!(session.cell(&x).await.unwrap().version, newer, "{layout:?}");
        session.close().await.unwrap();
    }
}
