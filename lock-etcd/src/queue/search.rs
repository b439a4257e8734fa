//! Who is ahead: found by looking, after a crash, a lost answer or missed news. The only step that looks at
//! the whole queue, so all claims of a session that search in one line share a look.

use std::sync::{Arc, Mutex};

use etcd_client::KeyValue;
use lock_core::{ClaimId, Error, ErrorKind, LineId, LostReason, Mode, Result, sync::locked};

use super::{
    Queue, occupancy,
    standing::{Ahead, Gate, Phase, Standing},
    steps::gate,
};
use crate::{
    error::{garbled, is_forbidden},
    keys::{LineKeys, Part},
    request::{get, range, some_keys},
};

/// The searches of one line.
#[derive(Debug, Default)]
pub(super) struct Search(Mutex<Rounds>);

#[derive(Debug, Default)]
struct Rounds {
    /// How many looks have begun.
    begun: u64,
    running: bool,
}

/// The queue as it was at one revision.
pub(super) struct Nodes {
    /// In the order of the queue.
    nodes: Vec<(i64, ClaimId)>,
    /// The first node that is not ours to understand.
    foreign: Option<(i64, Error)>,
    gate: Gate,
    live: Option<KeyValue>,
}

impl Queue {
    /// The claim does not know any more who is ahead of it; finds out in the background.
    pub(super) fn seek(self: &Arc<Self>, standing: &Arc<Standing>) {
        let search = locked(&self.table).lines.get(&standing.who.line).map(|line| line.search.clone());
        let Some(search) = search else { return };
        let starts = {
            let mut rounds = locked(&search.0);
            let seeks = standing.state.update_silently(|state| {
                let waits = matches!(state.phase, Phase::Waiting(_));
                if waits {
                    state.phase = Phase::Waiting(Ahead::Sought(rounds.begun));
                }
                waits && !state.leaving
            });
            seeks && !std::mem::replace(&mut rounds.running, true)
        };
        if starts {
            let (queue, line) = (self.clone(), standing.who.line.clone());
            self.runtime.spawn(Box::pin(async move { queue.search(&line, &search).await }));
        }
    }

