//! Sessions that end, and handles that are dropped: C7, C8, C10, C14.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lock_core::{Guard, Liveness, LostReason, Mode, Payload, Ticket, backend::CellVersion};

use super::context::{Check, Context, Party, ensure, line, needs, rival};

pub(super) async fn lost(context: &Context, mode: Mode) -> Check {
    let (user, next) = (context.user().await?, context.party().await?);
    let x = line("lost");
    let guard = user.coordinator.claims(x.clone()).acquire(mode).await?;
    let mut other = next.join(&x, rival(mode)).await?;
    other.is_granted(context).await?;
    needs(user.client.freeze_renewals(user.coordinator.session_id(), true).await)?;
    // A renewal that was on its way may still have counted.
    let frozen = context.runtime.now();
    let reason = context.within(context.ttl * 2, "lost()", guard.lost()).await?;
    let took = context.runtime.now().saturating_since(frozen);
    // The deadline leaves some of the ttl for a machine that is late to say so.
    ensure(
        took <= context.ttl + context.grace + context.lateness,
        format!("lost {took:?} after the last renewal, with a ttl of {:?}", context.ttl),
    )?;
    ensure(!guard.is_valid() && guard.remaining().is_zero(), "it is lost, and says that it is valid")?;
    ensure(guard.run(async {}).await.is_err(), "it is lost, and runs work")?;
    // By its own deadline, and not because the store had given the turn away.
    ensure(
        reason == LostReason::Deadline,
        format!("the store ended it before the holder's own deadline: {reason:?}"),
    )
}

/// A process that was suspended for longer than its ttl sees it at its first look.
pub(super) async fn suspended(context: &Context, mode: Mode) -> Check {
    let user = context.user().await?;
    let guard = user.coordinator.claims(line("suspended")).acquire(mode).await?;
    needs(user.client.advance_clock(context.ttl).await)?;
    ensure(!guard.is_valid(), "it was suspended for its ttl, and says that it is valid")?;
    ensure(guard.run(async {}).await.is_err(), "it was suspended for its ttl, and runs work")
}

pub(super) async fn recovery(context: &Context, mode: Mode) -> Check {
    let (dead, waiter) = (context.party().await?, context.party().await?);
    let x = line("recovery");
    let limit = context.recovery(&waiter.session);
    // A holder dies, with somebody waiting.
    let mut holder = dead.join(&x, rival(mode)).await?;
    holder.granted(context).await?;
    let mut next = waiter.join(&x, mode).await?;
    next.is_granted(context).await?;
    dead.session.abandon();
    // A crash says nothing: if the claim is gone at once, the store was told.
    if waiter.session.capabilities().liveness == Liveness::Lease {
        ensure(waiter.is_in_line(&holder.ticket).await?, "an abandoned session told the store")?;
    }
    next.granted_within(context, limit).await?;
    // A waiter dies, and then its turn would come.
    let (dead, last) = (context.party().await?, context.party().await?);
    let mut doomed = dead.join(&x, rival(mode)).await?;
    doomed.is_granted(context).await?;
    let mut third = last.join(&x, mode).await?;
    third.is_granted(context).await?;
    dead.session.abandon();
    next.leave().await?;
    third.granted_within(context, limit).await?;
    third.leave().await?;
    // A holder dies, and nobody is there to notice.
    let dead = context.party().await?;
    let y = line("recovery-unseen");
    let mut holder = dead.join(&y, rival(mode)).await?;
    holder.granted(context).await?;
    for party in [&waiter, &last] {
        party.session.close().await?;
    }
    dead.session.abandon();
    let due = limit + context.lateness;
    context.sleep(due).await;
    let late = context.party().await?;
    let taken = late.session.try_join(&y, &late.claim(mode)).await?;
    ensure(taken.is_some(), format!("still taken {due:?} after its holder died"))
}

