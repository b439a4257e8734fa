//! Clients: machines whose workers take turns in every mode, cancel, write late, lead, and run ticks.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use lock_core::{
    ClaimId, Claims, Coordinator, Error, ErrorKind, FencingToken, Guard, Health, Kind, LineId, LostReason,
    Mode, Moment, Options, Outcome,
    backend::Backend,
    runtime::{Runtime, SimulatedRuntime},
};

use super::{CLIENTS, Dice, LINES, TTL, WORKERS, World, line, lines, network::Network};
use crate::history::{Invariant, What};

/// A process on a machine of its own.
pub(super) struct Client {
    world: Arc<World>,
    pub(super) number: usize,
    pub(super) machine: SimulatedRuntime,
    /// Its way to the store.
    backend: Arc<dyn Backend>,
    coordinator: Mutex<Coordinator>,
    reopening: tokio::sync::Mutex<()>,
}

const MODES: [Mode; 6] = [
    Mode::Exclusive,
    Mode::Exclusive,
    Mode::Shared,
    Mode::Permits { count: 1, limit: 3 },
    Mode::Permits { count: 2, limit: 3 },
    Mode::Present,
];

/// Longer than any wait that makes progress.
const STUCK: Duration = Duration::from_secs(3);

/// Longer than any request takes when all is calm.
const CALM_HOLD: Duration = Duration::from_millis(20);

pub(super) async fn start_all(world: &Arc<World>) -> Vec<Arc<Client>> {
    let (mut clients, dice) = (Vec::new(), Dice(world.clock().clone()));
    for number in 0..CLIENTS {
        // Within the drift that the contract allows.
        let thousandths = u32::try_from(dice.below(9)).unwrap_or_default();
        let rate = 0.996 + f64::from(thousandths) / 1000.0;
        let machine = world.clock().machine(world.clock().random_u64(), rate);
        let backend = world.store.way(number, &machine).await;
        let coordinator = Mutex::new(open(world, &machine, &backend).await);
        let (world, reopening) = (world.clone(), tokio::sync::Mutex::default());
        clients.push(Arc::new(Client { world, number, machine, backend, coordinator, reopening }));
    }
    clients
}

/// Sets everybody to work, in the background, until all is calm; the result ends when they do.
pub(super) fn work(clients: &[Arc<Client>]) -> Vec<tokio::sync::oneshot::Receiver<()>> {
    let workers = clients.iter().flat_map(|client| std::iter::repeat_n(client, WORKERS));
    workers
        .map(|client| {
            let (done, ended) = tokio::sync::oneshot::channel();
            let worker = client.clone();
            client.world.spawn(async move {
                worker.work().await;
                let _the_end_is_awaited = done.send(());
            });
            ended
        })
        .collect()
}

/// All is calm: everybody gets a turn on every line, nothing is left in line, and closing leaves nothing
/// either.
pub(super) async fn wind_up(world: &World, clients: Vec<Arc<Client>>) {
    for client in &clients {
        client.reopen().await;
    }
    let exclusive = lines().map(|line| (line, [Mode::Exclusive].as_slice()));
    let mixed = LINES.map(|name| (line(Kind::Mutex, name), MODES.as_slice()));
    for (line, modes) in exclusive.chain(mixed) {
        // All at once, so that they queue: while things go wrong nobody can tell a wait that is never answered
        // from a long one.
        let everybody = clients.iter().flat_map(|client| std::iter::repeat_n(client, WORKERS));
        let turns = everybody.zip(modes.iter().cycle());
        join_all(turns.map(|(client, mode)| client.takes_a_turn_in_calm(&line, *mode))).await;
    }
    world.sleep(world.store.recovery()).await;
    world.look_for_orphans(|_| true);
    for client in clients {
        client.close().await;
    }
}

async fn open(world: &Arc<World>, machine: &SimulatedRuntime, backend: &Arc<dyn Backend>) -> Coordinator {
    let (world, backend) = (world.clone(), backend.clone());
    let network = Arc::new(Network { world: world.clone(), backend, dice: Dice(machine.clone()) });
    loop {
        let options = Options::default().ttl(TTL).owner("simulated").runtime(machine.shared());
        match Coordinator::open(network.clone(), options).await {
            Ok(coordinator) => return coordinator,
            // The machine slept through the time that it had.
            Err(error) if error.is_retryable() => world.note("sessions not opened in time"),
            Err(error) => unreachable!("opening does not fail otherwise: {error}"),
        }
    }
}

