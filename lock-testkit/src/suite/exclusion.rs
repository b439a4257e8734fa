//! Who holds beside whom: C1.

use lock_core::{ErrorKind, Mode, line::Occupancy};

use super::{
    MODES,
    context::{Check, Context, Party, Stop, ensure, has_rival, is_unknown_or_done, line, rival},
};

/// Rounds, because a flaw may show only now and then.
const ROUNDS: usize = 8;

/// Whether the contract lets `second` hold beside `first`.
fn tolerated(first: Mode, second: Mode) -> bool {
    let mut holding = Occupancy::default();
    holding.add(first);
    holding.admits(second)
}

pub(super) async fn rivals(context: &Context, mode: Mode) -> Check {
    let (a, b) = (context.party().await?, context.party().await?);
    for other in MODES {
        if !context.declares(other).await? {
            continue;
        }
        for round in 0..ROUNDS {
            beside(context, (&a, mode), (&b, other), round).await?;
            beside(context, (&b, other), (&a, mode), round).await?;
        }
    }
    // Two light requests hold together.
    if let Mode::Permits { count, limit } = mode {
        let light = Mode::Permits { count: limit - count, limit };
        let x = line("together");
        let (mut first, mut second) = (a.join(&x, mode).await?, b.join(&x, light).await?);
        first.granted(context).await?;
        second.granted(context).await?;
    }
    Ok(())
}

/// The first holds; whether the second is granted beside it, by joining or by trying, is as the contract
/// says.
async fn beside(context: &Context, first: (&Party, Mode), second: (&Party, Mode), round: usize) -> Check {
    let x = line("rivals");
    let both = format!("round {round}: {} beside {}", second.1, first.1);
    let mut holder = first.0.join(&x, first.1).await?;
    holder.granted(context).await?;
    let claim = second.0.claim(second.1);
    let tried = second.0.session.try_join(&x, &claim).await?.is_some();
    if tried {
        second.0.session.leave(&x, claim.id).await?;
    }
    let mut joined = second.0.join(&x, second.1).await?;
    if tolerated(first.1, second.1) {
        joined.granted(context).await?;
    } else {
        ensure(!tried, format!("{both} was granted by a try"))?;
        ensure(!joined.is_granted(context).await?, format!("{both} was granted"))?;
    }
    holder.leave().await?;
    joined.granted(context).await?;
    joined.leave().await
}

/// Two who waited behind a third are let in one after the other: together only if the contract lets them.
pub(super) async fn behind_a_third(context: &Context, mode: Mode) -> Check {
    let parties = [context.party().await?, context.party().await?, context.party().await?];
    for other in MODES {
        if context.declares(other).await? {
            in_turn(context, &parties, mode, other).await?;
            in_turn(context, &parties, other, mode).await?;
        }
    }
    Ok(())
}

async fn in_turn(context: &Context, parties: &[Party; 3], first: Mode, second: Mode) -> Check {
    let [third, a, b] = parties;
    let x = line("in-turn");
    let both = format!("{second} behind {first}");
    let mut held = third.join(&x, Mode::Exclusive).await?;
    held.granted(context).await?;
    let mut ahead = a.join(&x, first).await?;
    ahead.is_granted(context).await?;
    let mut behind = b.join(&x, second).await?;
    behind.is_granted(context).await?;
    held.leave().await?;
    if tolerated(first, second) {
        behind.granted(context).await?;
    }
    // In which order is C2's matter.
    let one = ahead.is_granted(context).await?;
    let two = behind.is_granted(context).await?;
    ensure(tolerated(first, second) || !(one && two), format!("{both} was granted beside it"))?;
    let (now, mut later) = if one { (ahead, behind) } else { (behind, ahead) };
    now.leave().await?;
    later.granted(context).await?;
    later.leave().await
}