/// What its callers still have in hand does not keep a session alive.
pub(super) async fn unpolled(context: &Context, mode: Mode) -> Check {
    let (dead, spy) = (context.party().await?, context.party().await?);
    let x = line("unpolled");
    let mut holder = dead.join(&x, rival(mode)).await?;
    holder.granted(context).await?;
    let (session, nobody) = (&dead.session, dead.claim(mode));
    let changes = session.changes(&x).await?;
    let mut calls: [BoxFuture<'_, ()>; 7] = [
        Box::pin(session.cell(&x).map(drop)),
        Box::pin(session.put_cell(&x, CellVersion::ABSENT, b"mine", Some(&holder.ticket)).map(drop)),
        Box::pin(session.forget(&x).map(drop)),
        Box::pin(session.inspect(&x).map(drop)),
        Box::pin(session.evict(&x, nobody.id).map(drop)),
        Box::pin(session.update(&holder.ticket, Payload::default()).map(drop)),
        Box::pin(changes.into_future().map(drop)),
    ];
    let begun = calls.each_mut().map(|call| call.now_or_never().is_none());
    dead.session.abandon();
    let what = format!("the end of a session with calls that nobody polls: {begun:?}");
    context.within(context.recovery(&spy.session), &what, gone(context, &spy, &holder.ticket)).await?
}

/// Waits until `spy` finds the claim in line no more.
async fn gone(context: &Context, spy: &Party, ticket: &Ticket) -> Check {
    while spy.is_in_line(ticket).await? {
        context.sleep(context.grace).await;
    }
    Ok(())
}

pub(super) async fn posthumous(context: &Context, mode: Mode) -> Check {
    let (holder, dying) = (context.party().await?, context.party().await?);
    let x = line("posthumous");
    let mut held = holder.join(&x, rival(mode)).await?;
    held.granted(context).await?;
    let mut waiting = dying.join(&x, mode).await?;
    let before_its_end = waiting.is_granted(context).await?;
    needs(dying.client.freeze_renewals(dying.id, true).await)?;
    context.sleep(context.recovery(&holder.session)).await;
    // When the store ends it is C8's matter; here it must have ended.
    let what = "the end of a session that is not renewed";
    context.within(context.ttl * 4, what, gone(context, &holder, &waiting.ticket)).await??;
    held.leave().await?;
    let ticket = waiting.ticket.clone();
    if !before_its_end {
        let end = waiting.end(context, context.ttl).await?;
        ensure(end.is_err(), "it was granted after its session had ended")?;
    }
    let again = context.within(context.ttl, "an answer", dying.session.granted(&ticket)).await?;
    ensure(again.is_err(), "its grant was confirmed after its session had ended")
}

pub(super) async fn drops(context: &Context, mode: Mode) -> Check {
    let user = context.user().await?;
    let spy = context.party().await?;
    let x = line("drop");
    let claims = user.coordinator.claims(x.clone());
    // Inside the runtime, and in a thread that has none.
    for elsewhere in [false, true] {
        let guard = claims.acquire(mode).await?;
        if elsewhere {
            drop_elsewhere(guard)?
        } else {
            drop(guard)
        }
        free_again(context, &spy, &x).await?;
    }
    // The last handle is a guard.
    let guard = claims.acquire(mode).await?;
    drop((claims, user.coordinator));
    ensure(guard.is_valid(), "it lost its turn when other handles were dropped")?;
    drop(guard);
    free_again(context, &spy, &x).await
}

async fn free_again(context: &Context, spy: &Party, x: &lock_core::LineId) -> Check {
    let end = context.runtime.now() + context.recovery(&spy.session) + context.lateness;
    while !spy.inspect(x).await?.places.is_empty() {
        ensure(context.runtime.now() < end, "a dropped guard is still in line")?;
        context.sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a thread without a runtime is what is tested")]
fn drop_elsewhere(guard: Guard) -> Check {
    let dropped = std::thread::spawn(move || drop(guard)).join();
    ensure(dropped.is_ok(), "dropping a guard outside a runtime panicked")
}
