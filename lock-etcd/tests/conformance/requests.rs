//! Requests that are lost before etcd sees them: the suite loses replies.

use std::{sync::Arc, time::Duration};

use lock_core::{Coordinator, Kind, LineId, Mode, Options, backend::CellVersion};
use lock_etcd::Etcd;
use lock_testkit::{server::etcd::Etcd as Server, suite::MODES};

use crate::{
    channel::Faults,
    harness::{NAMESPACE, TTL, client},
};

/// Everything that must happen does so within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than any one of these operations makes.
const REQUESTS: u64 = 7;

async fn user(server: &Server) -> (Coordinator, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let etcd = client(server, faults.clone()).await.unwrap();
    let backend = Arc::new(Etcd::from_client(etcd, NAMESPACE).unwrap());
    (Coordinator::open(backend, Options::default().ttl(TTL * 5)).await.unwrap(), faults)
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

fn line(name: &str) -> LineId {
    LineId::new(Kind::Mutex, name.parse().unwrap())
}

#[tokio::test]
async fn c9_a_request_that_is_lost_is_made_again() {
    let server = Server::start().await.unwrap();
    let ((user, faults), (other, _)) = (user(&server).await, user(&server).await);
    for mode in MODES {
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
    let ((user, faults), (other, _)) = (user(&server).await, user(&server).await);
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

#[tokio::test]
async fn c16_a_holder_of_permits_gives_them_back_one_by_one() {
    use lock_core::{Claim, ClaimId, Payload, SessionId, SessionOptions, backend::Backend};
    let server = Server::start().await.unwrap();
    let faults = Arc::new(Faults::default());
    let etcd = client(&server, faults.clone()).await.unwrap();
    let backend = Etcd::from_client(etcd, NAMESPACE).unwrap();
    let machine = lock_testkit::machine::Machine::new().unwrap();
    let id = SessionId::new(7);
    let options = SessionOptions { id, ttl: TTL * 5, runtime: machine.shared() };
    let session = backend.open(options).await.unwrap();
    let (x, permits) = (line("permits"), |count| Mode::Permits { count, limit: 4 });
    let claim = Claim {
        id: ClaimId { session: id, number: 0 },
        mode: permits(4),
        owner: "o".into(),
        payload: Payload::default(),
        since: std::time::UNIX_EPOCH,
    };
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
