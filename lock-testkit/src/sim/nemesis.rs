//! What goes wrong: processes that die or stand still, machines that sleep, operators who evict, stores that
//! end sessions.

use std::sync::{Arc, atomic::Ordering};

use lock_core::{
    SessionId, SessionOptions,
    backend::{Backend, SharedSession},
    runtime::Runtime,
};

use super::{Dice, TTL, World, client::Client, lines};
use crate::history::What;

/// At least so often does each of these happen in every run.
const AT_LEAST: u64 = 30;

const FAULTS: [&str; 7] =
    ["kills", "closes", "pauses", "suspends", "evictions", "expiries", "renewals answered late"];

/// What clients and network bring about, and must have happened often enough too.
const OTHERS: [&str; 5] =
    ["calls cancelled", "requests lost", "replies lost", "messages late", "requests repeated by the network"];

/// Somebody with a session of their own, to whom nothing happens: sees every line, and makes things go wrong
/// for others.
pub(super) struct Operator {
    world: Arc<World>,
    session: SharedSession,
    dice: Dice,
}

impl Operator {
    pub(super) async fn new(world: &Arc<World>) -> Self {
        let dice = Dice(world.clock.clone());
        let id = SessionId::new(world.clock.random_u64());
        let options = SessionOptions { id, ttl: TTL, runtime: world.clock.shared() };
        let session = match world.memory.open(options).await {
            Ok(session) => session,
            Err(error) => unreachable!("opening does not fail in memory: {error}"),
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
        while FAULTS.iter().chain(&OTHERS).any(|what| self.world.count(what) < AT_LEAST) {
            self.world.sleep(self.dice.millis(10..90)).await;
            self.strike(self.dice.pick::<&str>(&FAULTS), self.dice.pick(clients)).await;
        }
    }

    async fn strike(&self, fault: &'static str, client: &Arc<Client>) {
        let (memory, coordinator) = (&self.world.memory, client.coordinator());
        let session = coordinator.session_id();
        // What happens to a session that is over already is not counted.
        let mut happened = !coordinator.health().is_lost();
        match fault {
            "kills" => coordinator.abandon(),
            "closes" => happened = client.close().await,
            "pauses" => client.machine.pause(self.dice.millis(200..1500)),
            "suspends" => client.machine.suspend(self.dice.millis(0..1500)),
            "evictions" => happened = self.evict().await,
            "renewals answered late" => memory.delay_renewals(session, self.dice.millis(0..700)),
            _ => {
                happened = memory.expire_now(session);
                if happened {
                    self.world.record(What::SessionEnded { session });
                }
            }
        }
        if happened {
            self.world.note(fault);
        }
    }

    /// Evicts somebody, if there is anybody.
    async fn evict(&self) -> bool {
        let places: Vec<_> = lines()
            .flat_map(|line| {
                self.world.memory.peek(&line).places.into_iter().map(move |p| (line.clone(), p.claim))
            })
            .collect();
        if places.is_empty() {
            return false;
        }
        let (line, claim) = self.dice.pick(&places);
        self.world.record(What::Evicted { claim: *claim });
        self.world.asked.fetch_add(1, Ordering::Relaxed);
        self.session.evict(line, *claim).await.is_ok_and(|evicted| evicted)
    }
}
