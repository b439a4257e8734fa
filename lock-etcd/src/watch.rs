//! One watch stream for everything that a session watches, resumed when it breaks.
//!
//! A watch that starts at a revision that is not the newest is parked by etcd before 3.6, for up to 100 ms.
//! So a watch starts from now, and whoever needs it looks at the keys once it is open: what comes after that
//! look is told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use etcd_client::{Event, TxnOp, WatchOptions, WatchRequestSender, WatchResponse};
use lock_core::{
    Error, ErrorKind, Lease, LostReason, Result,
    bug::Bug,
    runtime::{SharedRuntime, jitter},
};
use tokio::sync::mpsc;

use crate::{
    connection::{Connection, MAX_MESSAGE_BYTES, retry_pause},
    error::translated,
    request::{get, some_keys},
};

/// Who is told. Called by the session's watch task, so it must not wait for anything.
pub(crate) trait Sink: Send + Sync {
    /// From now on, each event is told. What happened before was not; when this comes again, some may have
    /// been missed: the stream broke, and what comes after a break is not taken on trust (etcd #19249 and
    /// others lost events there).
    fn opened(&self);

    fn event(&self, event: &Event);

    /// The events of one message have been told: whole transactions.
    fn told(&self) {}
}

/// What is watched.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    /// Whoever wrote it: it need not be text.
    One(Vec<u8>),
    Under(String),
}

impl Keys {
    fn first(&self) -> &[u8] {
        match self {
            Self::One(key) => key,
            Self::Under(prefix) => prefix.as_bytes(),
        }
    }

    /// What only those may ask for who may watch this.
    fn read(&self) -> TxnOp {
        match self {
            Self::One(key) => get(&**key),
            Self::Under(prefix) => some_keys(prefix.as_str(), 1),
        }
    }
}

/// Asks the watch task.
pub(crate) struct Watcher {
    commands: mpsc::UnboundedSender<Command>,
    next: AtomicI64,
}

/// A watch. Ends when it is dropped.
pub(crate) struct Watch {
    id: i64,
    commands: mpsc::UnboundedSender<Command>,
}

enum Command {
    Open(i64, Watched),
    End(i64),
}

struct Watched {
    keys: Keys,
    sink: Arc<dyn Sink>,
    /// The first revision that has not been told; 0 before the watch is open, and after a gap.
    from: i64,
    /// Whether it is open on the present stream.
    open: bool,
}

/// Why a stream is done with, though nothing is wrong with the connection.
#[derive(Debug)]
enum Done {
    /// Another member is asked, or the watches start anew.
    Anew,
    /// etcd does not allow one of the watches, or the stream's token has expired.
    Refused(Keys),
}

impl Watcher {
    /// A watcher, and what its task is to be [run](Task::run) with.
    pub(crate) fn new() -> (Self, Task) {
        let (commands, asked) = mpsc::unbounded_channel();
        (Self { commands, next: AtomicI64::new(1) }, Task { asked, watches: BTreeMap::new() })
    }

    pub(crate) fn watch(&self, keys: Keys, sink: Arc<dyn Sink>) -> Watch {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        // Fails when the session is over: then nothing is told any more.
        let _over = self.commands.send(Command::Open(id, Watched { keys, sink, from: 0, open: false }));
        Watch { id, commands: self.commands.clone() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _over = self.commands.send(Command::End(self.id));
    }
}

impl Watched {
    fn options(&self, id: i64) -> (&[u8], WatchOptions) {
        let from = if Bug::ResumedFromNow.is_seeded() { 0 } else { self.from };
        let options = WatchOptions::new().with_watch_id(id).with_start_revision(from);
        let options = if matches!(self.keys, Keys::Under(_)) { options.with_prefix() } else { options };
        (self.keys.first(), options)
    }

    async fn request(&self, id: i64, sender: &mut WatchRequestSender) -> Result<()> {
        let (key, options) = self.options(id);
        sender.watch(key, Some(options)).await.map_err(translated)
    }
}

/// The session's watches, and the stream that they share.
pub(crate) struct Task {
    asked: mpsc::UnboundedReceiver<Command>,
    watches: BTreeMap<i64, Watched>,
}

impl Task {
    /// Keeps the stream going until the session is lost.
    pub(crate) async fn run(
        mut self,
        connection: Arc<Connection>,
        lease: Arc<Lease>,
        runtime: SharedRuntime,
        limit: Duration,
    ) {
        loop {
            let broken = tokio::select! { biased;
                _ = lease.lost() => return,
                broken = self.stream(&connection, &runtime, limit) => broken,
            };
            match broken {
                Ok(Done::Anew) => {}
                Ok(Done::Refused(keys)) => {
                    if let Err(error) = connection.may_read(keys.read()).await
                        && error.kind() == ErrorKind::Denied
                    {
                        let keys = String::from_utf8_lossy(keys.first());
                        tracing::error!(%error, %keys, "the session may not watch any more what it must");
                        return lease.lose(LostReason::Denied);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, watches = self.watches.len(), "the watch stream broke; it is resumed");
                    connection.renew_token().await;
                }
            }
            jitter(&*runtime, retry_pause(&lease)).await;
        }
    }

