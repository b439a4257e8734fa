//! What goes over the wire: C4, C9, C13, C15.

use std::{future::poll_fn, pin::Pin, task::Poll};

use lock_core::{Effect, ErrorKind, LineId, Mode, Payload, backend::CellVersion};

use super::context::{Check, Context, Stop, ensure, has_rival, is_unknown_or_done, line, needs, rival};

/// Requests that each grant may cost, and that a release may cost by itself.
pub(super) const PER_GRANT: u64 = 4;

/// How often the cost is counted: a server that is slow for a moment makes sessions look for another, and they look at
/// their lines then. A herd comes each time.
const COUNTS: usize = 3;

pub(super) async fn one_wake(context: &Context, mode: Mode) -> Check {
    for waiting in [3, 24] {
        let mut outcome = Ok(());
        for count in 0..COUNTS {
            let line = line(&format!("wake-{waiting}-{count}"));
            let (requests, granted) = cost_of_a_release(context, &line, mode, waiting).await?;
            ensure(granted > 0 || !has_rival(mode), "the release granted nobody")?;
            let how = format!("{waiting} waiting, {granted} granted: the release cost {requests} requests");
            outcome = ensure(requests <= PER_GRANT * (granted + 1), how);
            if outcome.is_ok() {
                break;
            }
        }
        outcome?;
    }
    Ok(())
}

/// Those who wait belong to so many: one request of each would be too many for a grant.
const SESSIONS: usize = 12;

/// How many requests a release cost, and how many it granted.
async fn cost_of_a_release(context: &Context, x: &LineId, mode: Mode, waiting: usize) -> Check<(u64, u64)> {
    let holder = context.party().await?;
    let mut held = holder.join(x, rival(mode)).await?;
    held.granted(context).await?;
    let (mut parties, mut queue) = (Vec::new(), Vec::new());
    for _ in 0..SESSIONS.min(waiting) {
        parties.push(context.party().await?);
    }
    for party in parties.iter().cycle().take(waiting) {
        queue.push(party.join(x, mode).await?);
    }
    let waits = queue.into_iter().map(|mut standing| async move {
        standing.granted_within(context, context.ttl * 20).await.map(|_| standing)
    });
    cost_of(context, waits, held.leave()).await
}

/// How many requests a release cost, and how many of those who wait it granted. What they were granted they
/// keep until the end.
pub(super) async fn cost_of<T>(
    context: &Context,
    waits: impl Iterator<Item = impl Future<Output = Check<T>> + Send>,
    release: impl Future<Output = Check>,
) -> Check<(u64, u64)> {
    // All wait at the same time: each is polled whenever any is woken.
    let mut waits: Vec<_> = waits.map(Box::pin).collect();
    let mut granted: Vec<_> = waits.iter().map(|_| None).collect();
    let count = |granted: &[Option<T>]| granted.iter().flatten().count() as u64;
    let before = settle(context, &mut waits, &mut granted).await?;
    let already = count(&granted);
    release.await?;
    let after = settle(context, &mut waits, &mut granted).await?;
    Ok((after - before, count(&granted) - already))
}

/// Polls those that are not granted until the store has served nobody for the grace, and for as long as it may stand
/// still; how much it has served then.
async fn settle<T>(
    context: &Context,
    waits: &mut [Pin<Box<impl Future<Output = Check<T>>>>],
    granted: &mut [Option<T>],
) -> Check<u64> {
    let quiet = context.grace + context.lateness;
    let (mut before, mut since) = (context.requests().await?, context.runtime.now());
    loop {
        poll_all(context, waits, granted).await?;
        let (after, now) = (context.requests().await?, context.runtime.now());
        if after != before {
            (before, since) = (after, now);
        } else if now >= since + quiet {
            return Ok(after);
        }
    }
}

/// Polls those that are not granted for the grace.
async fn poll_all<T>(
    context: &Context,
    waits: &mut [Pin<Box<impl Future<Output = Check<T>>>>],
    granted: &mut [Option<T>],
) -> Check {
    let all = poll_fn(|cx| {
        for (wait, granted) in waits.iter_mut().zip(granted.iter_mut()) {
            if granted.is_none()
                && let Poll::Ready(outcome) = wait.as_mut().poll(cx)
            {
                match outcome {
                    Ok(value) => *granted = Some(value),
                    Err(stop) => return Poll::Ready(Err(stop)),
                }
            }
        }
        Poll::Pending
    });
    context.at_once(all).await.unwrap_or(Ok(()))
}

pub(super) async fn lost_reply(context: &Context, mode: Mode) -> Check {
    let user = context.user().await?;
    let (x, spy) = (line("reply"), context.party().await?);
    let claims = user.coordinator.claims(x.clone());
    let session = user.coordinator.session_id();
    for calls_before in 0..6 {
        let lost = format!("a reply lost after {calls_before} calls");
        needs(user.client.lose_reply(session, calls_before).await)?;
        let guard = context.soon(&lost, claims.acquire(mode)).await??;
        let count = spy.inspect(&x).await?.places.len();
        ensure(count == 1, format!("{lost}: {count} places for one claim"))?;
        guard.release().await?;
        let guard = context.soon(&lost, claims.try_acquire(mode)).await??;
        let cell = claims.cell().await?;
        if let Some(guard) = guard {
            let bytes = format!("write {calls_before}");
            claims.put_cell(cell.version, bytes.as_bytes(), &guard).await?;
            ensure(
                *claims.cell().await?.bytes == *bytes.as_bytes(),
                format!("{lost}: the write did not happen"),
            )?;
            guard.release().await?;
        }
        let count = spy.inspect(&x).await?.places.len();
        ensure(count == 0, format!("{lost}: {count} places are left"))?;
    }
    late_join(context, mode).await?;
    lost_reply_to_an_update(context, mode).await
}