impl Client {
    pub(super) fn coordinator(&self) -> Coordinator {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the session, in the middle of whatever is going on; then nothing of it may be left. Tells
    /// whether there was one.
    pub(super) async fn close(&self) -> bool {
        let coordinator = self.coordinator();
        let open = !coordinator.health().is_lost();
        if coordinator.health() == Health::Lost(LostReason::Abandoned) {
            // It was killed, and the dead close nothing.
            return open;
        }
        match coordinator.close().await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Unavailable && !self.world.is_calm() => {
                // Its ttl ends it.
                self.world.note("closes that were not answered");
                return open;
            }
            Err(error) => self.world.violated(Invariant::Orphans, error.to_string()),
        }
        let session = coordinator.session_id();
        self.world.look_for_orphans(|claim| claim.session == session);
        open
    }

    async fn reopen(&self) {
        let _alone = self.reopening.lock().await;
        if matches!(self.coordinator().health(), Health::Lost(LostReason::Closed | LostReason::Abandoned)) {
            let coordinator = open(&self.world, &self.machine, &self.backend).await;
            *self.coordinator.lock().unwrap_or_else(PoisonError::into_inner) = coordinator;
        }
    }

    async fn work(&self) {
        let dice = Dice(self.machine.clone());
        // Where it has had a turn and wants the next one at once.
        let mut back = None;
        while !self.world.is_calm() {
            let outcome = match (back.take(), dice.below(10)) {
                (Some(line), _) => self.take_a_turn(&dice, line, Mode::Exclusive).await,
                (None, 0) => self.lead(&dice).await.map(|()| None),
                (None, 1) => self.run_a_tick(&dice).await.map(|()| None),
                (None, _) => self.take_a_turn(&dice, dice.pick::<&str>(&LINES), *dice.pick(&MODES)).await,
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::Closed => self.reopen().await,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NotHeld | ErrorKind::Unavailable | ErrorKind::SessionLost
                    ) =>
                {
                    self.world.note("errors that users saw");
                }
                Err(error) => self.world.violated(Invariant::Cause, format!("{error:?}")),
                Ok(None) => {}
                Ok(again) => {
                    back = again;
                    continue;
                }
            }
            self.sleep(dice.millis(0..150)).await;
        }
    }

    /// On the machine's own time.
    async fn sleep(&self, duration: Duration) {
        self.machine.sleep_until(self.machine.now() + duration).await;
    }

    /// Drops `future` at some await, or when it takes too long.
    async fn cancel_at_random<T>(&self, dice: &Dice, future: impl Future<Output = T>) -> Option<T> {
        let patience = if dice.percent(40) { dice.millis(0..60) } else { STUCK };
        tokio::select! { biased;
            value = future => Some(value),
            () = self.sleep(patience) => {
                self.world.note("calls cancelled");
                None
            }
        }
    }

    /// Gives the name of the line when it comes back to it at once.
    async fn take_a_turn(
        &self,
        dice: &Dice,
        name: &'static str,
        mode: Mode,
    ) -> Result<Option<&'static str>, Error> {
        let way = dice.below(10);
        let claims = self.coordinator().claims(line(Kind::Mutex, name));
        let acquire = async {
            match way {
                0 | 1 => claims.try_acquire(mode).await,
                2 | 3 => claims.try_acquire_for(mode, dice.millis(0..300)).await,
                _ => claims.acquire(mode).await.map(Some),
            }
        };
        let Some(Some(guard)) = self.cancel_at_random(dice, acquire).await.transpose()? else {
            return Ok(None);
        };
        let hold = if dice.percent(8) { dice.millis(500..2000) } else { dice.millis(0..40) };
        let work = async {
            self.sleep(hold).await;
            if mode == Mode::Exclusive {
                self.write(&claims, &guard).await;
            }
        };
        let turn = (guard.claim(), guard.token(), guard.is_valid());
        let lost = self.believe(turn, || guard.deadline(), guard.lost(), work).await;
        if lost.is_some() && mode == Mode::Exclusive {
            // As one would who was stopped before his last step.
            self.sleep(dice.millis(0..200)).await;
            self.world.note("late writes tried");
            self.write(&claims, &guard).await;
        }
        if !dice.percent(50) {
            return Ok(None);
        }
        guard.release().await?;
        Ok(dice.percent(75).then_some(name))
    }

    async fn lead(&self, dice: &Dice) -> Result<(), Error> {
        let election = self.coordinator().election("e")?;
        let Some(leadership) = self.cancel_at_random(dice, election.campaign("me")).await.transpose()? else {
            return Ok(());
        };
        let work = async {
            self.sleep(dice.millis(0..60)).await;
            let _may_be_lost = leadership.proclaim("still me").await;
        };
        let turn = (leadership.claim(), leadership.term(), leadership.is_valid());
        self.believe(turn, || leadership.deadline(), leadership.lost(), work).await;
        if dice.percent(50) { leadership.resign().await } else { Ok(()) }
    }

    async fn run_a_tick(&self, dice: &Dice) -> Result<(), Error> {
        let tick = self.world.tick.fetch_add(dice.below(2), Ordering::Relaxed);
        let task = self.coordinator().task("t")?;
        let run = task.run(tick, self.sleep(dice.millis(0..40)));
        if let Some(Outcome::Completed(())) = self.cancel_at_random(dice, run).await.transpose()? {
            self.world.record(What::Completed { line: line(Kind::Task, "t"), tick });
        }
        Ok(())
    }

    /// Believes to hold until `work` is done or the guard says that it is over, and says which.
    async fn believe(
        &self,
        (claim, token, valid): (ClaimId, FencingToken, bool),
        deadline: impl Fn() -> Moment,
        lost: impl Future<Output = LostReason>,
        work: impl Future<Output = ()>,
    ) -> Option<LostReason> {
        if !valid {
            self.world.note("guards that came too late");
            return None;
        }
        self.world.note("turns");
        self.world.record(What::Granted { claim, token });
        let granted = self.world.clock().now();
        let (mut lost, mut work) = (pin!(lost), pin!(work));
        let reason = tokio::select! { biased;
            reason = &mut lost => Some(reason),
            () = &mut work => None,
        };
        if reason.is_some() {
            self.world.note("guards lost");
        }
        // When the store ends a session after its owner's own deadline, that is no news to the owner.
        let overdue = self.machine.now().saturating_since(deadline());
        let reason = match reason {
            Some(LostReason::Expired) if !overdue.is_zero() => Some(LostReason::Deadline),
            reason => reason,
        };
        // One who stood still beyond the deadline sees it at the first look, and did not act in between; also
        // one who had nothing left to do.
        let ago = match reason {
            Some(LostReason::Deadline) | None => overdue.min(self.machine.stood_still()),
            _ => Duration::ZERO,
        };
        // Not before it began: the machine's own clock has jumped when the machine was suspended.
        let ago = ago.min(self.world.clock().now().saturating_since(granted));
        self.world.record_late(What::BeliefEnds { claim, lost: reason }, ago);
        reason
    }

    /// Reads, and writes under the guard.
    async fn write(&self, claims: &Claims, guard: &Guard) {
        let Ok(cell) = claims.cell().await else { return };
        let (line, token) = (claims.line().clone(), guard.token());
        let bytes = format!("{token} {}", self.machine.random_u64());
        let version =
            claims.put_cell(cell.version, bytes.as_bytes(), guard).await.ok().map(|version| version.get());
        self.world.note(if version.is_some() { "writes" } else { "writes refused" });
        self.world.record(What::Wrote { line, token, replaced: cell.version.get(), version });
    }

    async fn takes_a_turn_in_calm(&self, line: &LineId, mode: Mode) {
        let turn = async {
            let guard = self.coordinator().claims(line.clone()).acquire(mode).await?;
            // Until the others are in line.
            self.world.sleep(CALM_HOLD).await;
            // A session whose renewals were held up until now may still be lost here.
            guard.release().await.or_else(|error| if error.is_retryable() { Ok(()) } else { Err(error) })
        };
        tokio::select! { biased;
            turn = turn => {
                if let Err(error) = turn {
                    self.world.violated(Invariant::Progress, error.to_string());
                }
            }
            () = self.world.sleep(STUCK * 3) => {
                self.world.violated(Invariant::Progress, format!("{line}: no turn when all is calm"));
            }
        }
    }
}
