//! Futures dropped at every await point leave nothing behind (C5). Every seam call yields before and after
//! the store acts, so each poll goes one await further; each operation is polled k times and dropped, for
//! every k until it ends.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lock_core::{
    Capabilities, Claim, ClaimId, Coordinator, Grant, Lease, Line, LineId, Mode, Payload, Result,
    SessionOptions, Ticket,
    backend::{Answer, Backend, Cell, CellVersion, Session, SharedSession},
};

use crate::support::{MILLI, World, background, settle};

/// The point that was passed last.
type Here = Arc<Mutex<String>>;

#[derive(Clone, Debug)]
struct Yielding<T> {
    inner: T,
    here: Here,
}

impl<T> Yielding<T> {
    async fn around<R>(&self, call: &str, inner: impl Future<Output = R>) -> R {
        self.between(call, tokio::task::yield_now, inner).await
    }

    /// The same for calls that are made in a task, which goes on while nobody polls: more slowly than the test does.
    #[expect(clippy::disallowed_methods, reason = "it has no machine of its own")]
    async fn around_slowly<R>(&self, call: &str, inner: impl Future<Output = R>) -> R {
        self.between(call, || tokio::time::sleep(4 * MILLI), inner).await
    }

    async fn between<R, P: Future<Output = ()>>(
        &self,
        call: &str,
        pause: impl Fn() -> P,
        inner: impl Future<Output = R>,
    ) -> R {
        *self.here.lock().unwrap() = format!("before {call}");
        pause().await;
        *self.here.lock().unwrap() = format!("in {call}");
        let result = inner.await;
        *self.here.lock().unwrap() = format!("after {call}");
        pause().await;
        result
    }
}

#[async_trait]
impl Backend for Yielding<lock_core::Memory> {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        let inner = self.around("open", self.inner.open(options)).await?;
        Ok(Arc::new(Yielding { inner, here: self.here.clone() }))
    }
}

#[async_trait]
impl Session for Yielding<SharedSession> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn lease(&self) -> &Arc<Lease> {
        self.inner.lease()
    }
    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        let (this, line, claim) = (self.clone(), line.clone(), claim.clone());
        Answer::later(
            async move { this.around("join", async { this.inner.join(&line, &claim).await }).await },
        )
    }
    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        let (this, ticket) = (self.clone(), ticket.clone());
        Answer::later(
            async move { this.around("granted", async { this.inner.granted(&ticket).await }).await },
        )
    }
    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        let (this, line, claim) = (self.clone(), line.clone(), claim.clone());
        Answer::later(async move {
            this.around("try_join", async { this.inner.try_join(&line, &claim).await }).await
        })
    }
    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        let (this, line) = (self.clone(), line.clone());
        Answer::later(
            async move { this.around("leave", async { this.inner.leave(&line, claim).await }).await },
        )
    }
    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.around_slowly("update", self.inner.update(ticket, payload)).await
    }
    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        self.around("set_mode", self.inner.set_mode(ticket, weaker)).await
    }
    async fn inspect(&self, line: &LineId) -> Result<Line> {
        self.around("inspect", self.inner.inspect(line)).await
    }
    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        self.around("changes", self.inner.changes(line)).await
    }
    async fn cell(&self, line: &LineId) -> Result<Cell> {
        self.around("cell", self.inner.cell(line)).await
    }
    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        self.around("put_cell", self.inner.put_cell(line, expected, bytes, under)).await
    }
    async fn forget(&self, line: &LineId) -> Result<()> {
        self.around("forget", self.inner.forget(line)).await
    }
    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        self.around("evict", self.inner.evict(line, claim)).await
    }
    async fn close(&self) -> Result<()> {
        self.around_slowly("close", self.inner.close()).await
    }
    fn abandon(&self) {
        self.inner.abandon();
    }
}

/// Somebody else holds the line for a while, or nobody does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contention {
    Free,
    Held,
    /// The last holder of a lock with a delay did not end well.
    Lost,
}

const HELD_FOR: Duration = Duration::from_millis(20);

