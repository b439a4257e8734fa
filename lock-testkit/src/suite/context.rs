//! What cases are written in.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use lock_core::{
    Capabilities, Claim, ClaimId, Coordinator, Effect, Error, ErrorKind, Grant, Kind, Line, LineId, Lost,
    Mode, Mutant, Options, Payload, Requirement, SessionId, SessionOptions, Ticket, backend::SharedSession,
    runtime::SharedRuntime,
};

use crate::harness::{Client, Control, Store};

/// A step of a case.
pub(super) type Check<T = ()> = Result<T, Stop>;

/// Why a case ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(String),
    Unsupported(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(format!("{error} ({:?})", error.kind()))
    }
}

impl From<Lost> for Stop {
    fn from(lost: Lost) -> Self {
        Self::Failed(lost.to_string())
    }
}

/// Fails the case unless the condition holds.
pub(super) fn ensure(holds: bool, otherwise: impl Into<String>) -> Check {
    if holds { Ok(()) } else { Err(Stop::Failed(otherwise.into())) }
}

/// Ends the case if the harness could not do what it needs.
pub(super) fn needs(control: Control) -> Check {
    match control {
        Control::Done => Ok(()),
        Control::Unsupported(why) => Err(Stop::Unsupported(why.to_owned())),
    }
}

/// The store of one case.
pub(super) struct Context {
    pub(super) store: Box<dyn Store>,
    pub(super) runtime: SharedRuntime,
    pub(super) ttl: Duration,
    pub(super) grace: Duration,
    pub(super) lateness: Duration,
    /// How the recipes of all coordinators are broken.
    mutant: Option<Mutant>,
}

impl Context {
    pub(super) fn new(store: Box<dyn Store>, mutant: Option<Mutant>) -> Self {
        let (runtime, ttl, grace, lateness) = (store.runtime(), store.ttl(), store.grace(), store.lateness());
        Self { store, runtime, ttl, grace, lateness, mutant }
    }

    /// Whether the store has claims in this mode, in lines like those of its own cases.
    pub(super) async fn declares(&self, mode: Mode) -> Check<bool> {
        Ok(self.capabilities().await?.modes.include(line("any").kind(), mode))
    }

    /// Whether the store has what is made of claims in this mode.
    pub(super) async fn has_recipes_of(&self, mode: Mode) -> Check<bool> {
        Ok(self.capabilities().await?.require(Requirement::Mode(mode)).is_ok())
    }

    async fn capabilities(&self) -> Check<Capabilities> {
        let party = self.party().await?;
        let capabilities = party.session.capabilities();
        party.session.close().await?;
        Ok(capabilities)
    }

    /// A session of its own client, to be driven call by call.
    pub(super) async fn party(&self) -> Check<Party> {
        let client = self.store.client().await;
        let runtime = client.runtime();
        let id = SessionId::new(runtime.random_u64());
        let options = SessionOptions { id, ttl: self.ttl, runtime: runtime.clone() };
        let session = client.backend().open(options).await?;
        // As the core does for every session.
        runtime.spawn(Box::pin(session.lease().clone().watch()));
        Ok(Party { client, session, id, claims: AtomicU64::new(0) })
    }

    /// A coordinator of its own client.
    pub(super) async fn user(&self) -> Check<User> {
        let client = self.store.client().await;
        let mut options = Options::default().ttl(self.ttl).runtime(client.runtime());
        if let Some(mutant) = self.mutant {
            options = options.mutant(mutant);
        }
        let coordinator = Coordinator::open(client.backend(), options).await?;
        Ok(User { client, coordinator })
    }

    /// How many requests the store has served so far.
    pub(super) async fn requests(&self) -> Check<u64> {
        let why = || Stop::Unsupported("its requests cannot be told from renewals".to_owned());
        self.store.requests().await.ok_or_else(why)
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.runtime.sleep_until(self.runtime.now() + duration).await;
    }

