//! Joining and trying.

use std::sync::Arc;

use futures_util::future::join;
use lock_core::{
    Claim, Effect, Error, ErrorKind, Grant, LineId, Mode, Result, Ticket,
    line::{Entrant, Verdict, decide},
};
use zookeeper_client::{self as zk, CreateMode, Stat};

use super::{
    Queue,
    ahead::Ahead,
    standing::{At, Doubt, Seat, Standing, Work},
};
use crate::{
    connection::persist,
    error::{Said, has_left, is_unanswered, of_change, translated},
    floor::Floor,
    mirror::Mirror,
    paths::{LinePaths, new_place, sequence},
    place::Place,
    view::Seen,
};

/// So many nodes in a queue are listed, because they need not be ours; of more, some are believed to be.
const FEW: i32 = 100;

impl Queue {
    /// Takes a place in the line; see [`Session::join`](lock_core::backend::Session::join).
    pub(crate) async fn join(&self, line: &LineId, claim: &Claim) -> Result<Ticket> {
        let standing = self.enrol(line, claim)?.ok_or_else(has_left)?;
        let entered = self.enter(&standing).await;
        entered.inspect_err(|error| self.forget_unless_sent(&standing, error))?;
        self.set_off(&standing);
        standing.ticket().ok_or_else(|| self.ended(&standing))
    }

    /// In line without waiting, or not at all; see
    /// [`Session::try_join`](lock_core::backend::Session::try_join).
    ///
    /// ZooKeeper has no transaction that joins a line only if it is free in every mode. So whoever tries
    /// joins, when it looks free, and withdraws when it was not.
    pub(crate) async fn try_join(&self, line: &LineId, claim: &Claim) -> Result<Option<(Ticket, Grant)>> {
        if let Some(standing) = self.enrol(line, claim)? {
            let in_line =
                |error: Error| if standing.place() > 0 { error.with_unknown_effect() } else { error };
            let tried = self.enter_if_free(&standing).await.map_err(in_line);
            if tried.inspect_err(|error| self.forget_unless_sent(&standing, error))? {
                let ticket = standing.ticket().ok_or_else(|| self.ended(&standing))?;
                return Ok(Some((ticket, self.granted(&standing).await?)));
            }
        }
        self.leave(line, claim.id).await?;
        Ok(None)
    }

    /// A claim that the store cannot know of need not be remembered.
    fn forget_unless_sent(&self, standing: &Standing, error: &Error) {
        if standing.place() == 0 && error.effect() == Effect::None {
            self.forget(standing, !error.is_retryable());
        }
    }

    /// Makes the claim's node, unless it is there. What need not wait is granted in the same breath.
    async fn enter(&self, standing: &Standing) -> Result<()> {
        if standing.place() > 0 {
            return Ok(());
        }
        let mut work = standing.work.lock().await;
        while standing.place() == 0 {
            if work.doubt.is_some() {
                self.locate(standing, &mut work).await.map_err(Error::with_unknown_effect)?;
                continue;
            }
            self.connection.lease.check()?;
            if standing.fate.end_reason().is_some() {
                return Err(has_left());
            }
            let outcome = match work.record.mode {
                Mode::Present => self.be_present(standing, &mut work).await?,
                _ => self.queue_up(standing, &mut work).await?,
            };
            match outcome {
                Ok(()) => work.doubt = None,
                Err(zk::Error::NoNode) => {
                    work.doubt = None;
                    if work.record.mode == Mode::Present {
                        self.make_room(&standing.paths, &standing.paths.present()).await?;
                    }
                }
                Err(error) if is_unanswered(&error) => {
                    self.connection.go_on(error).await.map_err(Error::with_unknown_effect)?;
                }
                Err(error) => {
                    work.doubt = None;
                    return Err(refused(error));
                }
            }
        }
        let alone = work.record.mode == Mode::Exclusive && work.ahead == Ahead::Nobody && !work.floor.held;
        if alone || matches!(work.seat, Seat::Beyond(_)) {
            self.connection.lease.check()?;
            standing.grant()?;
        }
        Ok(())
    }