/// A payload that is replaced stays replaced, and only its holder may.
async fn lost_reply_to_an_update(context: &Context, mode: Mode) -> Check {
    let (a, b) = (context.party().await?, context.party().await?);
    let x = line("update");
    let mut holder = a.join(&x, mode).await?;
    holder.granted(context).await?;
    let mut waiting = b.join(&x, rival(mode)).await?;
    waiting.is_granted(context).await?;
    let payload = Payload::new(b"here")?;
    let first = a.losing(0, a.session.update(&holder.ticket, payload.clone())).await?;
    ensure(
        first.as_ref().is_some_and(is_unknown_or_done),
        format!("an update whose reply is lost: {first:?}"),
    )?;
    a.session.update(&holder.ticket, payload.clone()).await?;
    let seen = b.inspect(&x).await?.places.into_iter().find(|place| place.claim == holder.ticket.claim);
    ensure(seen.is_some_and(|place| place.payload == payload), "the update did not happen")?;
    if has_rival(mode) {
        let early = b.session.update(&waiting.ticket, payload.clone()).await;
        ensure(early.is_err(), "one who waits updated its payload")?;
    }
    let late = holder.ticket.clone();
    holder.leave().await?;
    ensure(a.session.update(&late, payload).await.is_err(), "an update after the release")
}

/// A join that lands after its leave has returned takes no effect.
async fn late_join(context: &Context, mode: Mode) -> Check {
    let party = context.party().await?;
    let x = line("late");
    for joined_before in [false, true] {
        let claim = party.claim(mode);
        if joined_before {
            let ticket = party.session.join(&x, &claim).await?;
            party.session.granted(&ticket).await?;
        }
        party.session.leave(&x, claim.id).await?;
        // Whatever it answers.
        let _answer = party.session.join(&x, &claim).await;
        let count = party.inspect(&x).await?.places.len();
        ensure(count == 0, format!("a join landed after its leave (joined before: {joined_before})"))?;
    }
    Ok(())
}

pub(super) async fn errors(context: &Context, mode: Mode) -> Check {
    let user = context.user().await?;
    let x = line("errors");
    let claims = user.coordinator.claims(x.clone());
    let guard = claims.acquire(mode).await?;
    claims.evict(guard.claim()).await?;
    context.soon("the evicted guard is told", guard.lost()).await?;
    let evicted = guard.release().await.err();
    user.coordinator.close().await?;
    let closed = claims.acquire(mode).await.err();
    for (error, kind, operation) in
        [(evicted, ErrorKind::NotHeld, "release"), (closed, ErrorKind::Closed, "acquire")]
    {
        let error = error.ok_or_else(|| Stop::Failed(format!("no error from {operation}")))?;
        let says = (error.kind(), error.operation(), error.line(), error.effect(), error.is_retryable());
        let should = (kind, Some(operation), Some(&x), Effect::None, false);
        ensure(says == should, format!("{error:?} says {says:?}, not {should:?}"))?;
    }
    // The store's own: what may have taken effect must not be said to have had none, or a ghost is left.
    let party = context.party().await?;
    let claim = party.claim(mode);
    // A store may look before it joins, and it may find out what became of it.
    for asked_first in 0..3 {
        let join = party.losing(asked_first, async { party.session.join(&x, &claim).await }).await?;
        if join.as_ref().is_some_and(is_unknown_or_done) {
            break;
        }
        let no_effect = join
            .as_ref()
            .is_some_and(|join| join.as_ref().is_err_and(|error| error.effect() == Effect::None));
        let count = party.inspect(&x).await?.places.len();
        ensure(
            no_effect && count == 0,
            format!("a join whose reply is lost answers {join:?}, with {count} places in line"),
        )?;
    }
    let ticket = party.session.join(&x, &claim).await?;
    // Whether it is granted is not the matter here.
    let _granted = context.at_once(party.session.granted(&ticket)).await;
    let leave = party.losing(0, async { party.session.leave(&x, claim.id).await }).await?;
    ensure(
        leave.as_ref().is_some_and(is_unknown_or_done),
        format!("a leave whose reply is lost answers {leave:?}"),
    )?;
    let put = party.losing(0, party.session.put_cell(&x, CellVersion::ABSENT, b"one", None)).await?;
    ensure(
        put.as_ref().is_some_and(is_unknown_or_done),
        format!("a write whose reply is lost answers {put:?}"),
    )?;
    let put = party.session.put_cell(&x, CellVersion::ABSENT, b"two", None).await;
    let refused = put.err().map(|error| (error.kind(), error.effect()));
    ensure(
        refused == Some((ErrorKind::Conflict, Effect::None)),
        format!("a write that is refused answers {refused:?}"),
    )
}

/// A mode that is declared works; one that is not is refused before any request.
pub(super) async fn capability(context: &Context, mode: Mode) -> Check {
    let user = context.user().await?;
    let line = line("capability");
    let claims = user.coordinator.claims(line.clone());
    if user.coordinator.capabilities().modes.include(line.kind(), mode) {
        return Ok(claims.acquire(mode).await?.release().await?);
    }
    let before = context.requests().await?;
    let error = claims.acquire(mode).await.err();
    let kind = error.as_ref().map(lock_core::Error::kind);
    ensure(kind == Some(ErrorKind::Unsupported), format!("{error:?} in a mode that is not declared"))?;
    let sent = context.requests().await? - before;
    ensure(sent == 0, format!("{sent} requests in a mode that is not declared"))?;
    Ok(())
}
