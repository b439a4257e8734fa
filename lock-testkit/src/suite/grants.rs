//! In which order claims are granted, and with which token: C2, C3, C6.

use std::time::Duration;

use lock_core::{FencingToken, Mode};

use super::context::{Check, Context, Party, Stop, ensure, has_rival, line, needs, rival};

/// Rounds, because a flaw may show only now and then.
const ROUNDS: usize = 8;

pub(super) async fn fifo(context: &Context, mode: Mode) -> Check {
    let parties = [context.party().await?, context.party().await?];
    let x = line("fifo");
    let first = context.party().await?;
    let mut holder = first.join(&x, rival(mode)).await?;
    holder.granted(context).await?;
    // Each joins after the one before it has its ticket.
    let mut queue = std::collections::VecDeque::new();
    for party in parties.iter().cycle().take(6) {
        let mut waiting = party.join(&x, mode).await?;
        waiting.is_granted(context).await?;
        queue.push_back(waiting);
    }
    let places: Vec<u64> = queue.iter().map(|waiting| waiting.ticket.place).collect();
    ensure(places.is_sorted_by(|a, b| a < b), format!("tickets in the order of joining: {places:?}"))?;
    holder.leave().await?;
    // The first in line is granted before any other of its rivals.
    while let Some(mut next) = queue.pop_front() {
        let mut overtaken = false;
        if rival(mode) == mode && !next.is_granted(context).await? {
            for later in &mut queue {
                overtaken |= later.is_granted(context).await?;
            }
        }
        ensure(!overtaken, "somebody overtook the first in line")?;
        next.granted(context).await?;
        next.leave().await?;
    }
    no_barging(context, mode).await
}

/// A newcomer that the holders would tolerate does not overtake one who waits.
async fn no_barging(context: &Context, mode: Mode) -> Check {
    let (holds, newcomer) = match mode {
        Mode::Exclusive | Mode::Present => return Ok(()),
        Mode::Shared => (Mode::Shared, Mode::Shared),
        Mode::Permits { limit, .. } => (mode, Mode::Permits { count: 1, limit }),
    };
    let parties = (context.party().await?, context.party().await?, context.party().await?);
    let x = line("barging");
    let mut holder = parties.0.join(&x, holds).await?;
    holder.granted(context).await?;
    let mut waiting = parties.1.join(&x, rival(mode)).await?;
    waiting.is_granted(context).await?;
    let tried = parties.2.claim(newcomer);
    let by_trying = parties.2.session.try_join(&x, &tried).await?.is_some();
    ensure(!by_trying, "a newcomer overtook one who waits by a try")?;
    let mut late = parties.2.join(&x, newcomer).await?;
    let overtook = late.is_granted(context).await? && !waiting.is_granted(context).await?;
    ensure(!overtook, "a newcomer overtook one who waits")?;
    holder.leave().await?;
    waiting.granted(context).await?;
    waiting.leave().await?;
    late.granted(context).await?;
    Ok(())
}

pub(super) async fn fencing(context: &Context, mode: Mode) -> Check {
    let x = line("fencing");
    let mut last = None;
    // Over an empty queue, in turns with its rival.
    for round in 0..ROUNDS {
        let party = context.party().await?;
        let in_turn = if round % 2 == 0 { mode } else { rival(mode) };
        let mut holder = party.join(&x, in_turn).await?;
        let token = holder.granted(context).await?.token;
        rises(&mut last, token, "a release")?;
        holder.leave().await?;
    }
    handed_on(context, mode, &mut last).await?;
    let (a, b) = (context.party().await?, context.party().await?);
    let mut first = a.join(&x, rival(mode)).await?;
    rises(&mut last, first.granted(context).await?.token, "a release")?;
    let mut second = b.join(&x, mode).await?;
    second.is_granted(context).await?;
    // An eviction.
    b.session.evict(&x, first.ticket.claim).await?;
    rises(&mut last, second.granted(context).await?.token, "an eviction")?;
    // A crash.
    b.session.abandon();
    let mut third = a.join(&x, rival(mode)).await?;
    // How long that takes is C8's matter.
    let limit = context.recovery(&a.session) * 4;
    rises(&mut last, third.granted_within(context, limit).await?.token, "a crash")?;
    third.leave().await?;
    Ok(())
}