    /// A place at the end of the queue, and in the same breath how far the queue has come.
    async fn queue_up(&self, standing: &Standing, work: &mut Work) -> Result<Said<()>> {
        let client = self.connection.client()?;
        let place = Place { claim: standing.id, record: work.record.clone() };
        let queue = self.queue_to_join(&standing.line, &standing.paths).await?;
        let new = new_place(&queue);
        let options = CreateMode::EphemeralSequential.with_acls(self.connection.acls);
        // Not before the queue is known: what was counted in between would miss this claim.
        work.doubt = Some(Doubt { sent: self.connection.runtime.now(), to: None });
        let (made, floor) =
            join(client.create(&new, &place.write(), &options), client.get_data(&queue)).await;
        let (stat, sequence) = match made {
            Ok(made) => made,
            Err(error) => {
                if error == zk::Error::NoNode {
                    self.current.forget(&standing.line, &queue);
                }
                return Ok(Err(error));
            }
        };
        standing.sits(work, At { queue, sequence: sequence.into_i64() }, &stat);
        if let Ok((data, queue)) = floor {
            work.learn(&data);
            // Nobody has come or gone since, so it is this claim that is alone.
            work.alone = queue.num_children == 1 && queue.pzxid == stat.czxid;
            if work.alone {
                work.ahead = Ahead::Nobody;
            }
        }
        Ok(Ok(()))
    }

