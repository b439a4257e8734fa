//! Bad input: a typed error before any I/O, and nothing lost.

use std::{sync::Arc, time::Duration};

use lock_core::{
    Claim, ClaimId, Coordinator, ErrorKind, Kind, LineId, Memory, Mode, Options, Payload, SessionId,
    SessionOptions, backend::Backend,
};

use crate::support::{SECOND, TTL, World};

#[tokio::test(start_paused = true)]
async fn a_bad_name_is_refused_by_every_primitive() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    for name in ["", "a//b", "..", "a\0", "a\u{202e}b", &"x".repeat(600)] {
        for error in [
            coordinator.mutex(name).unwrap_err(),
            coordinator.rw_lock(name).unwrap_err(),
            coordinator.semaphore(name, 1).unwrap_err(),
            coordinator.task(name).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{name:?}");
        }
    }
    let error = coordinator.mutex("a//b").unwrap_err();
    assert_eq!(error.to_string(), r#"mutex: the name "a//b" is empty or has an empty segment"#);
}

#[tokio::test(start_paused = true)]
async fn an_absurd_option_is_refused() {
    let world = World::new();
    let open = async |options: Options| {
        let error = Coordinator::open(Arc::new(world.memory.clone()), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert_eq!(world.memory.residue().sessions, 0);
        error.to_string()
    };
    let ttl = open(world.options().ttl(Duration::ZERO)).await;
    assert_eq!(ttl, "connect: a ttl is between 1s and 86400s, not 0ns");
    open(world.options().ttl(Duration::from_millis(999))).await;
    open(world.options().ttl(Duration::MAX)).await;
    open(world.options().owner("")).await;
    open(world.options().owner("a\nb")).await;
    open(world.options().owner("x".repeat(257))).await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_of_nothing_and_contradictory_limits_are_refused_before_any_request() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let none = Duration::ZERO;
    let errors = [
        coordinator.mutex("x").unwrap().max_hold(none).lock().await.unwrap_err(),
        coordinator.mutex("x").unwrap().max_hold(none).try_lock().await.unwrap_err(),
        coordinator.task("x").unwrap().at_most_for(none).run(1, async {}).await.unwrap_err(),
        coordinator
            .task("x")
            .unwrap()
            .at_most_for(SECOND)
            .at_least_for(TTL)
            .run(1, async {})
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
        assert!(error.line().is_some(), "{error}");
    }
    assert_eq!(world.memory.requests(coordinator.session_id()), 0);
}

#[tokio::test(start_paused = true)]
async fn durations_without_end_are_allowed() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap().max_hold(Duration::MAX);
    let guard = mutex.try_lock_for(Duration::MAX).await.unwrap().unwrap();
    assert!(guard.is_valid());
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn permits_that_can_never_be_granted_are_refused() {
    let world = World::new();
    let id = SessionId::new(1);
    let session =
        world.memory.open(SessionOptions { id, ttl: TTL, runtime: world.runtime.shared() }).await.unwrap();
    let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
    for mode in [Mode::Permits { count: 0, limit: 1 }, Mode::Permits { count: 2, limit: 1 }] {
        let (owner, payload) = ("test".into(), Payload::default());
        let id = ClaimId { session: id, number: 0 };
        let claim = Claim { id, mode, owner, payload, since: std::time::SystemTime::UNIX_EPOCH };
        assert_eq!(session.join(&line, &claim).await.unwrap_err().kind(), ErrorKind::InvalidOption);
        assert_eq!(session.try_join(&line, &claim).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    }
    assert_eq!(world.memory.requests(id), 0);
    assert_eq!(Payload::new(&[0; Payload::MAX_BYTES + 1]).unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn outside_a_runtime_there_is_a_typed_error() {
    let mut opening = std::pin::pin!(Coordinator::open(Arc::new(Memory::new()), Options::default()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = opening.as_mut().poll(&mut context) else { panic!("no error") };
    assert_eq!(error.kind(), ErrorKind::RuntimeStopped);
}

#[test]
fn a_garbled_cell_is_reported_and_kept() {
    let tokio =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    tokio.block_on(async {
        let world = World::new();
        let id = SessionId::new(1);
        let session = world
            .memory
            .open(SessionOptions { id, ttl: TTL, runtime: world.runtime.shared() })
            .await
            .unwrap();
        let line = LineId::new(Kind::Task, "x".parse().unwrap());
        let written =
            session.put_cell(&line, lock_core::backend::CellVersion::ABSENT, b"{]", None).await.unwrap();
        let error = world.coordinator().await.task("x").unwrap().run(1, async {}).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Garbled);
        assert_eq!(session.cell(&line).await.unwrap().version, written);
    });
}