    /// How long a grant may take that must come by itself after a session died.
    pub(super) fn recovery(&self, session: &SharedSession) -> Duration {
        self.ttl + session.capabilities().recovery_slack + self.grace
    }

    /// Waits for what must happen soon.
    pub(super) async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> Check<T> {
        self.within(self.ttl / 2, what, future).await
    }

    /// Waits for what must happen within `limit`, and may be seen late.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        future: impl IntoFuture<Output = T>,
    ) -> Check<T> {
        tokio::select! { biased;
            value = future => Ok(value),
            () = self.sleep(limit + self.lateness) => Err(Stop::Failed(format!("not within {limit:?}: {what}"))),
        }
    }

    /// Whether `future` ends within the grace: what must not happen is watched for so long.
    pub(super) async fn at_once<T>(&self, future: impl IntoFuture<Output = T>) -> Option<T> {
        tokio::select! { biased;
            value = future => Some(value),
            () = self.sleep(self.grace) => None,
        }
    }

    /// Waits until so many claims are in line, that of `waiting` among them, and then for the grace: it must
    /// not be granted.
    pub(super) async fn waits<T>(
        &self,
        spy: &Party,
        line: &LineId,
        count: usize,
        waiting: Pin<&mut (impl Future<Output = T> + Send)>,
    ) -> Check {
        let in_line = async {
            while spy.inspect(line).await?.places.len() < count {
                self.sleep(Duration::from_millis(1)).await;
            }
            self.sleep(self.grace).await;
            Ok(())
        };
        let what = format!("{count} in line of {line}");
        tokio::select! { biased;
            _ = waiting => Err(Stop::Failed(format!("granted as one of {count} in line of {line}"))),
            outcome = self.within(self.ttl / 2 + self.grace, &what, in_line) => outcome?,
        }
    }

    /// What is left in the store is what was there before, at once.
    pub(super) async fn residue_is(&self, before: &[String], after: &str) -> Check {
        self.residue_becomes(before, Duration::ZERO, after).await
    }

    /// Waits until what is left in the store is what was there before.
    pub(super) async fn residue_becomes(&self, before: &[String], limit: Duration, after: &str) -> Check {
        let end = self.runtime.now() + limit;
        let before = before.iter().collect::<BTreeSet<_>>();
        loop {
            let residue = self.store.residue().await;
            // A store may list what it has in any order: etcd's leases come in that of their expiry.
            if residue.iter().collect::<BTreeSet<_>>() == before {
                return Ok(());
            }
            ensure(self.runtime.now() < end, format!("left after {after}: {residue:?}, before: {before:?}"))?;
            self.sleep(Duration::from_millis(1)).await;
        }
    }

    /// No case takes longer than this, unless it hangs.
    pub(super) async fn within_patience(&self, case: impl Future<Output = Check>) -> Check {
        self.within(self.ttl * 30, "the end of the case", case).await?
    }
}

/// A session that a case drives call by call, as the core would.
pub(super) struct Party {
    pub(super) client: Box<dyn Client>,
    pub(super) session: SharedSession,
    pub(super) id: SessionId,
    claims: AtomicU64,
}

impl Party {
    /// A claim that nobody has made yet.
    pub(super) fn claim(&self, mode: Mode) -> Claim {
        let id = ClaimId { session: self.id, number: self.claims.fetch_add(1, Ordering::Relaxed) };
        let (owner, payload) = ("conformance suite".into(), Payload::default());
        Claim { id, mode, owner, payload, since: SystemTime::UNIX_EPOCH }
    }

    pub(super) async fn join(&self, line: &LineId, mode: Mode) -> Check<Standing> {
        let ticket = self.session.join(line, &self.claim(mode)).await?;
        let (session, waiting) = (self.session.clone(), ticket.clone());
        let wait = Box::pin(async move { session.granted(&waiting).await });
        Ok(Standing { session: self.session.clone(), ticket, wait, granted: None })
    }