/// Those who stand before one and leave, are evicted or crash do not hand on what they did not have.
pub(super) async fn middle(context: &Context, mode: Mode) -> Check {
    let parties = (context.party().await?, context.party().await?, context.party().await?);
    let x = line("middle");
    let mut holder = parties.0.join(&x, rival(mode)).await?;
    holder.granted(context).await?;
    let mut gone = Vec::new();
    for _ in 0..3 {
        let mut waiting = parties.1.join(&x, rival(mode)).await?;
        waiting.is_granted(context).await?;
        gone.push(waiting);
    }
    let mut last = parties.2.join(&x, mode).await?;
    last.is_granted(context).await?;
    let (third, second, first) = (gone.pop(), gone.pop(), gone.pop());
    if let Some(first) = first {
        first.leave().await?;
    }
    stays(context, &mut last, mode, "one ahead of it left").await?;
    if let Some(third) = third {
        parties.0.session.evict(&x, third.ticket.claim).await?;
    }
    stays(context, &mut last, mode, "the one before it was evicted").await?;
    drop(second);
    parties.1.session.abandon();
    // Long enough for a store that breaks C8 as well.
    context.sleep(context.recovery(&parties.0.session) * 4).await;
    stays(context, &mut last, mode, "all between it and the holder are gone").await?;
    holder.leave().await?;
    last.granted(context).await?;
    Ok(())
}

async fn stays(context: &Context, waiting: &mut super::context::Standing, mode: Mode, when: &str) -> Check {
    let granted = waiting.is_granted(context).await?;
    ensure(granted != has_rival(mode), format!("granted beside the holder when {when}: {granted}"))
}

/// What a holder may become, and whom that lets in beside it.
pub(super) fn weaker(mode: Mode) -> Option<(Mode, Mode)> {
    match mode {
        Mode::Exclusive => Some((Mode::Shared, Mode::Shared)),
        Mode::Shared => Some((Mode::Present, Mode::Exclusive)),
        Mode::Permits { count, limit } => Some((Mode::Permits { count: limit - count, limit }, mode)),
        Mode::Present => None,
    }
}

/// A holder that weakens its mode keeps its turn and its token, and lets in whom the new mode tolerates.
pub(super) async fn weakened(context: &Context, mode: Mode) -> Check {
    let (a, b) = (context.party().await?, context.party().await?);
    let x = line("weakened");
    let mut holder = a.join(&x, mode).await?;
    let token = holder.granted(context).await?.token;
    let stronger = a.session.set_mode(&holder.ticket, rival(mode)).await.err().map(|error| error.kind());
    let refused = (mode != rival(mode)).then_some(ErrorKind::InvalidOption);
    ensure(stronger == refused, format!("{mode} became {}: {stronger:?}", rival(mode)))?;
    let Some((new, tolerated)) = weaker(mode) else { return holder.leave().await };
    if !context.declares(new).await? {
        let refused = a.session.set_mode(&holder.ticket, new).await.err().map(|error| error.kind());
        ensure(refused == Some(ErrorKind::Unsupported), format!("{mode} became {new}: {refused:?}"))?;
        return Err(Stop::Unsupported(format!("the store has no {new} claims for {mode} ones to become")));
    }
    let mut next = b.join(&x, tolerated).await?;
    ensure(!next.is_granted(context).await?, format!("{tolerated} was granted beside {mode}"))?;
    let early = b.session.set_mode(&next.ticket, Mode::Present).await.err().map(|error| error.kind());
    ensure(early == Some(ErrorKind::NotHeld), format!("one who waits changed its mode: {early:?}"))?;

    // Twice, because the first reply is lost.
    let first = a.losing(0, a.session.set_mode(&holder.ticket, new)).await?;
    ensure(
        first.as_ref().is_some_and(is_unknown_or_done),
        format!("a change whose reply is lost: {first:?}"),
    )?;
    a.session.set_mode(&holder.ticket, new).await?;
    next.granted(context).await?;
    let seen = b.inspect(&x).await?;
    let seen = seen.places.iter().find(|place| place.claim == holder.ticket.claim);
    let seen = seen.map(|place| (place.mode, place.token));
    ensure(seen == Some((new, Some(token))), format!("{mode} became {new}, and is shown as {seen:?}"))?;

    holder.leave().await?;
    next.leave().await?;
    let count = b.inspect(&x).await?.places.len();
    ensure(count == 0, format!("{count} places are left"))
}
