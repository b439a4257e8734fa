//! What can be simulated: the store in memory, and any other that is given from outside.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lock_core::{ClaimId, LineId, Memory, SessionId, backend::Backend, runtime::SimulatedRuntime};

use super::{Chronicle, Dice, Subject, TTL};
use crate::broken::Broken;

/// A store in a simulation: how it is reached, what may happen to it, and how to look into it past everybody.
///
/// All its clocks, tasks and chances come from the simulation's [`Chronicle`], so that a seed gives one
/// history.
#[async_trait]
pub trait Store: Send + Sync {
    /// The way to the store of the processes on one machine, that of the client of this number. Asked for
    /// once for each client.
    async fn way(&self, client: usize, machine: &SimulatedRuntime) -> Arc<dyn Backend>;

    /// The way of an operator, where nothing goes wrong.
    async fn operators_way(&self) -> Arc<dyn Backend>;

    /// Whether what is sent to its sessions and what they answer is to be made late, lost and repeated for
    /// it. Otherwise the store does so itself, further inside.
    fn is_remote(&self) -> bool;

    /// At least so often does each fault and each mishap happen in every run.
    fn at_least(&self) -> u64;

    /// After how long the session of somebody who was killed has ended, at the latest.
    fn recovery(&self) -> Duration;

    /// Who is in line.
    fn claims(&self, line: &LineId) -> Vec<ClaimId>;

    /// What is there that should have gone with the last session.
    fn residue(&self) -> Vec<String>;

    /// How many calls to its sessions it has served, if it counts those.
    fn served(&self) -> Option<u64>;

    /// What the store can be [struck](Self::strike) with.
    fn faults(&self) -> &[&'static str];

    /// What happens by itself, and is [noted](Chronicle::note) when it does.
    fn mishaps(&self) -> &[&'static str];

    /// Makes one of its faults happen, to the client of this number or to the store; tells whether it did.
    async fn strike(&self, fault: &str, client: usize, session: SessionId) -> bool;
}

/// The store in memory; broken on purpose, if wanted.
pub(super) struct InMemory {
    chronicle: Arc<Chronicle>,
    memory: Memory,
    backend: Arc<dyn Backend>,
}

impl InMemory {
    pub(super) fn new(chronicle: &Arc<Chronicle>, subject: Subject) -> Self {
        let memory = Memory::with_clock(chronicle.clock().shared());
        let backend: Arc<dyn Backend> = match subject {
            Subject::Memory => Arc::new(memory.clone()),
            Subject::Wrapped => Arc::new(Broken::new(memory.clone(), None)),
            Subject::Broken(flaw) => Arc::new(Broken::new(memory.clone(), Some(flaw))),
        };
        Self { chronicle: chronicle.clone(), memory, backend }
    }
}

#[async_trait]
impl Store for InMemory {
    async fn way(&self, _: usize, _: &SimulatedRuntime) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    async fn operators_way(&self) -> Arc<dyn Backend> {
        Arc::new(self.memory.clone())
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn at_least(&self) -> u64 {
        30
    }

    fn recovery(&self) -> Duration {
        TTL
    }

    fn claims(&self, line: &LineId) -> Vec<ClaimId> {
        self.memory.peek(line).places.into_iter().map(|place| place.claim).collect()
    }

    fn residue(&self) -> Vec<String> {
        Vec::new()
    }

    fn served(&self) -> Option<u64> {
        Some(self.memory.served())
    }

    fn faults(&self) -> &[&'static str] {
        &["expiries", "renewals answered late"]
    }

    fn mishaps(&self) -> &[&'static str] {
        &["requests lost", "replies lost", "messages late", "requests repeated by the network"]
    }

    async fn strike(&self, fault: &str, _: usize, session: SessionId) -> bool {
        if fault != "expiries" {
            let late = Dice(self.chronicle.clock().clone()).millis(0..700);
            return self.memory.delay_renewals(session, late);
        }
        let ended = self.memory.expire_now(session);
        if ended {
            self.chronicle.session_ended(session);
        }
        ended
    }
}