    /// Looks until nobody in the line seeks any more.
    async fn search(self: &Arc<Self>, line: &LineId, search: &Arc<Search>) {
        let keys = self.namespace.line(line);
        loop {
            let round = {
                let mut rounds = locked(&search.0);
                rounds.running =
                    self.lease.check().is_ok() && !self.seekers(line, search, u64::MAX).is_empty();
                if !rounds.running {
                    return;
                }
                rounds.begun += 1;
                rounds.begun
            };
            let found = tokio::select! { biased;
                _ = self.lease.lost() => continue,
                found = self.nodes(&keys) => found,
            };
            match found {
                Ok(nodes) => self.tell(&nodes, &self.seekers(line, search, round)),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::debug!(%line, %error, "a search will be repeated");
                    self.pause().await;
                }
                Err(error) if is_forbidden(&error) => self.lease.lose(LostReason::Denied),
                Err(error) => {
                    self.seekers(line, search, round).iter().for_each(|standing| standing.stop(&error))
                }
            }
        }
    }

    /// The claims of the line that have sought since before that round began.
    fn seekers(&self, line: &LineId, search: &Arc<Search>, round: u64) -> Vec<Arc<Standing>> {
        let seeks = |standing: &&Arc<Standing>| {
            standing.state.read(|state| match state.phase {
                Phase::Waiting(Ahead::Sought(since)) => {
                    since < round && !state.leaving && state.trouble.is_none()
                }
                _ => false,
            })
        };
        // Claims that came after the last of its time had left have a search of their own.
        let table = locked(&self.table);
        let in_line = table.lines.get(line).filter(|in_line| Arc::ptr_eq(&in_line.search, search));
        in_line.map(|in_line| in_line.claims.values().filter(seeks).cloned().collect()).unwrap_or_default()
    }

    fn tell(self: &Arc<Self>, nodes: &Nodes, seekers: &[Arc<Standing>]) {
        for standing in seekers {
            match nodes.foreign_before(standing) {
                Some(error) => standing.stop(error),
                None => self.found(standing, nodes),
            }
            self.drive(standing);
        }
    }

    /// What a look says about one claim.
    pub(super) fn found(self: &Arc<Self>, standing: &Standing, nodes: &Nodes) {
        if !nodes.contain(standing.who.id) {
            return self.missing(standing, nodes.live.as_ref());
        }
        let ahead = nodes.before(standing.who.place());
        let outcome = match ahead {
            None => standing.lead(nodes.gate),
            Some(ahead) => {
                standing.state.update(|state| {
                    if matches!(state.phase, Phase::Waiting(Ahead::Sought(_))) {
                        state.phase = Phase::Waiting(Ahead::Found(ahead));
                    }
                });
                Ok(())
            }
        };
        if let Err(error) = outcome {
            standing.stop(&error);
        }
    }

    /// Looks at the whole queue.
    pub(super) async fn nodes(&self, keys: &LineKeys) -> Result<Nodes> {
        let look = vec![
            get(self.namespace.live(self.session)),
            some_keys(keys.queue(), 0),
            some_keys(keys.holders(), 1),
        ];
        let mut reply = self.look(look).await?;
        let (live, queue, holders) = (reply.key(), reply.keys(), reply.keys());
        let gate = gate(&holders);
        let (mut nodes, mut foreign) = (Vec::new(), None);
        for kv in queue {
            match keys.part(kv.key()) {
                Some(Part::Node(claim)) => nodes.push((kv.create_revision(), claim)),
                Some(Part::Next(_)) => {}
                _ if foreign.as_ref().is_none_or(|(first, _)| kv.create_revision() < *first) => {
                    foreign =
                        Some((kv.create_revision(), garbled(kv.key(), "is no claim's place in the queue")));
                }
                _ => {}
            }
        }
        nodes.sort_unstable();
        Ok(Nodes { nodes, foreign, gate, live })
    }

    /// Whether the holders behind the gate let the claim in, or it has come in already. When it is in line no more,
    /// it is told.
    pub(super) async fn gate(self: &Arc<Self>, standing: &Standing) -> Result<Gate> {
        let (who, mode) = (&standing.who, standing.state.read(|state| state.mode));
        // All of them only when they are to be counted.
        let in_the_way = match mode {
            Mode::Exclusive | Mode::Present => some_keys(who.keys.holders(), 1),
            Mode::Shared => some_keys(who.keys.permit_holders(), 1),
            Mode::Permits { .. } => range(who.keys.holders()),
        };
        let (live, node) = (self.namespace.live(self.session), who.keys.node(who.id));
        let look = vec![get(live), get(node), get(who.keys.seat(mode, who.id)), in_the_way];
        let mut reply = self.look(look).await?;
        let (live, node, seat, holders) = (reply.key(), reply.key(), reply.key(), reply.keys());
        match (node, seat) {
            (Some(_), _) => {}
            // An admission that was not answered, and had not landed when the next one was refused.
            (None, Some(seat)) => {
                self.seated(standing, mode, seat.create_revision())?;
                return Ok(Gate::Open);
            }
            (None, None) => {
                self.missing(standing, live.as_ref());
                return Ok(Gate::Shut);
            }
        }
        let admitted = match mode {
            Mode::Permits { .. } => occupancy(&who.keys, &holders)?.admits(mode),
            _ => holders.is_empty(),
        };
        Ok(if admitted { Gate::Open } else { Gate::Shut })
    }
}

impl Nodes {
    pub(super) fn contain(&self, claim: ClaimId) -> bool {
        self.nodes.iter().any(|(_, other)| *other == claim)
    }

    /// The claim right before that place.
    pub(super) fn before(&self, place: u64) -> Option<ClaimId> {
        let ahead = self.nodes.partition_point(|(created, _)| created.cast_unsigned() < place);
        self.nodes.get(ahead.checked_sub(1)?).map(|(_, claim)| *claim)
    }

    /// The claim right after that place.
    pub(super) fn after(&self, place: u64) -> Option<ClaimId> {
        let behind = self.nodes.partition_point(|(created, _)| created.cast_unsigned() <= place);
        self.nodes.get(behind).map(|(_, claim)| *claim)
    }

    /// Why the claim cannot know who is ahead of it: somebody is whom we do not understand.
    fn foreign_before(&self, standing: &Standing) -> Option<&Error> {
        let (created, error) = self.foreign.as_ref()?;
        (created.cast_unsigned() < standing.who.place()).then_some(error)
    }
}
