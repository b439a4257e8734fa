//! The semaphore: C19.

use std::pin::pin;

use lock_core::{ErrorKind, Kind, Semaphore};

use crate::suite::{
    context::{Check, Context, User, ensure, line_of},
    requests::{PER_GRANT, cost_of},
};

const WAITING: u64 = 64;

fn semaphore(user: &User, limit: u32) -> Check<Semaphore> {
    Ok(user.coordinator.semaphore("x", limit)?)
}

/// One who asks for many is not overtaken by one who asks for few.
pub(super) async fn by_weight(context: &Context) -> Check {
    let (x, spy) = (line_of(Kind::Semaphore, "x"), context.party().await?);
    let (a, b, c) = (context.user().await?, context.user().await?, context.user().await?);
    let (a, b, c) = (semaphore(&a, 3)?, semaphore(&b, 3)?, semaphore(&c, 3)?);
    let holding = a.acquire_many(2).await?;
    let mut large = pin!(b.acquire_many(2));
    context.waits(&spy, &x, 2, large.as_mut()).await?;
    ensure(c.try_acquire().await?.is_none(), "a small request overtook a large one by a try")?;
    let mut small = pin!(c.acquire());
    context.waits(&spy, &x, 3, small.as_mut()).await?;
    holding.release().await?;
    let large = context.soon("the large request", large).await??;
    let small = context.soon("the small one, for which there is room", small).await??;
    ensure(a.try_acquire().await?.is_none(), "more permits than there are")?;
    small.release().await?;
    large.release().await?;
    Ok(())
}

/// Those who disagree on the limit get an error, and nothing of them is in line.
pub(super) async fn disagreement(context: &Context) -> Check {
    let (x, spy) = (line_of(Kind::Semaphore, "x"), context.party().await?);
    let (a, b) = (context.user().await?, context.user().await?);
    let holding = semaphore(&a, 3)?.acquire().await?;
    let mistaken = semaphore(&b, 4)?;
    let patience = context.ttl / 4;
    let outcomes = [
        mistaken.acquire().await.err(),
        mistaken.try_acquire_many(2).await.err(),
        mistaken.try_acquire_for(patience).await.err(),
    ];
    let kinds = outcomes.map(|error| error.map(|error| error.kind()));
    ensure(
        kinds == [Some(ErrorKind::Disagreement); 3],
        format!("3 permits for one, 4 for the other: {kinds:?}"),
    )?;
    let count = spy.inspect(&x).await?.places.len();
    ensure(count == 1, format!("{count} in line beside one who disagrees"))?;
    holding.release().await?;
    let second = semaphore(&b, 3)?.acquire_many(3).await?;
    second.release().await?;
    Ok(())
}

/// The limit grows and shrinks; those who state the one before live on, and nobody's permits are taken away.
pub(super) async fn resizes(context: &Context) -> Check {
    let (x, spy) = (line_of(Kind::Semaphore, "x"), context.party().await?);
    let (a, b) = (context.user().await?, context.user().await?);
    let before = semaphore(&a, 2)?;
    let two = before.acquire_many(2).await?;
    before.resize(3).await?;
    let (after, stale) = (semaphore(&b, 3)?, semaphore(&a, 2)?);
    let third = after.try_acquire().await?;
    ensure(third.is_some(), "there is a third permit now")?;
    ensure(stale.try_acquire().await?.is_none(), "more permits than there are")?;
    drop(third);
    let third = context.soon("the third permit for one who states two", stale.acquire()).await??;
    before.resize(1).await?;
    let limit = after.limit().await?;
    ensure(limit == 1 && two.is_valid() && third.is_valid(), format!("{limit} permits, and two hold three"))?;
    let single = semaphore(&b, 1)?;
    let mut waiting = pin!(single.acquire());
    context.waits(&spy, &x, 3, waiting.as_mut()).await?;
    two.release().await?;
    ensure(context.at_once(waiting.as_mut()).await.is_none(), "two hold one permit")?;
    third.release().await?;
    context.soon("the only permit", waiting).await??.release().await?;
    Ok(())
}

/// A release costs no more than those whom it lets in, however many wait.
pub(super) async fn cost(context: &Context) -> Check {
    const LIMIT: u32 = 8;
    let (holder, party) = (context.user().await?, context.user().await?);
    let (holder, party) = (semaphore(&holder, LIMIT)?, semaphore(&party, LIMIT)?);
    let all = holder.acquire_many(LIMIT).await?;
    let waiting = (0..WAITING).map(|_| async { Ok(party.acquire().await?) });
    let (requests, granted) = cost_of(context, waiting, async { Ok(all.release().await?) }).await?;
    ensure(granted == u64::from(LIMIT), format!("{granted} hold one of {LIMIT} permits each"))?;
    ensure(
        requests <= PER_GRANT * (granted + 1),
        format!("the release before {WAITING} of whom {granted} are granted cost {requests} requests"),
    )
}