/// From one to the next, while others wait.
async fn handed_on(context: &Context, mode: Mode, last: &mut Option<FencingToken>) -> Check {
    let (x, party) = (line("fencing"), context.party().await?);
    let mut queue = Vec::new();
    for in_turn in [rival(mode), mode, rival(mode)] {
        let mut standing = party.join(&x, in_turn).await?;
        standing.is_granted(context).await?;
        queue.push(standing);
    }
    for mut standing in queue {
        rises(last, standing.granted(context).await?.token, "a release before others")?;
        standing.leave().await?;
    }
    Ok(())
}

pub(super) async fn fencing_over_a_restart(context: &Context, mode: Mode) -> Check {
    let (x, party) = (line("fencing"), context.party().await?);
    let promised = party.session.capabilities().tokens;
    if promised < lock_core::TokenScope::Durable {
        return Err(Stop::Unsupported(format!("tokens rise as far as {promised:?}")));
    }
    let mut last = None;
    let mut holder = party.join(&x, mode).await?;
    rises(&mut last, holder.granted(context).await?.token, "nothing")?;
    holder.leave().await?;
    needs(context.store.restart().await)?;
    let party = context.party().await?;
    let mut holder = party.join(&x, rival(mode)).await?;
    let limit = context.recovery(&party.session);
    rises(&mut last, holder.granted_within(context, limit).await?.token, "a restart")
}

fn rises(last: &mut Option<FencingToken>, token: FencingToken, over: &str) -> Check {
    ensure(Some(token) > *last, format!("token {token} after {last:?}, over {over}"))?;
    *last = Some(token);
    Ok(())
}

pub(super) async fn tries(context: &Context, mode: Mode) -> Check {
    let (holder, other) = (context.party().await?, context.party().await?);
    let x = line("tries");
    for round in 0..ROUNDS {
        let claim = other.claim(mode);
        let taken = other.session.try_join(&x, &claim).await?;
        ensure(taken.is_some(), format!("round {round}: `None` from a try on a free line"))?;
        other.session.leave(&x, claim.id).await?;
    }
    let mut held = holder.join(&x, rival(mode)).await?;
    held.granted(context).await?;
    let before = holder.inspect(&x).await?.places.len();
    let claim = other.claim(mode);
    match other.session.try_join(&x, &claim).await? {
        Some(_) => other.session.leave(&x, claim.id).await?,
        None => ensure(has_rival(mode), "`None`, though nobody conflicts")?,
    }
    ensure(holder.inspect(&x).await?.places.len() == before, "a try left something in line")?;
    tries_with_patience(context, mode, &holder).await?;
    // What was under way when the patience ended is taken back.
    let taken_back = async {
        while holder.inspect(&x).await?.places.len() != before {
            context.sleep(Duration::from_millis(1)).await;
        }
        Check::Ok(())
    };
    context.within(Duration::ZERO, "nothing of a try with patience in line", taken_back).await?
}

async fn tries_with_patience(context: &Context, mode: Mode, holder: &Party) -> Check {
    let user = context.user().await?;
    let claims = user.coordinator.claims(line("tries"));
    let patience = context.ttl / 4;
    let start = context.runtime.now();
    let guard = claims.try_acquire_for(mode, patience).await?;
    let took = context.runtime.now().saturating_since(start);
    let limit = patience + context.grace + context.lateness;
    ensure(took <= limit, format!("it took {took:?} to lose a patience of {patience:?}"))?;
    if let Some(guard) = guard {
        guard.release().await?;
    }
    ensure(holder.session.lease().check().is_ok(), "the holder's session lives")
}

/// One whose reply is lost has its turn when it is repeated: what stands in its way is itself.
pub(super) async fn repeated_tries(context: &Context, mode: Mode) -> Check {
    let x = line("tries-again");
    // A store may look before it tries.
    for asked_first in 0..3 {
        let party = context.party().await?;
        let claim = party.claim(mode);
        let first = party.losing(asked_first, async { party.session.try_join(&x, &claim).await }).await?;
        let Some(first) = first else { return ensure(asked_first > 0, "a try that asks for nothing") };
        let again = party.session.try_join(&x, &claim).await?;
        ensure(again.is_some(), format!("a try on a free line answers {first:?}, and `None` when repeated"))?;
        party.session.leave(&x, claim.id).await?;
    }
    Ok(())
}