    /// Watches until the stream breaks.
    async fn stream(
        &mut self,
        connection: &Connection,
        runtime: &SharedRuntime,
        limit: Duration,
    ) -> Result<Done> {
        while self.watches.is_empty() {
            // The session keeps a sender, so there is always somebody who may ask.
            let Some(command) = self.asked.recv().await else { return Ok(Done::Anew) };
            self.note(command);
        }
        self.watches.values_mut().for_each(|watched| watched.open = false);
        let link = connection.link().await?;
        let conversation = async {
            let (mut sender, mut messages) = self.open(&link.client, runtime, limit).await?.split();
            if self.watches.values().any(|watched| watched.from > 0) {
                tracing::info!(watches = self.watches.len(), "resuming what is watched");
            }
            for (id, watched) in self.watches.iter().skip(1) {
                watched.request(*id, &mut sender).await?;
            }
            loop {
                tokio::select! { biased;
                    message = messages.message() => match message.map_err(translated)? {
                        Some(message) => if let Some(done) = self.hear(&message)? {
                            return Ok(done);
                        },
                        None => return Err(Error::new(ErrorKind::Unavailable, "etcd ended the watch stream")),
                    },
                    Some(command) = self.asked.recv() => self.ask(command, &mut sender).await?,
                }
            }
        };
        let broken = tokio::select! { biased;
            () = connection.given_up(&link) => return Ok(Done::Anew),
            broken = conversation => broken,
        };
        if let Err(error) = &broken {
            connection.give_up(&link, error);
        }
        broken
    }

    /// Opens the stream, with the first watch: the server says nothing before it has one.
    async fn open(
        &self,
        client: &etcd_client::Client,
        runtime: &SharedRuntime,
        limit: Duration,
    ) -> Result<etcd_client::WatchStream> {
        let silent = || Error::new(ErrorKind::Unavailable, format!("no watch stream within {limit:?}"));
        let (id, first) = self.watches.first_key_value().ok_or_else(silent)?;
        let (key, options) = first.options(*id);
        let mut client = client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES);
        tokio::select! { biased;
            stream = client.watch(key, Some(options)) => stream.map_err(translated),
            () = runtime.sleep_until(runtime.now() + limit) => Err(silent()),
        }
    }

    fn note(&mut self, command: Command) {
        match command {
            Command::Open(id, watched) => drop(self.watches.insert(id, watched)),
            Command::End(id) => drop(self.watches.remove(&id)),
        }
    }

    async fn ask(&mut self, command: Command, sender: &mut WatchRequestSender) -> Result<()> {
        match command {
            Command::Open(id, watched) => self.watches.entry(id).or_insert(watched).request(id, sender).await,
            Command::End(id) => {
                self.watches.remove(&id);
                sender.cancel(id).await.map_err(translated)
            }
        }
    }

    /// Tells what a message says, unless the stream is of no further use.
    fn hear(&mut self, message: &WatchResponse) -> Result<Option<Done>> {
        let compacted = message.compact_revision();
        if message.canceled() && compacted > 0 {
            // What happened meanwhile is gone from the history. On a new stream: etcd 3.4 does not let go of
            // the watch's id.
            tracing::debug!(compacted, "the history was compacted; watches start anew");
            for watched in self.watches.values_mut().filter(|watched| watched.from <= compacted) {
                watched.from = 0;
            }
            return Ok(Some(Done::Anew));
        }
        if message.canceled() && message.created() {
            // It may have no id, but etcd answers in the order in which it was asked.
            tracing::debug!(why = message.cancel_reason(), "a watch was refused");
            let refused = self.watches.values().find(|watched| !watched.open);
            return Ok(Some(refused.map_or(Done::Anew, |watched| Done::Refused(watched.keys.clone()))));
        }
        let watched = self.watches.get_mut(&message.watch_id());
        if message.canceled() && watched.is_some() {
            let why = format!("etcd cancelled a watch: {}", message.cancel_reason());
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        let Some(watched) = watched else { return Ok(None) };
        if message.created() {
            let revision = message.header().map_or(0, etcd_client::ResponseHeader::revision);
            let resumed = watched.from > 0;
            if !resumed {
                watched.from = revision + 1;
            }
            watched.open = true;
            if !(resumed && Bug::ResumedFromNow.is_seeded()) {
                watched.sink.opened();
            }
        }
        for event in message.events() {
            if let Some(kv) = event.kv() {
                watched.from = watched.from.max(kv.mod_revision() + 1);
            }
            watched.sink.event(event);
        }
        if !message.events().is_empty() {
            watched.sink.told();
        }
        Ok(None)
    }
}