pub(crate) async fn drop_at_every_await<F: Future>(
    name: &str,
    contention: Contention,
    operation: impl Fn(Coordinator) -> F,
) -> BTreeSet<String> {
    let mut points = BTreeSet::new();
    for polls in 0.. {
        let world = World::new();
        let here = Here::default();
        let backend = Yielding { inner: world.memory.clone(), here: here.clone() };
        let coordinator = Coordinator::open(Arc::new(backend), world.options()).await.unwrap();
        let other = world.coordinator().await;
        settle().await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if let Contention::Held = contention {
            let mutex_guard = other.mutex("x").unwrap().lock().await.unwrap();
            let leadership = other.election("x").unwrap().campaign("other").await.unwrap();
            let task_line = other.task("x").unwrap().at_least_for(HELD_FOR);
            let _ = task_line.run(1, async {}).await.unwrap();
            let write_guard = other.rw_lock("x").unwrap().write().await.unwrap();
            let permit = other.semaphore("x", 1).unwrap().acquire().await.unwrap();
            let runtime = world.runtime.clone();
            background(async move {
                lock_core::runtime::Runtime::sleep_until(
                    &runtime,
                    lock_core::runtime::Runtime::now(&runtime) + HELD_FOR,
                )
                .await;
                drop((mutex_guard, leadership, write_guard, permit));
            });
        }
        let lost = coordinator.mutex("x").unwrap().lock_delay(HELD_FOR);
        if let Contention::Lost = contention {
            let guard = lost.lock().await.unwrap();
            lost.evict(guard.claim()).await.unwrap();
        }
        let before = record(&other).await;
        // Between two polls time passes and others run: a poll that finds nothing new stays where it is.
        let finished = {
            let mut future = pin!(operation(coordinator.clone()));
            let mut finished = false;
            for _ in 0..polls {
                if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    finished = true;
                    break;
                }
                world.sleep(MILLI).await;
            }
            finished
        };
        if finished {
            break;
        }
        let point = here.lock().unwrap().clone();
        points.insert(format!("{name}, {contention:?}: {point}"));
        let what = format!("{name} dropped {point} ({contention:?})");
        if let Contention::Held = contention {
            world.sleep(HELD_FOR + MILLI).await;
        }
        world.assert_clean_soon(&what).await;
        let after = record(&other).await;
        assert!(after == before || after.contains("released"), "{what}: {after} is left, {before} was there");
        let guard = other.mutex("x").unwrap().try_lock().await.unwrap();
        assert!(guard.is_some(), "{what}: the lock is stuck");
        let writing = other.rw_lock("x").unwrap().try_write().await.unwrap();
        assert!(writing.is_some(), "{what}: the read-write lock is stuck");
        drop((guard, writing));
        world
            .until(&format!("no task is left after {what}"), async || {
                tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks
            })
            .await;
    }
    points
}

