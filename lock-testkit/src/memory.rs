//! The harness of the in-process store, on a simulated machine; broken on purpose, if wanted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lock_check::broken::{Broken, Flaw};
use lock_core::{
    Memory, SessionId,
    backend::Backend,
    runtime::{SharedRuntime, SimulatedRuntime},
};

use crate::harness::{Client, Control, Harness, Store};

/// Makes stores in memory. Runs within a paused tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryHarness {
    /// What is wrong with them.
    pub flaw: Option<Flaw>,
    /// Whether they declare exclusive claims only.
    pub exclusive_only: bool,
}

#[async_trait]
impl Harness for MemoryHarness {
    async fn store(&self) -> Result<Box<dyn Store>, String> {
        let runtime = SimulatedRuntime::new(1).map_err(|error| error.to_string())?;
        let memory = Memory::with_clock(runtime.shared());
        if self.exclusive_only {
            memory.declare_exclusive_only();
        }
        let backend: Arc<dyn Backend> = match self.flaw {
            Some(flaw) => Arc::new(Broken::new(memory.clone(), Some(flaw))),
            None => Arc::new(memory.clone()),
        };
        Ok(Box::new(MemoryStore { runtime, memory, backend, clients: AtomicU64::new(0) }))
    }
}

struct MemoryStore {
    runtime: SimulatedRuntime,
    memory: Memory,
    backend: Arc<dyn Backend>,
    clients: AtomicU64,
}

#[async_trait]
impl Store for MemoryStore {
    fn runtime(&self) -> SharedRuntime {
        self.runtime.shared()
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn lateness(&self) -> Duration {
        Duration::ZERO
    }

    async fn client(&self) -> Box<dyn Client> {
        // Machines draw different session ids.
        let seed = self.clients.fetch_add(1, Ordering::Relaxed) + 2;
        let runtime = self.runtime.machine(seed, 1.0);
        Box::new(MemoryClient { runtime, memory: self.memory.clone(), backend: self.backend.clone() })
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.memory.served())
    }

    async fn residue(&self) -> Vec<String> {
        let residue = self.memory.residue();
        let counts = [
            ("sessions", residue.sessions),
            ("claims", residue.claims),
            ("lines", residue.lines),
            ("observers", residue.observers),
        ];
        counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect()
    }

    async fn restart(&self) -> Control {
        Control::Unsupported("a store in memory ends with its process")
    }
}

struct MemoryClient {
    runtime: SimulatedRuntime,
    memory: Memory,
    backend: Arc<dyn Backend>,
}

#[async_trait]
impl Client for MemoryClient {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn runtime(&self) -> SharedRuntime {
        self.runtime.shared()
    }

    async fn freeze_renewals(&self, session: SessionId, frozen: bool) -> Control {
        self.memory.pause_renewals(session, frozen);
        Control::Done
    }

    async fn lose_reply(&self, session: SessionId, after: u64) -> Control {
        self.memory.lose_reply(session, after);
        Control::Done
    }

    async fn lost_replies(&self, session: SessionId) -> u64 {
        self.memory.lost_replies(session)
    }

    async fn advance_clock(&self, by: Duration) -> Control {
        self.runtime.suspend(by);
        Control::Done
    }
}
