//! The seam as recipes see it: modes, cells, changes, lost replies.

use std::sync::Arc;

use lock_core::{
    Claim, ClaimId, Coordinator, ErrorKind, Kind, Line, LineId, Mode, Payload, SessionId, SessionOptions,
    backend::{Backend, Cell, CellVersion, SharedSession},
    runtime::Runtime,
};

use crate::support::{TTL, World, background, settle};

fn line(name: &str) -> LineId {
    LineId::new(Kind::Mutex, name.parse().unwrap())
}

/// A session, and the claims that a recipe would make on it.
struct Client {
    session: SharedSession,
    id: SessionId,
}

impl Client {
    async fn new(world: &World, id: u64) -> Self {
        let id = SessionId::new(id);
        let runtime = world.runtime.shared();
        Self { session: world.memory.open(SessionOptions { id, ttl: TTL, runtime }).await.unwrap(), id }
    }

    fn claim(&self, number: u64, mode: Mode) -> Claim {
        let (owner, payload) = ("test".into(), Payload::default());
        let id = ClaimId { session: self.id, number };
        Claim { id, mode, owner, payload, since: std::time::SystemTime::UNIX_EPOCH }
    }

    /// Joins each in turn and tells which are granted.
    async fn join_all(&self, line: &LineId, modes: &[Mode]) -> Vec<lock_core::Ticket> {
        let mut tickets = Vec::new();
        for (number, mode) in (0..).zip(modes) {
            tickets.push(self.session.join(line, &self.claim(number, *mode)).await.unwrap());
        }
        tickets
    }

    async fn granted(&self, line: &LineId) -> Vec<u64> {
        self.session.inspect(line).await.unwrap().holders().map(|place| place.claim.number).collect()
    }
}

const fn permits(count: u32) -> Mode {
    Mode::Permits { count, limit: 3 }
}