/// What the cell of the mutex says of its holder.
async fn record(coordinator: &Coordinator) -> String {
    let line = LineId::new(lock_core::Kind::Mutex, "x".parse().unwrap());
    let cell = coordinator.claims(line).cell().await.unwrap();
    String::from_utf8(cell.bytes.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn c5_a_future_dropped_at_any_await_leaves_nothing_behind() {
    let mut points = BTreeSet::new();
    for contention in [Contention::Free, Contention::Held, Contention::Lost] {
        points.extend(
            drop_at_every_await("lock and release with a delay", contention, async |c: Coordinator| {
                let mutex = c.mutex("x").unwrap().lock_delay(HELD_FOR);
                let _ = mutex.lock().await.unwrap().release().await;
                drop(mutex.try_lock_for(HELD_FOR).await.unwrap());
            })
            .await,
        );
    }
    for contention in [Contention::Free, Contention::Held] {
        points.extend(
            drop_at_every_await("lock", contention, async |c: Coordinator| {
                drop(c.mutex("x").unwrap().lock().await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("max_hold", contention, async |c: Coordinator| {
                drop(c.mutex("x").unwrap().max_hold(MILLI).lock().await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("try_lock", contention, async |c: Coordinator| {
                drop(c.mutex("x").unwrap().try_lock().await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("try_lock_for, patient", contention, async |c: Coordinator| {
                drop(c.mutex("x").unwrap().try_lock_for(HELD_FOR * 2).await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("try_lock_for, impatient", contention, async |c: Coordinator| {
                drop(c.mutex("x").unwrap().try_lock_for(HELD_FOR / 2).await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("re-entrant", contention, async |c: Coordinator| {
                let owner = c.mutex("x").unwrap().reentrant();
                let first = owner.lock().await.unwrap();
                drop(owner.lock().await.unwrap());
                let _ = first.release().await;
            })
            .await,
        );
        points.extend(
            drop_at_every_await("lock_all", contention, async |c: Coordinator| {
                drop(c.lock_all(["z", "x", "y"]).await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("try_lock_all", contention, async |c: Coordinator| {
                drop(c.try_lock_all(["x", "w"]).await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("try_lock_all_for, impatient", contention, async |c: Coordinator| {
                drop(c.try_lock_all_for(["x", "w"], HELD_FOR / 2).await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("release all", contention, async |c: Coordinator| {
                let _ = c.lock_all(["y", "x"]).await.unwrap().release().await;
            })
            .await,
        );
        points.extend(
            drop_at_every_await("release", contention, async |c: Coordinator| {
                let _ = c.mutex("x").unwrap().lock().await.unwrap().release().await;
            })
            .await,
        );
        points.extend(
            drop_at_every_await("read", contention, async |c: Coordinator| {
                drop(c.rw_lock("x").unwrap().read().await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("write and downgrade", contention, async |c: Coordinator| {
                let writing = c.rw_lock("x").unwrap().write().await.unwrap();
                let _ = writing.downgrade().await.unwrap().release().await;
            })
            .await,
        );
        points.extend(
            drop_at_every_await("acquire", contention, async |c: Coordinator| {
                drop(c.semaphore("x", 1).unwrap().acquire().await.unwrap());
            })
            .await,
        );
        points.extend(
            drop_at_every_await("try_acquire_for and resize", contention, async |c: Coordinator| {
                let semaphore = c.semaphore("x", 1).unwrap();
                drop(semaphore.try_acquire_for(HELD_FOR / 2).await.unwrap());
                semaphore.resize(2).await.unwrap();
            })
            .await,
        );
        points.extend(
            drop_at_every_await("a cap", contention, async |c: Coordinator| {
                drop(c.mutex("x").unwrap().at_most_in_line(2).lock().await.unwrap());
                drop(c.rw_lock("x").unwrap().at_most_in_line(2).try_read().await.unwrap());
                drop(c.semaphore("x", 1).unwrap().at_most_in_line(1).acquire().await);
            })
            .await,
        );
        points.extend(
            drop_at_every_await("task", contention, async |c: Coordinator| {
                let _ = c.task("x").unwrap().run(2, tokio::task::yield_now()).await.unwrap();
            })
            .await,
        );
        points.extend(
            drop_at_every_await("inspect and evict", contention, async |c: Coordinator| {
                let line = c.mutex("x").unwrap().inspect().await.unwrap();
                for holder in line.holders() {
                    c.mutex("x").unwrap().evict(holder.claim).await.unwrap();
                }
            })
            .await,
        );
        points.extend(
            drop_at_every_await("campaign", contention, async |c: Coordinator| {
                let leadership = c.election("x").unwrap().campaign("a").await.unwrap();
                leadership.proclaim("b").await.unwrap();
                leadership.resign().await.unwrap();
            })
            .await,
        );
        points.extend(
            drop_at_every_await("run an election", contention, async |c: Coordinator| {
                let work = async |leadership: Arc<lock_core::Leadership>| {
                    tokio::task::yield_now().await;
                    std::ops::ControlFlow::Break(leadership.term())
                };
                c.election("x").unwrap().run("a", work).await.unwrap()
            })
            .await,
        );
        points.extend(
            drop_at_every_await("observe", contention, async |c: Coordinator| {
                c.election("x").unwrap().observe().next().await.unwrap()
            })
            .await,
        );
        points.extend(
            drop_at_every_await("close", contention, async |c: Coordinator| {
                let guard = c.mutex("x").unwrap().lock().await.unwrap();
                c.close().await.unwrap();
                drop(guard);
            })
            .await,
        );
    }
    for point in &points {
        println!("dropped: {point}");
    }
    println!("{} points", points.len());
    for call in [
        "join", "granted", "try_join", "leave", "cell", "put_cell", "inspect", "evict", "update", "set_mode",
        "changes", "close",
    ] {
        for side in ["before", "after"] {
            let hit = points.iter().any(|point| point.ends_with(&format!("{side} {call}")));
            assert!(hit, "no future was dropped {side} {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c5_callers_that_are_dropped_while_a_lost_session_is_replaced_leave_nothing() {
    for polls in 0..40 {
        let world = World::new();
        let here = Here::default();
        let backend = Yielding { inner: world.memory.clone(), here: here.clone() };
        let coordinator = Coordinator::open(Arc::new(backend), world.options()).await.unwrap();
        settle().await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        world.memory.expire_now(coordinator.session_id());
        world.until("the loss is noticed", async || coordinator.health().is_lost()).await;
        let mutex = coordinator.mutex("x").unwrap();
        let mut callers: Vec<_> = (0..20).map(|_| Box::pin(mutex.lock())).collect();
        for _ in 0..polls {
            callers.retain_mut(|caller| {
                caller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
            });
            world.sleep(50 * MILLI).await;
        }
        let opening = here.lock().unwrap().ends_with("open");
        drop(callers);
        let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        // The replacement that is under way, and the two tasks of the new session.
        assert!(!opening || alive <= tasks + 3, "{alive} tasks after {polls} polls, {tasks} before");
        world.assert_clean_soon("callers dropped during replacement").await;
        world
            .until("no task is left", async || {
                tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn c5_opening_dropped_at_any_await_leaves_no_session() {
    for polls in 0.. {
        let world = World::new();
        let backend = Arc::new(Yielding { inner: world.memory.clone(), here: Here::default() });
        let finished = {
            let mut opening = pin!(Coordinator::open(backend, world.options()));
            let poll = |_| opening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            (0..polls).any(poll)
        };
        world.until("the session is closed", async || world.memory.residue().sessions == 0).await;
        if finished {
            assert!(polls > 2);
            break;
        }
    }
}
