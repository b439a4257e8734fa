//! Which queue a line has at present.
//!
//! The server removes an empty queue whenever it likes, and the next one begins again at 0. So each has a
//! name of its own, drawn at random: no path is ever used twice, and no request meant for a claim that has
//! gone can meet another's node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use lock_core::{LineId, Result, sync::locked};
use zookeeper_client::{self as zk, CreateMode};

use super::{Queue, known::Known};
use crate::{
    connection::{Step, persist},
    error::{denied, garbled, of_change, translated},
    paths::{LinePaths, is_queue},
};

/// How many lines' queues are remembered; when there are more, all are looked up again.
const REMEMBERED: usize = 10_000;

/// The queues that this session has seen last: most lines are come to again and again.
#[derive(Default)]
pub(super) struct Current(Mutex<HashMap<LineId, Arc<Known>>>);

impl Current {
    pub(super) fn of(&self, line: &LineId) -> Option<Arc<Known>> {
        locked(&self.0).get(line).cloned()
    }

    /// What is known of this queue, which the line has now.
    fn remember(&self, line: &LineId, queue: &str) -> Arc<Known> {
        let mut queues = locked(&self.0);
        if let Some(known) = queues.get(line).filter(|known| *known.path == *queue) {
            return known.clone();
        }
        if queues.len() >= REMEMBERED {
            queues.clear();
        }
        let known = Arc::new(Known::new(queue.into()));
        queues.insert(line.clone(), known.clone());
        known
    }

    /// That queue is gone.
    pub(super) fn forget(&self, line: &LineId, queue: &str) {
        let mut queues = locked(&self.0);
        if queues.get(line).is_some_and(|current| *current.path == *queue) {
            queues.remove(line);
        }
    }
}

impl Queue {
    /// The line's queue as it is now; `None` when there is none.
    pub(super) async fn look_for_queue(
        &self,
        line: &LineId,
        paths: &LinePaths,
    ) -> Result<Option<Arc<Known>>> {
        let queues = paths.queues();
        let names = self.names(&queues).await?;
        let Some(name) = names.iter().find(|name| is_queue(name)) else { return Ok(None) };
        Ok(Some(self.protocol.current.remember(line, &format!("{queues}/{name}"))))
    }

    /// The line's queue as it was seen last, or as it is now; made if there is none.
    pub(super) async fn queue_to_join(&self, line: &LineId, paths: &LinePaths) -> Result<Arc<Known>> {
        loop {
            if let Some(queue) = self.protocol.current.of(line) {
                return Ok(queue);
            }
            if let Some(queue) = self.look_for_queue(line, paths).await? {
                return Ok(queue);
            }
            self.make_queue(line, paths).await?;
        }
    }

    /// Makes a queue, unless there is one: never two at a time.
    async fn make_queue(&self, line: &LineId, paths: &LinePaths) -> Result<()> {
        let (queues, queue) = (paths.queues(), paths.queue(self.connection.runtime.random_u64()));
        let container = |path| Step::Create(path, b"", CreateMode::Container);
        let anew = [Step::Delete(&queues), container(&queues), container(&queue)];
        let error = match self.connection.commit(&anew).await? {
            Ok(_) => {
                self.protocol.current.remember(line, &queue);
                return Ok(());
            }
            Err(failed) if failed.is_unanswered() => return self.connection.go_on(failed.error).await,
            Err(failed) => failed.error,
        };
        match error {
            // Somebody else has made one, or keeps everybody from it.
            zk::Error::NotEmpty | zk::Error::NodeExists => self.is_not_blocked(&queues).await,
            zk::Error::NoNode => {
                let line = [paths.kind(), paths.line(), &queues];
                self.connection.make_containers(self.namespace.chain().chain(line)).await
            }
            zk::Error::NoAuth => Err(denied(&queues)),
            error => Err(of_change(error)),
        }
    }

    /// A stranger among the queues would make making one fail for ever: see that only once there is none.
    async fn is_not_blocked(&self, queues: &str) -> Result<()> {
        let names = self.names(queues).await?;
        match names.first() {
            Some(name) if !names.iter().any(|name| is_queue(name)) => {
                Err(garbled(&format!("{queues}/{name}"), "is in the way of the line's queue"))
            }
            _ => Ok(()),
        }
    }

    /// The children of a container; none when it is not there.
    pub(super) async fn names(&self, container: &str) -> Result<Vec<String>> {
        let client = self.connection.client()?;
        match persist!(self.connection, client.list_children(container)) {
            Err(zk::Error::NoNode) => Ok(Vec::new()),
            said => said.map_err(translated),
        }
    }
}
