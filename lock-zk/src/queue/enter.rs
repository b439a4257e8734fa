//! Coming into the queue.

use futures_util::future::{OptionFuture, join};
use lock_core::{
    Mode, Result,
    line::{Entrant, Verdict, decide},
};
use zookeeper_client::{self as zk, CreateMode};

use super::{Queue, Standing, Work, place::Place, view::Seen};
use crate::{
    claims::{At, Doubt, Seat},
    connection::persist,
    error::{Said, garbled, translated},
    mirror::Mirror,
    paths::{name_of, new_place, sequence},
};

/// So many nodes in a queue are listed, because they need not be ours; of more, some are believed to be.
const FEW: i32 = 100;

impl Queue {
    /// A place at the end of the queue, and in the same breath how far the queue has come, unless that has told
    /// nothing of late.
    pub(super) async fn queue_up(&self, standing: &Standing, work: &mut Work) -> Result<Said<()>> {
        let client = self.connection.client()?;
        let place = Place { claim: standing.id, record: work.record.clone() };
        let known = self.queue_to_join(&standing.line, &standing.paths).await?;
        let new = new_place(&known.path);
        let options = CreateMode::EphemeralSequential.with_acls(self.connection.acls);
        // What is learned later may tell of a time when this claim had been evicted.
        let before = known.floor();
        let data = place.write();
        let create = client.create(&new, &data, &options);
        let read = known.is_worth_reading().then(|| client.get_data(&known.path));
        work.doubt = Some(Doubt::of_what_is_queued(&self.connection));
        let (made, read) = join(create, OptionFuture::from(read)).await;
        let (stat, sequence) = match made {
            Ok(made) => made,
            Err(error) => {
                if error == zk::Error::NoNode {
                    self.protocol.current.forget(&standing.line, &known.path);
                }
                return Ok(Err(error));
            }
        };
        let sequence = sequence.into_i64();
        let at = At { queue: known.path.clone(), name: name_of(sequence).into(), sequence };
        standing.queues_at(work, at, stat.czxid)?;
        let was_known = before.is_right_below(sequence);
        (work.way.known, work.way.in_vain) = (Some(known), was_known);
        match read {
            Some(Ok((data, queue))) => {
                work.way.learn(&data);
                // Nobody has come or gone since, so it is this claim that is alone.
                if queue.num_children == 1 && queue.pzxid == stat.czxid {
                    work.way.is_first();
                }
            }
            // More has been heard since the claim came in: it may have been evicted.
            Some(Err(_)) => {}
            None if was_known => {
                work.way.floor = before;
                work.way.is_first();
            }
            // Who holds is another question, and asked when its turn comes.
            None => work.way.floor.gone = before.gone,
        }
        Ok(Ok(()))
    }

    pub(super) async fn be_present(&self, standing: &Standing, work: &mut Work) -> Result<Said<()>> {
        let Some(path) = standing.paths.seat(Mode::Present, standing.id) else { return Ok(Ok(())) };
        let client = self.connection.client()?;
        let options = CreateMode::Ephemeral.with_acls(self.connection.acls);
        let create = client.create(&path, &work.record.write(), &options);
        work.doubt = Some(Doubt::of_what_is_queued(&self.connection));
        match create.await {
            Ok((stat, _)) => standing.sits(work, Seat::Beyond(path), stat.czxid),
            // Of an earlier request, or somebody else's.
            Err(zk::Error::NodeExists) => {
                self.locate(standing, work).await?;
                // Unless an earlier one's has been taken away since.
                if work.seat == Seat::Nowhere
                    && persist!(self.connection, client.check_stat(&path)).map_err(translated)?.is_some()
                {
                    return Err(garbled(&path, "is somebody else's, where a claim of this session is to be"));
                }
            }
            Err(error) => {
                if error == zk::Error::NoNode {
                    work.doubt = None;
                    self.make_room(&standing.paths, &standing.paths.present()).await?;
                }
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Whether the claim need not wait for any that conflicts with it.
    pub(super) async fn passes_behind_others(&self, standing: &Standing) -> Result<bool> {
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
            _ => self.looks_free_to(standing, mode).await,
        }
    }

    /// Whether nothing in line keeps the claim out, where it stands or else at the end.
    pub(super) async fn looks_free_to(&self, standing: &Standing, mode: Mode) -> Result<bool> {
        match mode {
            Mode::Present => return Ok(true),
            // However long the queue is.
            Mode::Exclusive => {
                let free = !self.somebody_queues(standing).await? && self.nobody_holds(standing).await?;
                if let Some(known) = self.protocol.current.of(&standing.line).filter(|_| free) {
                    known.reading_tells(true);
                }
                return Ok(free);
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
        self.somebody_is_ahead(&queue.path, i64::MAX).await
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
            Ok((data, _)) => work.way.learn(&data),
            // Our own node was in it.
            Err(zk::Error::NoNode) => return Err(self.missing(standing).await),
            Err(error) => return Err(translated(error)),
        }
        Ok(())
    }
}
