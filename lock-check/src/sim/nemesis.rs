//! What goes wrong: processes that die or stand still, machines that sleep, operators who evict, stores that
//! end sessions.

use std::sync::{Arc, atomic::Ordering};

use lock_core::{LineId, SessionId, SessionOptions, backend::SharedSession, runtime::Runtime};

use super::{Dice, TTL, World, client::Client, lines};
use crate::history::What;

/// What befalls clients; the store has faults of its own.
const FAULTS: [&str; 5] = ["kills", "closes", "pauses", "suspends", "evictions"];

/// What clients bring about, and must have happened often enough too; and so must the mishaps of the store.
const OTHERS: [&str; 1] = ["calls cancelled"];

/// Somebody with a session of their own, to whom nothing happens: sees every line, and makes things go wrong
/// for others.
pub(super) struct Operator {
    world: Arc<World>,
    session: SharedSession,
    dice: Dice,
}

impl Operator {
    pub(super) async fn new(world: &Arc<World>) -> Self {
        let dice = Dice(world.clock().clone());
        let id = SessionId::new(world.clock().random_u64());
        let options = SessionOptions { id, ttl: TTL, runtime: world.clock().shared() };
        let session = match world.store.operators_way().await.open(options).await {
            Ok(session) => session,
            Err(error) => unreachable!("nothing goes wrong for an operator: {error}"),
        };
        let operator = Self { world: world.clone(), session, dice };
        operator.watch_lines().await;
        operator
    }

    /// Writes the store's own view of every line into the history.
    async fn watch_lines(&self) {
        for line in lines() {
            self.world.asked.fetch_add(1, Ordering::Relaxed);
            let Ok(mut changes) = self.session.changes(&line).await else { continue };
            let world = self.world.clone();
            self.world.spawn(async move {
                while let Some(Ok(line)) = std::future::poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
                    let holders = line.holders().filter_map(|p| Some((p.claim, p.mode, p.token?))).collect();
                    world.record(What::Seen { line: line.id, holders });
                }
            });
        }
    }

    pub(super) fn leave(&self) {
        self.session.abandon();
    }

    /// Goes on until everything has happened often enough.
    pub(super) async fn rage(&self, clients: &[Arc<Client>]) {
        let store = &self.world.store;
        let faults: Vec<&str> = FAULTS.iter().chain(store.faults()).copied().collect();
        let rare = |what: &&str| self.world.count(what) < store.at_least();
        while faults.iter().chain(&OTHERS).chain(store.mishaps()).any(rare) {
            self.world.sleep(self.dice.millis(10..90)).await;
            self.strike(self.dice.pick::<&str>(&faults), self.dice.pick(clients)).await;
        }
    }

    async fn strike(&self, fault: &'static str, client: &Arc<Client>) {
        let coordinator = client.coordinator();
        // What happens to a session that is over already is not counted.
        let mut happened = !coordinator.health().is_lost();
        match fault {
            "kills" => coordinator.abandon(),
            "closes" => happened = client.close().await,
            "pauses" => client.machine.pause(self.dice.millis(200..1500)),
            "suspends" => client.machine.suspend(self.dice.millis(0..1500)),
            "evictions" => happened = self.evict().await,
            _ => happened = self.world.store.strike(fault, client.number, coordinator.session_id()).await,
        }
        if happened {
            self.world.note(fault);
        }
    }

    /// Evicts somebody, if there is anybody.
    async fn evict(&self) -> bool {
        let claims = |line: LineId| {
            let claims = self.world.store.claims(&line);
            claims.into_iter().map(move |claim| (line.clone(), claim))
        };
        let places: Vec<_> = lines().flat_map(claims).collect();
        if places.is_empty() {
            return false;
        }
        let (line, claim) = self.dice.pick(&places);
        self.world.record(What::Evicted { claim: *claim });
        self.world.asked.fetch_add(1, Ordering::Relaxed);
        self.session.evict(line, *claim).await.is_ok_and(|evicted| evicted)
    }
}