    /// The outcome of a call to which a reply is lost, after so many that come through. `None`: it asked for
    /// less.
    pub(super) async fn losing<T>(
        &self,
        after: u64,
        call: impl Future<Output = lock_core::Result<T>>,
    ) -> Check<Option<lock_core::Result<T>>> {
        let before = self.client.lost_replies(self.id).await;
        needs(self.client.lose_reply(self.id, after).await)?;
        let outcome = call.await;
        Ok((self.client.lost_replies(self.id).await > before).then_some(outcome))
    }

    pub(super) async fn inspect(&self, line: &LineId) -> Check<Line> {
        Ok(self.session.inspect(line).await?)
    }

    pub(super) async fn is_in_line(&self, ticket: &Ticket) -> Check<bool> {
        Ok(self.inspect(&ticket.line).await?.places.iter().any(|place| place.claim == ticket.claim))
    }
}

/// What a case leaves behind must not go on renewing itself through the next.
impl Drop for Party {
    fn drop(&mut self) {
        self.session.abandon();
    }
}

/// A claim that stands in line, and waits.
pub(super) struct Standing {
    session: SharedSession,
    pub(super) ticket: Ticket,
    wait: Pin<Box<dyn Future<Output = lock_core::Result<Grant>> + Send>>,
    granted: Option<Grant>,
}

impl Standing {
    /// The grant, which must come soon.
    pub(super) async fn granted(&mut self, context: &Context) -> Check<Grant> {
        let limit = context.ttl / 2;
        self.granted_within(context, limit).await
    }

    pub(super) async fn granted_within(&mut self, context: &Context, limit: Duration) -> Check<Grant> {
        if let Some(grant) = &self.granted {
            return Ok(grant.clone());
        }
        let what = format!("the grant of {}", self.ticket.claim);
        let grant = context.within(limit, &what, &mut self.wait).await??;
        self.granted = Some(grant.clone());
        Ok(grant)
    }

    /// Whether it is granted now, or within the grace.
    pub(super) async fn is_granted(&mut self, context: &Context) -> Check<bool> {
        if self.granted.is_none()
            && let Some(grant) = context.at_once(&mut self.wait).await
        {
            self.granted = Some(grant?);
        }
        Ok(self.granted.is_some())
    }

    /// What the wait ends with, whatever that is.
    pub(super) async fn end(self, context: &Context, limit: Duration) -> Check<lock_core::Result<Grant>> {
        match self.granted {
            Some(grant) => Ok(Ok(grant)),
            None => context.within(limit, "the end of the wait", self.wait).await,
        }
    }

    pub(super) async fn leave(self) -> Check {
        Ok(self.session.leave(&self.ticket.line, self.ticket.claim).await?)
    }
}

/// A coordinator of its own client.
pub(super) struct User {
    pub(super) client: Box<dyn Client>,
    pub(super) coordinator: Coordinator,
}

/// What a store may say whose reply was lost: that it does not know how it went, or, when it has found out,
/// that it is done.
pub(super) fn is_unknown_or_done<T>(outcome: &lock_core::Result<T>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => (error.kind(), error.effect()) == (ErrorKind::Unavailable, Effect::Unknown),
    }
}

pub(super) fn line(name: &str) -> LineId {
    line_of(Kind::Mutex, name)
}

pub(super) fn line_of(kind: Kind, name: &str) -> LineId {
    // The suite's own names are good.
    let name = name.parse().unwrap_or_else(|error| unreachable!("{error}"));
    LineId::new(kind, name)
}

/// A mode whose holder keeps `mode` out; somebody present is never kept out.
pub(super) fn rival(mode: Mode) -> Mode {
    match mode {
        Mode::Permits { .. } => mode,
        Mode::Exclusive | Mode::Shared | Mode::Present => Mode::Exclusive,
    }
}

/// Whether a holder in the rival mode keeps `mode` out.
pub(super) fn has_rival(mode: Mode) -> bool {
    mode != Mode::Present
}
