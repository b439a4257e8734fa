//! A line's nodes as this session's server has them. An observer keeps them: what has not changed since is
//! not read again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use lock_core::Result;
use zookeeper_client::{self as zk, Client, EventType, Stat, WatchedEvent};

use crate::{
    claims::Watch,
    connection::{Connection, persist},
    error::{Said, translated},
    paths::{LinePaths, is_queue},
};

/// The containers of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    Queue,
    Holders,
    Present,
}

/// What the containers hold.
pub(crate) struct Listed {
    paths: [String; 3],
    names: [Vec<String>; 3],
    /// How many nodes lie where queues are, and are none.
    pub(crate) strangers: usize,
    /// The last transaction that changed that.
    pub(crate) revision: i64,
    /// Whether the queue did not change while the others were listed.
    pub(crate) settled: bool,
}

impl Listed {
    pub(crate) fn path(&self, dir: Dir) -> &str {
        self.paths.get(dir as usize).map_or("", String::as_str)
    }

    pub(crate) fn names(&self, dir: Dir) -> &[String] {
        self.names.get(dir as usize).map_or(&[], Vec::as_slice)
    }
}

/// A node that was read.
struct Kept {
    data: Arc<[u8]>,
    stat: Stat,
    /// Whether a watch tells when it changes.
    watched: bool,
}

/// What was heard of.
type Heard = (String, WatchedEvent);

/// The nodes of one line.
pub(crate) struct Mirror {
    observes: bool,
    kept: HashMap<String, Kept>,
    /// The containers on which there is a watch.
    watched: HashSet<String>,
    events: FuturesUnordered<BoxFuture<'static, Heard>>,
}

impl Mirror {
    /// For one look.
    pub(crate) fn of_a_moment() -> Self {
        Self {
            observes: false,
            kept: HashMap::new(),
            watched: HashSet::new(),
            events: FuturesUnordered::new(),
        }
    }

    pub(crate) fn lasting() -> Self {
        Self { observes: true, ..Self::of_a_moment() }
    }

    /// The line's containers, the queue's first.
    pub(crate) async fn list(
        &mut self,
        connection: &Connection,
        root: &str,
        paths: &LinePaths,
    ) -> Result<Listed> {
        let client = connection.client()?;
        let queues = paths.queues();
        let above =
            persist!(connection, children(&client, &queues, self.watches(&queues))).map_err(translated)?;
        let queue = above.names.iter().find(|name| is_queue(name));
        let strangers = above.names.len() - usize::from(queue.is_some());
        let queue = queue.map(|name| format!("{queues}/{name}"));
        let mut revision = above.stat.map_or(0, |stat| stat.pzxid);
        self.listen_to(&queues, above.watch);
        // Without a queue there is nothing below that name either.
        let all = [queue.unwrap_or_else(|| paths.queue(0)), paths.holders(), paths.present()];
        let watch = all.each_ref().map(|path| self.watches(path));
        let [queue, ..] = &all;
        let (dirs, again) = persist!(connection, async {
            // Sent at once, and answered in this order.
            let dirs = all.iter().zip(watch).map(|(path, watch)| children(&client, path, watch));
            let dirs: Vec<_> = dirs.collect();
            let again = client.check_stat(queue);
            let dirs: Said<Vec<_>> = join_all(dirs).await.into_iter().collect();
            Ok::<_, zk::Error>((dirs?, again.await?))
        })
        .map_err(translated)?;
        revision = dirs.iter().filter_map(|dir| Some(dir.stat?.pzxid)).fold(revision, i64::max);
        if dirs.iter().any(|dir| dir.stat.is_none()) {
            // The end of a container shows above it.
            revision = revision.max(lowest(connection, &[paths.line(), paths.kind(), root]).await?);
        }
        let stat = dirs.first().and_then(|dir| dir.stat);
        let settled = stat.map(|stat| stat.pzxid) == again.map(|stat| stat.pzxid);
        let mut names: [Vec<String>; 3] = Default::default();
        for ((children, slot), path) in dirs.into_iter().zip(&mut names).zip(&all) {
            self.listen_to(path, children.watch);
            *slot = children.names;
        }
        Ok(Listed { paths: all, names, strangers, revision, settled })
    }

    /// The children of the node at `path`, and the last transaction that changed which there are.
    pub(crate) async fn list_one(
        &mut self,
        connection: &Connection,
        path: &str,
    ) -> Result<(Vec<String>, i64)> {
        let client = connection.client()?;
        let listed = persist!(connection, children(&client, path, self.watches(path))).map_err(translated)?;
        self.listen_to(path, listed.watch);
        let revision = match listed.stat {
            Some(stat) => stat.pzxid,
            // The end of a container shows above it.
            None => {
                let above: Vec<&str> =
                    path.match_indices('/').filter_map(|(at, _)| path.get(..at.max(1))).collect();
                lowest(connection, &above.into_iter().rev().collect::<Vec<_>>()).await?
            }
        };
        Ok((listed.names, revision))
    }