#[tokio::test(start_paused = true)]
async fn c1_c2_every_mode_is_granted_as_the_kernel_says() {
    let world = World::new();
    let client = Client::new(&world, 1).await;
    let x = line("x");
    client.join_all(&x, &[Mode::Shared, Mode::Shared, Mode::Exclusive, Mode::Shared, Mode::Present]).await;
    assert_eq!(client.granted(&x).await, [0, 1, 4], "nobody overtakes the waiting writer");
    client.session.leave(&x, client.claim(0, Mode::Shared).id).await.unwrap();
    assert_eq!(client.granted(&x).await, [1, 4]);
    client.session.leave(&x, client.claim(1, Mode::Shared).id).await.unwrap();
    assert_eq!(client.granted(&x).await, [2, 4]);
    client.session.leave(&x, client.claim(2, Mode::Shared).id).await.unwrap();
    assert_eq!(client.granted(&x).await, [3, 4]);

    let client = Client::new(&world, 2).await;
    let y = line("y");
    client.join_all(&y, &[permits(2), permits(2), permits(1)]).await;
    assert_eq!(client.granted(&y).await, [0], "a light request does not overtake a heavy one");
    client.session.leave(&y, client.claim(0, permits(2)).id).await.unwrap();
    assert_eq!(client.granted(&y).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_in_the_middle_lets_those_behind_it_through() {
    let world = World::new();
    let client = Client::new(&world, 1).await;
    let x = line("x");
    let tickets = client.join_all(&x, &[Mode::Shared, Mode::Exclusive, Mode::Shared]).await;
    client.session.leave(&x, tickets[1].claim).await.unwrap();
    assert_eq!(client.granted(&x).await, [0, 2]);
    assert_eq!(client.session.granted(&tickets[2]).await.unwrap().token.get(), tickets[2].place);
}

#[tokio::test(start_paused = true)]
async fn a_holder_may_weaken_its_mode_and_change_its_payload_in_place() {
    let world = World::new();
    let client = Client::new(&world, 1).await;
    let x = line("x");
    let tickets = client.join_all(&x, &[Mode::Exclusive, Mode::Shared]).await;
    let before = client.session.granted(&tickets[0]).await.unwrap().token;
    client.session.set_mode(&tickets[0], Mode::Shared).await.unwrap();
    assert_eq!(client.granted(&x).await, [0, 1]);
    assert_eq!(client.session.granted(&tickets[0]).await.unwrap().token, before);
    let error = client.session.set_mode(&tickets[0], Mode::Exclusive).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);

    client.session.update(&tickets[0], Payload::new(b"here").unwrap()).await.unwrap();
    assert_eq!(client.session.inspect(&x).await.unwrap().places[0].payload.as_bytes(), b"here");
    client.session.leave(&x, tickets[0].claim).await.unwrap();
    let error = client.session.update(&tickets[0], Payload::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld);
}

#[tokio::test(start_paused = true)]
async fn c9_a_join_that_is_repeated_happens_once_and_never_after_leave() {
    let world = World::new();
    let client = Client::new(&world, 1).await;
    let x = line("x");
    let claim = client.claim(0, Mode::Exclusive);
    let ticket = client.session.join(&x, &claim).await.unwrap();
    assert_eq!(client.session.join(&x, &claim).await.unwrap(), ticket);
    assert_eq!(client.session.try_join(&x, &claim).await.unwrap().unwrap().0, ticket);
    assert_eq!(world.memory.residue().claims, 1);
    for _ in 0..2 {
        client.session.leave(&x, claim.id).await.unwrap();
    }
    assert_eq!(client.session.join(&x, &claim).await.unwrap_err().kind(), ErrorKind::NotHeld);
    assert!(client.session.try_join(&x, &claim).await.unwrap().is_none());

    let late = client.claim(7, Mode::Exclusive);
    client.session.leave(&x, late.id).await.unwrap();
    assert!(client.session.join(&x, &late).await.is_err(), "a join that lands after its leave is a ghost");
    assert_eq!(world.memory.residue().claims, 0);
}

#[tokio::test(start_paused = true)]
async fn c9_a_lost_reply_changes_nothing_for_the_user() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let (mutex, session) = (coordinator.mutex("x").unwrap(), coordinator.session_id());
    for calls_before in 0..6 {
        world.memory.lose_reply(session, calls_before);
        let first = mutex.lock().await.unwrap();
        assert_eq!(world.memory.residue().claims, 1);
        let token = first.token();
        first.release().await.unwrap();
        let second = mutex.try_lock().await.unwrap().expect("free");
        assert!(second.token() > token);
        second.release().await.unwrap();
        assert_eq!(world.memory.residue().claims, 0, "after {calls_before} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn c11_names_and_kinds_are_independent() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mut guards = Vec::new();
    for name in ["a", "a/b", "a%2Fb", "A", "ab", "a b"] {
        guards.push(coordinator.mutex(name).unwrap().try_lock().await.unwrap().expect(name));
    }
    let done = coordinator.task("a").unwrap().run(1, async {}).await.unwrap();
    assert_eq!(done, lock_core::Outcome::Completed(()));
}

#[tokio::test(start_paused = true)]
async fn c17_a_cell_is_compared_and_set_and_only_by_the_holder() {
    let world = World::new();
    let (a, b) = (Client::new(&world, 1).await, Client::new(&world, 2).await);
    let x = line("x");
    assert_eq!(a.session.cell(&x).await.unwrap(), Cell::absent());
    let first = a.session.put_cell(&x, CellVersion::ABSENT, b"1", None).await.unwrap();
    let error = b.session.put_cell(&x, CellVersion::ABSENT, b"2", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(&*b.session.cell(&x).await.unwrap().bytes, b"1");

    let holder = a.session.join(&x, &a.claim(0, Mode::Exclusive)).await.unwrap();
    let waiter = b.session.join(&x, &b.claim(0, Mode::Exclusive)).await.unwrap();
    let error = b.session.put_cell(&x, first, b"2", Some(&waiter)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld, "it only waits");
    let second = a.session.put_cell(&x, first, b"3", Some(&holder)).await.unwrap();
    world.memory.expire_now(a.id);
    let error = a.session.put_cell(&x, second, b"4", Some(&holder)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost, "too late");
    let third = b.session.put_cell(&x, second, b"5", Some(&waiter)).await.unwrap();

    b.session.forget(&x).await.unwrap();
    assert_eq!(b.session.cell(&x).await.unwrap(), Cell::absent());
    let error = b.session.put_cell(&x, third, b"6", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let fourth = b.session.put_cell(&x, CellVersion::ABSENT, b"6", None).await.unwrap();
    assert_ne!(fourth, first, "no version comes twice");
    let error = b.session.put_cell(&x, fourth, &[0; Cell::MAX_BYTES + 1], None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn changes_show_the_latest_and_never_something_older() {
    let world = World::new();
    let client = Client::new(&world, 1).await;
    let x = line("x");
    let mut changes = client.session.changes(&x).await.unwrap();
    let mut next = async || -> lock_core::Result<Line> {
        std::future::poll_fn(|cx| changes.as_mut().poll_next(cx)).await.expect("not over")
    };
    let empty = next().await.unwrap();
    assert!(empty.places.is_empty());
    let tickets = client.join_all(&x, &[Mode::Exclusive, Mode::Exclusive, Mode::Exclusive]).await;
    let full = next().await.unwrap();
    assert_eq!(full.places.len(), 3, "the latest, no backlog");
    assert!(full.revision > empty.revision);
    client.session.leave(&x, tickets[0].claim).await.unwrap();
    client.session.leave(&x, tickets[1].claim).await.unwrap();
    client.session.leave(&x, tickets[2].claim).await.unwrap();
    let gone = next().await.unwrap();
    assert!(gone.places.is_empty() && gone.revision > full.revision);
    client.session.close().await.unwrap();
    assert_eq!(next().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(std::future::poll_fn(|cx| changes.as_mut().poll_next(cx)).await.is_none());
    drop(changes);
    assert_eq!(world.memory.residue().observers, 0);
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_each_change_while_it_waits() {
    let world = World::new();
    let client = Arc::new(Client::new(&world, 1).await);
    let x = line("x");
    let mut changes = client.session.changes(&x).await.unwrap();
    let seen = background(async move {
        let mut sizes = Vec::new();
        while sizes.len() < 3 {
            let line = std::future::poll_fn(|cx| changes.as_mut().poll_next(cx)).await.unwrap().unwrap();
            sizes.push(line.places.len());
        }
        sizes
    });
    settle().await;
    for number in 0..2 {
        client.session.join(&x, &client.claim(number, Mode::Exclusive)).await.unwrap();
        settle().await;
    }
    assert_eq!(seen.await.unwrap(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn c8_a_process_that_stands_still_is_not_renewed_by_news_of_others() {
    let world = World::new();
    let other = world.coordinator().await;
    let machine = world.runtime.machine(2, 1.0);
    let options = world.options().runtime(machine.shared());
    let coordinator = Coordinator::open(Arc::new(world.memory.clone()), options).await.unwrap();
    let _guard = coordinator.mutex("x").unwrap().lock().await.unwrap();
    machine.pause(TTL * 2);
    world.sleep(TTL * 2 / 3).await;
    let _newcomer = world.coordinator().await;
    world.sleep(TTL / 2).await;
    assert!(other.mutex("x").unwrap().try_lock().await.unwrap().is_some(), "its ttl has passed");
}

#[tokio::test(start_paused = true)]
async fn a_session_id_in_use_is_refused() {
    let world = World::new();
    let client = Client::new(&world, 1).await;
    let options = SessionOptions { id: client.id, ttl: TTL, runtime: world.runtime.shared() };
    assert_eq!(world.memory.open(options).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert!(world.runtime.now() > lock_core::Moment::from_zero(TTL));
}
