//! Leader election.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, Weak},
    time::{Duration, SystemTime},
};

use crate::{
    backend::Line,
    claim::{ClaimId, Payload},
    error::{Error, ErrorKind, Result},
    guard::{Guard, Lost},
    recipe::{Entrance, LineWatch, Request, published::Published},
    runtime::Moment,
    session::{Health, LostReason},
    sync::locked,
    token::FencingToken,
};

/// One leader among many candidates; the next is the one who has waited longest. Cheap to clone.
///
/// **It guarantees** what a [`Mutex`](crate::Mutex) does, and that observers see leaders in the order of
/// their terms, never one twice and never going back.
///
/// **It does not guarantee** that a leader who was cut off has stopped by the time the next one begins: it
/// knows that it must, and [`run`](Self::run) drops its work. A resource that both write to should check the
/// [term](Leadership::term).
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::{ops::ControlFlow, sync::Arc};
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let election = coordinator.election("scheduler")?;
/// let leadership = election.campaign("10.0.0.7:8080").await?;
/// let leader = election.leader().await?.expect("somebody leads");
/// assert_eq!((leader.term, leader.value()), (leadership.term(), "10.0.0.7:8080".into()));
/// leadership.resign().await?;
///
/// // Or: lead again and again, until the work says that it is over.
/// let served = election.run("10.0.0.7:8080", async |leadership| ControlFlow::Break(leadership.term())).await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    entrance: Entrance,
    /// The leadership that this handle and its clones won last.
    current: Arc<Mutex<Weak<Guard>>>,
}

/// Leading, until it is resigned, dropped or lost. What is said of a [`Guard`] holds here too.
///
/// # Drop
///
/// Resigns in the background, as a dropped [`Guard`] is released.
#[derive(Debug)]
#[must_use = "leadership is resigned when this is dropped"]
pub struct Leadership {
    guard: Arc<Guard>,
    proclaimed: Published,
}

/// Who leads, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// Rises with each leader.
    pub term: FencingToken,
    /// What it proclaims.
    pub payload: Payload,
    /// Its owner label.
    pub owner: Arc<str>,
    /// Its claim: what [`Election::evict`] takes.
    pub claim: ClaimId,
    /// When it began to campaign, by its own wall clock.
    pub since: SystemTime,
}

impl Leader {
    /// What it proclaims, as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn value(&self) -> String {
        String::from_utf8_lossy(self.payload.as_bytes()).into_owned()
    }
}

/// What a health check wants to know of a candidate; see [`Election::standing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not lead.
    Follower,
    /// It leads, and its session was renewed in time.
    Leader {
        /// Which term.
        term: FencingToken,
        /// The deadline as it stands.
        until: Moment,
    },
    /// It leads, but a renewal is overdue: unless one succeeds, it leads no longer than until then.
    Overdue {
        /// Which term.
        term: FencingToken,
        /// The deadline as it stands.
        until: Moment,
    },
}

impl Standing {
    /// Whether all is well: not leading, or leading and renewed in time.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !matches!(self, Self::Overdue { .. })
    }
}

impl Election {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance, current: Arc::default() }
    }

    /// Waits until it is this candidate's turn to lead. `value` is what everybody can read about the leader,
    /// such as its address; at most [`Payload::MAX_BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] before any I/O; else as [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the candidate in the background.
    pub async fn campaign(&self, value: impl AsRef<[u8]>) -> Result<Leadership> {
        let payload = Payload::new(value.as_ref()).map_err(self.entrance.context("campaign"))?;
        let request = Request { payload, ..Request::exclusive() };
        let guard = Arc::new(self.entrance.acquire("campaign", &request).await?);
        *locked(&self.current) = Arc::downgrade(&guard);
        Ok(Leadership { guard, proclaimed: Published::default() })
    }

    /// Leads again and again: campaigns, runs `work` while leading, drops it the moment leadership is lost,
    /// and campaigns again after a random pause of up to a tenth of the ttl. `work` steps down with
    /// `ControlFlow::Continue`, and ends the run with `ControlFlow::Break`. While the store cannot be
    /// reached, it goes on trying.
    ///
    /// Leadership ends when `work` does, whatever becomes of its handle.
    ///
    /// # Errors
    ///
    /// Only what trying again cannot cure: a bad value, a closed coordinator, an ended runtime, a store that
    /// refuses us.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work`, and resigns or withdraws in the background.
    pub async fn run<T, W: Future<Output = ControlFlow<T>>>(
        &self,
        value: impl AsRef<[u8]>,
        mut work: impl FnMut(Arc<Leadership>) -> W,
    ) -> Result<T> {
        loop {
            match self.campaign(value.as_ref()).await {
                Ok(leadership) => {
                    let term = Term(Arc::new(leadership));
                    match term.0.run(work(term.0.clone())).await {
                        Ok(ControlFlow::Break(result)) => {
                            term.0.end().await;
                            return Ok(result);
                        }
                        Ok(ControlFlow::Continue(())) => term.0.end().await,
                        Err(lost) => tracing::warn!(%lost, "leadership was lost"),
                    }
                }
                Err(error) if error.is_retryable() || error.kind() == ErrorKind::NotHeld => {
                    tracing::warn!(%error, "the campaign failed; there will be another");
                }
                Err(error) => return Err(error),
            }
            self.entrance.pause().await;
        }
    }

    /// Who leads now.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn leader(&self) -> Result<Option<Leader>> {
        Ok(leader_of(&self.entrance.inspect().await?))
    }

    /// Follows who leads. Needs no candidacy.
    #[must_use]
    pub fn observe(&self) -> Observer {
        Observer { watch: LineWatch::new(self.entrance.clone()), seen: None, last_term: None }
    }

    /// How this candidate stands, by the clock as it is now; for a health check. It knows the leaderships
    /// that this handle and its clones won.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let Some(guard) = locked(&self.current).upgrade().filter(|guard| guard.is_valid()) else {
            return Standing::Follower;
        };
        let term = guard.token();
        match guard.health() {
            Health::Live { until } => Standing::Leader { term, until },
            Health::Suspect { until } => Standing::Overdue { term, until },
            Health::Lost(_) => Standing::Follower,
        }
    }

    /// Who leads, who campaigns, since when.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn inspect(&self) -> Result<Line> {
        self.entrance.inspect().await
    }

    /// Removes somebody's claim by force; see [`Mutex::evict`](crate::Mutex::evict).
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.entrance.evict(claim).await
    }
}

