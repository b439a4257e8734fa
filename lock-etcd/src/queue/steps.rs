//! From joined to granted. A claim that waits costs no task: one is started when there is a step to take.

use std::{sync::Arc, time::Duration};

use etcd_client::KeyValue;
use lock_core::{ClaimId, ErrorKind, LostReason, Mode, Result, runtime::jitter, sync::Signal};

use super::{
    Queue, named,
    standing::{Ahead, Gate, Phase, Standing, State, Step},
    txn::{self, Departure, To},
};
use crate::{
    connection::retry_pause,
    error::{garbled, is_forbidden},
    news::News,
    pointers::Mark,
    request::Reply,
    watch::{Keys, Sink},
};

/// Whether something has changed behind the gate, and how often.
struct Changed(Signal<Option<u64>>);

impl Sink for Changed {
    fn opened(&self) {
        self.0.update(|count| *count = Some(count.unwrap_or_default() + 1));
    }

    fn event(&self, _event: &etcd_client::Event) {
        self.opened();
    }
}

impl Queue {
    /// Takes the claim's steps in the background, if there are any and nobody does so yet.
    pub(super) fn drive(self: &Arc<Self>, standing: &Arc<Standing>) {
        let starts = standing.state.update_silently(|state| {
            state.next_step().is_some() && !std::mem::replace(&mut state.driven, true)
        });
        if starts {
            let (queue, standing) = (self.clone(), standing.clone());
            self.runtime.spawn(Box::pin(async move {
                queue.connection.turn().await;
                Box::pin(queue.take_steps(&standing)).await;
            }));
        }
    }

    async fn take_steps(self: &Arc<Self>, standing: &Arc<Standing>) {
        let mut pause = Duration::from_millis(5);
        loop {
            let step = standing.state.update_silently(|state| {
                // It has its place, and need not be linked to be found: who hands over in a full store looks who is next.
                let waits_for_room = |step: &Step| matches!(step, Step::Link(_)) && self.is_full();
                let step = state.next_step().filter(|step| !waits_for_room(step));
                state.driven = step.is_some();
                step
            });
            let Some(step) = step else { return };
            let outcome = tokio::select! { biased;
                // Nothing is granted any more under this session.
                _ = self.lease.lost() => return,
                outcome = self.take(step, standing) => outcome,
            };
            match outcome {
                Ok(()) => pause = Duration::from_millis(5),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::debug!(claim = %standing.who.id, ?step, %error, "will be repeated");
                    jitter(&*self.runtime, pause).await;
                    pause = (pause * 2).min(retry_pause(&self.lease) * 4);
                }
                Err(error) if error.kind() == ErrorKind::Full && matches!(step, Step::Link(_)) => {
                    tracing::debug!(claim = %standing.who.id, %error, "links once there is room");
                    self.waits_for_room();
                }
                Err(error) if error.kind() == ErrorKind::SessionLost => self.lease.lose(LostReason::Expired),
                Err(error) if is_forbidden(&error) => self.lease.lose(LostReason::Denied),
                Err(error) => standing.stop(&error),
            }
        }
    }

    async fn take(self: &Arc<Self>, step: Step, standing: &Arc<Standing>) -> Result<()> {
        match step {
            Step::Link(ahead) => self.link(standing, ahead).await,
            Step::Admission => self.admit(standing).await,
            Step::Gate => self.wait_at_the_gate(standing).await,
        }
    }

    /// Tells the claim ahead that this one waits for it.
    async fn link(self: &Arc<Self>, standing: &Arc<Standing>, ahead: ClaimId) -> Result<()> {
        if self.follows_here(standing, ahead) {
            return Ok(());
        }
        self.watch_life(ahead.session).await;
        let who = &standing.who;
        let mut reply = self.change(txn::link(who, ahead)).await?;
        let news_came = |state: &State| state.phase != Phase::Waiting(Ahead::Found(ahead));
        if reply.succeeded {
            tracing::debug!(line = %who.line, claim = %who.id, behind = %ahead, "linked");
            standing.state.update_silently(|state| {
                if !news_came(state) {
                    state.phase = Phase::Waiting(Ahead::Linked(ahead));
                }
            });
            return Ok(());
        }
        let (node, live, live_ahead) = (reply.key(), reply.key(), reply.key());
        let (mark, holders) = (reply.key().and_then(|mark| Mark::read(mark.value())), reply.keys());
        if live_ahead.is_none() && ahead.session != self.session {
            self.session_ended(ahead.session);
        }
        if standing.state.read(news_came) && node.is_some() {
            return Ok(());
        }
        if node.is_none() {
            self.missing(standing, live.as_ref());
            return Ok(());
        }
        // The claim ahead has gone. Where it stood, this one stands now.
        let was_first = standing.state.read(|state| state.behind_first == Some(ahead));
        let stood_behind = match mark.filter(|mark| mark.left == ahead) {
            Some(mark) => mark.behind,
            None if was_first => None,
            None => {
                self.seek(standing);
                return Ok(());
            }
        };
        match stood_behind {
            Some(ahead) => standing.state.update(|state| {
                if !news_came(state) {
                    state.phase = Phase::Waiting(Ahead::Found(ahead));
                }
            }),
            None => {
                if live_ahead.is_some() {
                    self.had_left(&who.line, ahead);
                }
                standing.lead(gate(&holders))?;
            }
        }
        Ok(())
    }

    /// Waits at the head of the queue, where nobody else watches the holders.
    async fn wait_at_the_gate(self: &Arc<Self>, standing: &Arc<Standing>) -> Result<()> {
        let changed = Arc::new(Changed(Signal::new(None)));
        let _watch = self.watcher.watch(Keys::Under(standing.who.keys.holders()), changed.clone());
        let mut seen = None;
        loop {
            tokio::select! { biased;
                count = changed.0.wait(|count| (*count != seen).then_some(*count)) => seen = count,
                () = standing.state.wait(|state| (state.next_step() != Some(Step::Gate)).then_some(())) => return Ok(()),
            }
            if self.gate(standing).await? == Gate::Open {
                return standing.lead(Gate::Open);
            }
        }
    }

    /// Takes a seat among the holders and passes the gate on, in one step.
    async fn admit(self: &Arc<Self>, standing: &Arc<Standing>) -> Result<()> {
        let (state, gaps) = (standing.state.read(Clone::clone), self.gaps());
        let to = To::Gate(standing.record_as(state.mode));
        let departure = Departure::own(&standing.who, &state, None, News::Head, to);
        let mut reply = self.change(departure.txn()).await?;
        if reply.succeeded {
            standing.take_seat(state.mode, reply.revision)?;
            self.tell_here(standing, &departure, reply.revision, gaps);
            return Ok(());
        }
        let refusal = Refusal::read(&departure, &mut reply);
        if let Some(seat) = &refusal.seat {
            return self.seated(standing, state.mode, seat.create_revision());
        }
        refusal.check()?;
        if refusal.is_gone() {
            self.missing(standing, refusal.live.as_ref());
        } else if !refusal.noted(standing, &departure) && state.mode == Mode::Shared {
            // Nothing else can have been in the way.
            standing.lead(Gate::Shut)?;
        }
        Ok(())
    }
}

