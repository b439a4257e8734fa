//! From the head of the queue to holding. Whoever wants to be alone holds as the head, once nobody holds
//! behind the gate; everybody else goes there, in one transaction, and so makes way for the next.
//!
//! Only the head lets itself in, so while a claim is the head, those behind the gate only become fewer: what
//! it reads of them may be old, and is safe.

use lock_core::{Error, Mode, Result, backend::Record, line::Occupancy};
use zookeeper_client::{self as zk, CreateMode};

use super::{Native, Queue, Standing, Way, Work, floor::Floor};
use crate::{
    claims::{At, Doubt, News, Protocol, Seat, Vigil, Watch},
    connection::{Failed, Step, persist},
    error::{Said, of_change, translated},
    paths::holder,
};

/// Who holds behind the gate.
struct Holders {
    /// The names of their nodes.
    names: Vec<String>,
    /// What wakes when they change, if that was asked for.
    watch: Option<Watch>,
}

impl Holders {
    fn admit(&self, mode: Mode) -> bool {
        let mut occupancy = Occupancy::default();
        for (_, mode) in self.names.iter().filter_map(|name| holder(name)) {
            occupancy.add(mode);
        }
        occupancy.admits(mode)
    }
}

impl Queue {
    /// Waits until the claim holds; the watch on its node, if there is one.
    pub(super) async fn reach_its_seat(&self, standing: &Standing, work: &mut Work) -> Result<Option<Watch>> {
        match work.seat.clone() {
            Seat::Nowhere => return Err(self.missing(standing).await),
            Seat::Beyond(_) => Ok(None),
            Seat::Queue(at) => {
                let mut vigil = Vigil::over(at.path());
                self.reach_the_head(standing, work, &at, &mut vigil).await?;
                while !self.gate_admits(standing, work, Some(&mut vigil)).await? {}
                self.is_still_there(standing, &mut vigil).await?;
                if work.record.mode == Mode::Exclusive {
                    Ok(vigil.hand_over())
                } else {
                    self.pass_the_gate(standing, work).await?;
                    Ok(None)
                }
            }
        }
    }

    /// Whether the claim need not wait.
    pub(super) async fn passes_at_once(&self, standing: &Standing, work: &mut Work) -> Result<bool> {
        match work.seat {
            Seat::Nowhere => Ok(false),
            Seat::Beyond(_) => Ok(true),
            Seat::Queue(_) => Ok(work.way.ahead.nearest(work.way.floor).is_none()
                && self.gate_admits(standing, work, None).await?),
        }
    }

    /// Whether those behind the gate let the head in; with a `vigil`, waits for a change when they do not.
    async fn gate_admits(
        &self,
        standing: &Standing,
        work: &mut Work,
        vigil: Option<&mut Vigil>,
    ) -> Result<bool> {
        let mode = work.record.mode;
        if !work.way.floor.held {
            return Ok(true);
        }
        // Any of those who have permits may make room; of others, each must go.
        let one_will_do = matches!(mode, Mode::Permits { .. }) && vigil.is_some();
        let holders = self.holders(standing, one_will_do).await?;
        if holders.admit(mode) {
            work.way.floor.held = mode != Mode::Exclusive;
            if let Some(vigil) = vigil {
                vigil.spent = holders.watch;
            }
            return Ok(true);
        }
        let Some(vigil) = vigil else { return Ok(false) };
        match holders.watch {
            Some(watch) => drop(self.heard(standing, watch, vigil).await?),
            None => self.until_all_are_gone(standing, &holders.names, vigil).await?,
        }
        Ok(false)
    }

    /// Whether nobody is behind the gate.
    pub(super) async fn nobody_holds(&self, standing: &Standing) -> Result<bool> {
        Ok(self.holders(standing, false).await?.admit(Mode::Exclusive))
    }

    async fn holders(&self, standing: &Standing, watched: bool) -> Result<Holders> {
        let (client, path) = (self.connection.client()?, standing.paths.holders());
        let said = if watched {
            let said = persist!(self.connection, client.get_and_watch_children(&path));
            said.map(|(names, _, watch)| Holders { names, watch: Some(Box::pin(watch.changed())) })
        } else {
            let said = persist!(self.connection, client.list_children(&path));
            said.map(|names| Holders { names, watch: None })
        };
        match said {
            // The server removes what is empty.
            Err(zk::Error::NoNode) => Ok(Holders { names: Vec::new(), watch: None }),
            said => said.map_err(translated),
        }
    }