impl Leadership {
    /// Which term this is: what a resource can tell a late leader by.
    #[must_use]
    pub fn term(&self) -> FencingToken {
        self.guard.token()
    }

    /// The claim behind it, as [`Election::inspect`] shows it.
    #[must_use]
    pub fn claim(&self) -> ClaimId {
        self.guard.claim()
    }

    /// Changes what everybody can read about this leader. Of several that are called one after the other, the
    /// last one stands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] before any I/O; when leadership was lost, [`ErrorKind::NotHeld`] or what the
    /// session was lost by.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: the value is sent in the background, unless a newer one has
    /// taken its place.
    pub async fn proclaim(&self, value: impl AsRef<[u8]>) -> Result<()> {
        let context = |error: Error| error.during("proclaim").on(self.guard.line());
        let payload = Payload::new(value.as_ref()).map_err(context)?;
        self.guard.check().map_err(Error::from).map_err(context)?;
        self.proclaimed.set(payload);
        self.proclaimed.send(&self.guard).await.map_err(context)
    }

    /// Gives leadership to the next candidate, and waits until the store has done so.
    ///
    /// # Errors
    ///
    /// When leadership was lost before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop it.
    pub async fn resign(self) -> Result<()> {
        self.guard.leave("resign").await
    }

    /// Whether this still leads, by the clock as it is now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.guard.is_valid()
    }

    /// `Ok` while this still leads, by the clock as it is now.
    ///
    /// # Errors
    ///
    /// [`Lost`], with the reason.
    pub fn check(&self) -> Result<(), Lost> {
        self.guard.check()
    }

    /// When leadership ends as things stand; see [`Guard::deadline`].
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.guard.deadline()
    }

    /// How long leadership lasts as things stand; see [`Guard::remaining`].
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.guard.remaining()
    }

    /// How long it took from the campaign to the win.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.guard.waited()
    }

    /// Waits until leadership has ended, and says why; see [`Guard::lost`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn lost(&self) -> LostReason {
        self.guard.lost().await
    }

    /// Runs `work` while this leads; see [`Guard::run`].
    ///
    /// # Errors
    ///
    /// [`Lost`]; `work` was dropped.
    ///
    /// # Cancel safety
    ///
    /// As cancel-safe as `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        self.guard.run(work).await
    }

    /// Resigns, whoever else has a handle.
    async fn end(&self) {
        self.guard.end();
        if let Err(error) = self.guard.place().leave().await {
            tracing::debug!(%error, "leadership had ended before it was resigned");
        }
    }
}

/// One term of a run: over when the run is, also when that is dropped or panics while somebody else has a
/// handle.
struct Term(Arc<Leadership>);

impl Drop for Term {
    fn drop(&mut self) {
        if self.0.is_valid() {
            let leadership = self.0.clone();
            self.0.guard.end();
            leadership
                .guard
                .place()
                .via()
                .runtime
                .clone()
                .spawn(Box::pin(async move { leadership.end().await }));
        }
    }
}

fn leader_of(line: &Line) -> Option<Leader> {
    line.places.iter().find_map(|place| {
        let (payload, owner) = (place.payload.clone(), place.owner.clone());
        Some(Leader { term: place.token?, payload, owner, claim: place.claim, since: place.since })
    })
}

/// Follows an election; see [`Election::observe`].
#[derive(Debug)]
pub struct Observer {
    watch: LineWatch,
    /// What was told last.
    seen: Option<Option<Leader>>,
    last_term: Option<FencingToken>,
}

impl Observer {
    /// Who leads at first, and then each time that somebody else leads, nobody does, or the leader proclaims
    /// something new. A slow reader misses leaders that did not last. Goes on under a new session when
    /// the last is lost.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked. May be called again.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn next(&mut self) -> Result<Option<Leader>> {
        loop {
            let leader = leader_of(&self.watch.next("observe").await?);
            if let Some(leader) = &leader {
                if Some(leader.term) < self.last_term {
                    continue;
                }
                self.last_term = Some(leader.term);
            }
            if self.seen.as_ref() != Some(&leader) {
                self.seen = Some(leader.clone());
                return Ok(leader);
            }
        }
    }
}