    async fn be_present(&self, standing: &Standing, work: &mut Work) -> Result<Said<()>> {
        let Some(path) = standing.paths.seat(Mode::Present, standing.id) else { return Ok(Ok(())) };
        let client = self.connection.client()?;
        let options = CreateMode::Ephemeral.with_acls(self.connection.acls);
        work.doubt = Some(Doubt { sent: self.connection.runtime.now(), to: None });
        match client.create(&path, &work.record.write(), &options).await {
            Ok((stat, _)) => standing.is_beyond(work, path, stat.czxid),
            // Of an earlier request.
            Err(zk::Error::NodeExists) => self.locate(standing, work).await?,
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    /// Makes a container of the line, or the line itself. The server removes what is empty.
    pub(crate) async fn make_room(&self, paths: &LinePaths, room: &str) -> Result<()> {
        let (client, options) =
            (self.connection.client()?, CreateMode::Container.with_acls(self.connection.acls));
        match persist!(self.connection, client.create(room, b"", &options)) {
            Ok(_) | Err(zk::Error::NodeExists) => Ok(()),
            Err(zk::Error::NoNode) => {
                let all = self.namespace.chain().chain([paths.kind(), paths.line(), room]);
                self.connection.make_containers(all).await
            }
            Err(error) => Err(of_change(error)),
        }
    }

    /// Enters unless a conflicting claim is in line (C6). When that has been tried before, the claim may be
    /// in line already.
    async fn enter_if_free(&self, standing: &Arc<Standing>) -> Result<bool> {
        if standing.is_driven() {
            return Ok(true);
        }
        if standing.place() == 0 {
            let (mode, doubt) = {
                let work = standing.work.lock().await;
                (work.record.mode, work.doubt.is_some())
            };
            if !doubt && !self.looks_free(standing, mode).await? {
                return Ok(false);
            }
            self.enter(standing).await?;
        }
        let free = standing.fate.token().is_some() || self.passes_soon(standing).await?;
        if free {
            self.set_off(standing);
        }
        Ok(free)
    }

    /// Whether the claim need not wait for any that conflicts with it.
    async fn passes_soon(&self, standing: &Standing) -> Result<bool> {
        let (mode, seat) = {
            let mut work = standing.work.lock().await;
            if self.passes_at_once(standing, &mut work).await? {
                return Ok(true);
            }
            (work.record.mode, work.seat.clone())
        };
        match (mode, seat) {
            // Where some have withdrawn and nodes are that are not ours, it takes longer to see.
            (Mode::Exclusive, Seat::Queue(at)) => {
                Ok(!self.somebody_is_ahead(&at.queue, at.sequence).await?
                    && self.nobody_holds(standing).await?)
            }
            (Mode::Exclusive, _) => Ok(false),
            _ => self.looks_free(standing, mode).await,
        }
    }

    /// Whether nothing in line keeps the claim out, where it stands or else at the end.
    async fn looks_free(&self, standing: &Standing, mode: Mode) -> Result<bool> {
        match mode {
            Mode::Present => return Ok(true),
            // However long the queue is.
            Mode::Exclusive => {
                return Ok(!self.somebody_queues(standing).await? && self.nobody_holds(standing).await?);
            }
            Mode::Shared | Mode::Permits { .. } => {}
        }
        self.connection.sync(standing.paths.line()).await?;
        let line =
            Seen::read(self, &standing.paths, &mut Mirror::of_a_moment()).await?.line(&standing.line)?;
        let mut entrants: Vec<Entrant> =
            line.places.iter().map(|place| Entrant { place: place.place, mode: place.mode }).collect();
        let there = line.places.iter().find(|place| place.claim == standing.id).map(|place| place.place);
        let place = there.unwrap_or(u64::MAX);
        if there.is_none() {
            entrants.push(Entrant { place, mode });
        }
        Ok(decide(&entrants, place) == Some(Verdict::Granted))
    }

    async fn somebody_queues(&self, standing: &Standing) -> Result<bool> {
        self.connection.sync(standing.paths.line()).await?;
        let Some(queue) = self.look_for_queue(&standing.line, &standing.paths).await? else {
            return Ok(false);
        };
        self.somebody_is_ahead(&queue, i64::MAX).await
    }

    /// Whether there is a place in the queue before this one.
    async fn somebody_is_ahead(&self, queue: &str, of: i64) -> Result<bool> {
        let client = self.connection.client()?;
        let stat = persist!(self.connection, client.check_stat(queue)).map_err(translated)?;
        match stat.map_or(0, |queue| queue.num_children) {
            0 => Ok(false),
            children if children > FEW => Ok(true),
            _ => {
                let names = self.names(queue).await?;
                Ok(names.iter().filter_map(|name| sequence(name)).any(|place| place < of))
            }
        }
    }

    /// Reads how far the queue has come.
    pub(super) async fn read_floor(&self, standing: &Standing, work: &mut Work, queue: &str) -> Result<()> {
        let client = self.connection.client()?;
        match persist!(self.connection, client.get_data(queue)) {
            Ok((data, _)) => work.learn(&data),
            // Our own node was in it.
            Err(zk::Error::NoNode) => return Err(self.missing(standing).await),
            Err(error) => return Err(translated(error)),
        }
        Ok(())
    }
}

impl Standing {
    /// The claim has this place in the queue.
    pub(super) fn sits(&self, work: &mut Work, at: At, stat: &Stat) {
        work.ahead = Ahead::Below(at.sequence);
        work.seat = Seat::Queue(at);
        self.took(stat.czxid);
    }

    /// The claim is beyond the queue; `place` unless it has one.
    pub(super) fn is_beyond(&self, work: &mut Work, path: String, place: i64) {
        (work.seat, work.ahead) = (Seat::Beyond(path), Ahead::Nobody);
        if self.place() == 0 {
            self.took(place);
        }
    }
}

impl Work {
    /// What the queue's own node says: this claim has been in it.
    pub(super) fn learn(&mut self, data: &[u8]) {
        self.floor = Floor::read(data);
    }
}

fn refused(error: zk::Error) -> Error {
    if error == zk::Error::NodeExists {
        // ZOOKEEPER-2944: the counter is an i32.
        let full = "this line has used up ZooKeeper's 2147483647 sequences: once it is empty, remove it, or wait until the server does";
        return Error::new(ErrorKind::Full, full).with_source(error);
    }
    of_change(error)
}