    /// One after the other, so that each of them wakes this claim once.
    async fn until_all_are_gone(
        &self,
        standing: &Standing,
        names: &[String],
        vigil: &mut Vigil,
    ) -> Result<()> {
        let client = self.connection.client()?;
        for name in names.iter().filter(|name| holder(name).is_some()) {
            let path = format!("{}/{name}", standing.paths.holders());
            loop {
                let said = persist!(self.connection, client.get_and_watch_data(&path));
                let watch = match said {
                    Ok((_, _, watch)) => Box::pin(watch.changed()),
                    Err(zk::Error::NoNode) => break,
                    Err(error) => return Err(translated(error)),
                };
                if self.heard(standing, watch, vigil).await? == News::Gone {
                    break;
                }
            }
        }
        Ok(())
    }

    /// From the head of the queue to a seat behind the gate.
    async fn pass_the_gate(&self, standing: &Standing, work: &mut Work) -> Result<()> {
        let Some(to) = standing.paths.seat(work.record.mode, standing.id) else { return Ok(()) };
        let record = work.record.clone();
        self.move_to(standing, work, to, record).await
    }

    /// Takes a granted or admitted claim to another seat, as `record` says it.
    ///
    /// # Errors
    ///
    /// It is not where it was.
    pub(super) async fn move_to(
        &self,
        standing: &Standing,
        work: &mut Work,
        to: String,
        record: Record,
    ) -> Result<()> {
        let data = Native::data(standing, &Seat::Beyond(to.clone()), &record);
        while work.seat != Seat::Beyond(to.clone()) {
            let Some(from) = work.seat.path() else { return Err(self.missing(standing).await) };
            let mut steps = vec![Step::Delete(&from), Step::Create(&to, &data, CreateMode::Ephemeral)];
            let floor;
            let seat = work.seat.clone();
            if let Seat::Queue(at) = &seat {
                let held = work.way.floor.held || record.mode != Mode::Present;
                floor = Floor { gone: at.sequence, held }.write();
                steps.push(Step::SetData(&at.queue, floor.as_bytes(), None));
            }
            work.doubt =
                Some(Doubt { sent: self.connection.runtime.now(), to: Some((to.clone(), record.clone())) });
            match self.connection.commit(&steps).await? {
                Ok(_) => {
                    (work.doubt, work.record) = (None, record.clone());
                    standing.sits(work, Seat::Beyond(to.clone()), 0);
                }
                Err(failed) if failed.has_no_node(0) => {
                    work.doubt = None;
                    return Err(self.missing(standing).await);
                }
                Err(failed) if failed.has_no_node(1) => {
                    work.doubt = None;
                    let room = to.rsplit_once('/').map_or("", |(room, _)| room);
                    self.make_room(&standing.paths, room).await?;
                }
                Err(failed) if failed.is_unanswered() => {
                    self.connection.go_on(failed.error).await.map_err(Error::with_unknown_effect)?;
                    self.locate(standing, work).await.map_err(Error::with_unknown_effect)?;
                }
                Err(failed) => {
                    work.doubt = None;
                    return Err(of_change(failed.error));
                }
            }
        }
        Ok(())
    }

    /// Tells whoever is behind, in the same transaction, that nobody is left ahead of the claim.
    pub(super) async fn leave_as_head(&self, way: &Way, at: &At, path: &str) -> Result<Said<()>> {
        let floor = Floor { gone: at.sequence, held: way.floor.held };
        let data = floor.write();
        let steps = [Step::Delete(path), Step::SetData(&at.queue, data.as_bytes(), None)];
        // Who waits in this session hears of it by the answer.
        let _leaving = match &way.known {
            Some(known) => Some(known.leaving.lock().await),
            None => None,
        };
        match self.connection.commit(&steps).await? {
            Ok(_) => {
                if let Some(known) = &way.known {
                    known.learn(floor);
                }
                Ok(Ok(()))
            }
            // Without the right to write there, or the room, those behind look for themselves.
            Err(Failed { at: Some(1), error: zk::Error::NoAuth | zk::Error::QuotaExceeded }) => {
                Ok(self.connection.client()?.delete(path, None).await)
            }
            Err(Failed { error, .. }) => Ok(Err(error)),
        }
    }
}