/// Whether a head may hold alone, with these holders behind the gate.
pub(super) fn gate(holders: &[KeyValue]) -> Gate {
    if holders.is_empty() { Gate::Open } else { Gate::Shut }
}

/// Why a claim could not leave the queue.
pub(super) struct Refusal {
    pub(super) node: Option<KeyValue>,
    /// Who has linked behind it.
    next: Option<KeyValue>,
    pub(super) live: Option<KeyValue>,
    /// It has gone through the gate before.
    pub(super) seat: Option<KeyValue>,
    next_gone: bool,
}

impl Refusal {
    pub(super) fn read(departure: &Departure<'_>, reply: &mut Reply) -> Self {
        let (node, next, live) = (reply.key(), reply.key(), reply.key());
        let next_gone = departure.next.is_some() && reply.key().is_none();
        let seat = if matches!(departure.to, To::Nowhere) { None } else { reply.key() };
        Self { node, next, live, seat, next_gone }
    }

    /// Whether somebody wrote there who does not know how.
    pub(super) fn check(&self) -> Result<()> {
        match self.next.as_ref().filter(|next| named(next.value()).is_none()) {
            Some(next) => Err(garbled(next.key(), "names no claim")),
            None => Ok(()),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.node.is_none()
    }

    /// Takes note of a neighbour who came or went meanwhile; tells whether there was one.
    pub(super) fn noted(&self, standing: &Standing, departure: &Departure<'_>) -> bool {
        standing.state.update_silently(|state| {
            let mut noted = false;
            if let Some(next) = self.next.as_ref().filter(|next| next.mod_revision() > departure.touched) {
                noted = true;
                state.saw(next);
            }
            // Who had linked has withdrawn.
            if self.next.is_none() && departure.touched > 0 && state.touched == departure.touched {
                (noted, state.touched, state.next) = (true, 0, None);
            }
            if self.next_gone && state.follower == departure.next {
                (noted, state.follower) = (true, None);
            } else if self.next_gone && state.next == departure.next {
                (noted, state.next) = (true, None);
            }
            noted
        })
    }
}