    /// Whether the container at `path` is to be watched, and is not.
    fn watches(&self, path: &str) -> bool {
        self.observes && !self.watched.contains(path)
    }

    fn listen_to(&mut self, container: &str, watch: Option<Watch>) {
        if let Some(watch) = watch {
            self.watched.insert(container.to_owned());
            self.listen(container.to_owned(), watch);
        }
    }

    /// Those of these nodes that are still there; watched if they are to be, by their index.
    pub(crate) async fn read(
        &mut self,
        connection: &Connection,
        paths: Vec<String>,
        watched: impl Fn(usize) -> bool,
    ) -> Result<Vec<(String, Option<(Arc<[u8]>, Stat)>)>> {
        let client = connection.client()?;
        let there: HashSet<&String> = paths.iter().collect();
        self.kept.retain(|path, _| there.contains(path));
        let missing = paths.iter().enumerate().filter_map(|(index, path)| {
            let watch = self.observes && watched(index);
            let good = self.kept.get(path).is_some_and(|kept| kept.watched || !watch);
            (!good).then_some((path, watch))
        });
        let read = join_all(missing.map(|(path, watch)| read_one(connection, &client, path, watch))).await;
        for read in read {
            if let Some((path, kept, watch)) = read? {
                self.kept.insert(path.clone(), kept);
                if let Some(watch) = watch {
                    self.listen(path, watch);
                }
            }
        }
        let node = |path: String| {
            let kept = self.kept.get(&path).map(|kept| (kept.data.clone(), kept.stat));
            (path, kept)
        };
        Ok(paths.into_iter().map(node).collect())
    }

    /// The last transaction that wrote any of the nodes.
    pub(crate) fn last_write(&self) -> i64 {
        self.kept.values().map(|kept| kept.stat.mzxid).max().unwrap_or_default()
    }

    fn listen(&self, path: String, watch: Watch) {
        self.events.push(Box::pin(async move { (path, watch.await) }));
    }

    /// Waits until something has changed.
    pub(crate) async fn changed(&mut self) -> Result<()> {
        let Some((path, event)) = self.events.next().await else { return Ok(()) };
        if event.event_type == EventType::Session {
            return Err(translated(zk::Error::SessionExpired));
        }
        self.watched.remove(&path);
        self.kept.remove(&path);
        Ok(())
    }
}

#[derive(Default)]
struct Children {
    names: Vec<String>,
    /// None when the container is not there.
    stat: Option<Stat>,
    watch: Option<Watch>,
}

/// The children of the node at `path`; asked for now.
fn children<'a>(client: &'a Client, path: &'a str, watch: bool) -> BoxFuture<'a, Said<Children>> {
    if !watch {
        let children = client.get_children(path);
        return Box::pin(async move {
            match children.await {
                Ok((names, stat)) => Ok(Children { names, stat: Some(stat), watch: None }),
                Err(zk::Error::NoNode) => Ok(Children::default()),
                Err(error) => Err(error),
            }
        });
    }
    let mut children = client.get_and_watch_children(path).boxed();
    Box::pin(async move {
        loop {
            match children.await {
                Ok((names, stat, watch)) => {
                    return Ok(Children { names, stat: Some(stat), watch: Some(Box::pin(watch.changed())) });
                }
                Err(zk::Error::NoNode) => {
                    let (stat, watch) = client.check_and_watch_stat(path).await?;
                    if stat.is_none() {
                        return Ok(Children {
                            watch: Some(Box::pin(watch.changed())),
                            ..Children::default()
                        });
                    }
                    // Made in between: a watch on a node tells nothing of its children.
                    children = client.get_and_watch_children(path).boxed();
                }
                Err(error) => return Err(error),
            }
        }
    })
}

type Read = (String, Kept, Option<Watch>);

async fn read_one(connection: &Connection, client: &Client, path: &str, watch: bool) -> Result<Option<Read>> {
    let said = if watch {
        persist!(connection, client.get_and_watch_data(path)).map(|(data, stat, watch)| {
            let watch: Watch = Box::pin(watch.changed());
            (data, stat, Some(watch))
        })
    } else {
        persist!(connection, client.get_data(path)).map(|(data, stat)| (data, stat, None))
    };
    match said {
        Ok((data, stat, watch)) => {
            Ok(Some((path.to_owned(), Kept { data: data.into(), stat, watched: watch.is_some() }, watch)))
        }
        Err(zk::Error::NoNode) => Ok(None),
        Err(error) => Err(translated(error)),
    }
}

/// When the children of the first of these nodes that is there changed last.
async fn lowest(connection: &Connection, paths: &[&str]) -> Result<i64> {
    let client = connection.client()?;
    for path in paths {
        if let Some(stat) = persist!(connection, client.check_stat(path)).map_err(translated)? {
            return Ok(stat.pzxid);
        }
    }
    Ok(0)
}
