//! A store that is full, and has room again.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lock_core::{
    Capabilities, Claim, ClaimId, Coordinator, Error, ErrorKind, Grant, Lease, Line, LineId, Memory, Mode,
    Payload, Result, SessionOptions, Ticket,
    backend::{Answer, Backend, Cell, CellVersion, Session, SharedSession},
};

use crate::support::{World, settle};

/// While it is full, a join is not answered, lands when there is room, and when it is repeated is refused; as is
/// every leave.
#[derive(Clone, Debug)]
struct Shelf {
    memory: Memory,
    is_full: Arc<AtomicBool>,
    late: Arc<Mutex<Option<(SharedSession, LineId, Claim)>>>,
}

impl Shelf {
    fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// There is room: what is under way lands.
    async fn has_room(&self) {
        self.is_full.store(false, Ordering::Relaxed);
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (session, line, claim) = late.expect("a join is under way");
        session.join(&line, &claim).await.unwrap();
    }
}

#[async_trait]
impl Backend for Shelf {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        Ok(Arc::new(OnShelf { session: self.memory.open(options).await?, shelf: self.clone() }))
    }
}

#[derive(Debug)]
struct OnShelf {
    session: SharedSession,
    shelf: Shelf,
}

fn full() -> Error {
    Error::new(ErrorKind::Full, "no room")
}

#[async_trait]
impl Session for OnShelf {
    fn capabilities(&self) -> Capabilities {
        self.session.capabilities()
    }

    fn lease(&self) -> &Arc<Lease> {
        self.session.lease()
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        if !self.shelf.is_full() {
            return self.session.join(line, claim);
        }
        let mut late = self.shelf.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.is_some() {
            return Answer::Now(Err(full()));
        }
        *late = Some((self.session.clone(), line.clone(), claim.clone()));
        Answer::Now(Err(Error::new(ErrorKind::Unavailable, "no answer").with_unknown_effect()))
    }

    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        self.session.granted(ticket)
    }

    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        self.session.try_join(line, claim)
    }

    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        if self.shelf.is_full() { Answer::Now(Err(full())) } else { self.session.leave(line, claim) }
    }

    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.session.update(ticket, payload).await
    }

    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        self.session.set_mode(ticket, weaker).await
    }

    async fn inspect(&self, line: &LineId) -> Result<Line> {
        self.session.inspect(line).await
    }

    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        self.session.changes(line).await
    }

    async fn cell(&self, line: &LineId) -> Result<Cell> {
        self.session.cell(line).await
    }

    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        self.session.put_cell(line, expected, bytes, under).await
    }

    async fn forget(&self, line: &LineId) -> Result<()> {
        self.session.forget(line).await
    }

    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        self.session.evict(line, claim).await
    }

    async fn close(&self) -> Result<()> {
        self.session.close().await
    }

    fn abandon(&self) {
        self.session.abandon();
    }
}

#[tokio::test(start_paused = true)]
async fn c5_a_join_that_lands_when_a_full_store_has_room_again_is_taken_away() {
    let world = World::new();
    let (is_full, late) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let shelf = Shelf { memory: world.memory.clone(), is_full, late };
    let coordinator = Coordinator::open(Arc::new(shelf.clone()), world.options()).await.unwrap();
    let error = coordinator.mutex("x").unwrap().lock().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Full, lock_core::Effect::Unknown));
    settle().await;
    shelf.has_room().await;
    assert_eq!(world.memory.residue().claims, 1);
    world.sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(world.memory.residue().claims, 0, "nobody wants it");
    assert!(!coordinator.health().is_lost());
}
