//! The store as a client uses it: turns of each recipe, and its own guarded writes.

use std::{sync::Arc, time::Duration};

use yourturn::{
    Coordinator, Effect, Error, Kind, Memory, Options, Result, etcd,
    etcd::client::TxnOp,
    zookeeper,
    zookeeper::client::{MultiWriteResult, MultiWriter},
};

use super::{Job, held::Held};
use crate::record::{Fate, Line, Way, Wish};

/// Where in etcd and in ZooKeeper the guarded writes of all lines go.
pub(crate) const REGISTER: &str = "register";

/// The key or node of the guarded writes of a line, without what it begins with in ZooKeeper.
pub(crate) fn register_of(line: Line) -> String {
    format!("{REGISTER}/{}", line.0)
}

pub(crate) struct Store {
    pub(crate) coordinator: Coordinator,
    kind: StoreKind,
}

#[derive(Clone, Copy)]
enum StoreKind {
    Etcd,
    ZooKeeper,
    /// It has no guarded writes.
    Memory,
}

impl Store {
    pub(super) async fn open(job: &Job, memory: Option<Memory>, options: Options) -> Result<Self> {
        let kind = match job.uri.split_once(':') {
            Some(("etcd", _)) => StoreKind::Etcd,
            Some(("zk", _)) => StoreKind::ZooKeeper,
            _ => StoreKind::Memory,
        };
        let coordinator = match memory {
            Some(memory) => Coordinator::open(Arc::new(memory), options).await?,
            None => Coordinator::connect_with(&job.uri, options).await?,
        };
        Ok(Self { coordinator, kind })
    }

    /// Asks for a turn.
    pub(super) async fn acquire(
        &self,
        line: Line,
        wish: Wish,
        way: Way,
        patience: Duration,
    ) -> Result<Option<Held>> {
        let name = line.name();
        let guard = match (line.kind(), wish) {
            (Kind::RwLock, Wish::Shared) => {
                let lock = self.coordinator.rw_lock(name)?;
                match way {
                    Way::Wait | Way::Cancel => lock.read().await.map(Some)?,
                    Way::Try => lock.try_read().await?,
                    Way::TryFor => lock.try_read_for(patience).await?,
                }
            }
            (Kind::RwLock, _) => {
                let lock = self.coordinator.rw_lock(name)?;
                let guard = match way {
                    Way::Wait | Way::Cancel => lock.write().await.map(Some)?,
                    Way::Try => lock.try_write().await?,
                    Way::TryFor => lock.try_write_for(patience).await?,
                };
                guard.map(Into::into)
            }
            (Kind::Semaphore, Wish::Permits { count, limit }) => {
                let semaphore = self.coordinator.semaphore(name, limit)?;
                match way {
                    Way::Wait | Way::Cancel => semaphore.acquire_many(count).await.map(Some)?,
                    Way::Try => semaphore.try_acquire_many(count).await?,
                    Way::TryFor => semaphore.try_acquire_many_for(count, patience).await?,
                }
            }
            // A campaign has no patience.
            (Kind::Election, _) => {
                let leadership = self.coordinator.election(name)?.campaign("me").await?;
                return Ok(Some(Held::Leadership(leadership)));
            }
            _ => {
                let mutex = self.coordinator.mutex(name)?;
                match way {
                    Way::Wait | Way::Cancel => mutex.lock().await.map(Some)?,
                    Way::Try => mutex.try_lock().await?,
                    Way::TryFor => mutex.try_lock_for(patience).await?,
                }
            }
        };
        Ok(guard.map(Held::Guard))
    }

    /// Writes to the store under the guard; none when there is no such thing: a leader proclaims instead.
    pub(super) async fn write(&self, held: &Held, line: Line, id: u64) -> Option<Fate> {
        let value = format!(r#"{{"claim":"{}","token":{},"id":{id}}}"#, held.claim(), held.token());
        let guard = match (held, self.kind) {
            (_, StoreKind::Memory) => return None,
            (Held::Guard(guard), _) => guard,
            (Held::Leadership(leadership), _) => {
                let _may_be_lost = leadership.proclaim(&value).await;
                return None;
            }
        };
        let done = match self.kind {
            StoreKind::Etcd => {
                let put = TxnOp::put(register_of(line), value, None);
                let answer = etcd::transact(guard, [], [put]).await;
                answer.map(|answer| answer.header().map_or(0, |header| header.revision()))
            }
            _ => {
                let node = format!("/{}", register_of(line));
                let set = move |then: &mut MultiWriter<'_>| then.add_set_data(&node, value.as_bytes(), None);
                zookeeper::transact(guard, set).await.map(|results| match results.first() {
                    Some(MultiWriteResult::SetData { stat }) => stat.mzxid,
                    _ => 0,
                })
            }
        };
        Some(fate(done))
    }
}

fn fate(done: Result<i64, Error>) -> Fate {
    match done {
        Ok(revision) => Fate::Done(revision.cast_unsigned()),
        Err(error) if error.effect() == Effect::None => Fate::Refused,
        Err(_) => Fate::Unknown,
    }
}
