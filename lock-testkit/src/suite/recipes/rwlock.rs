//! The read-write lock: C18.

use std::pin::pin;

use lock_core::{ErrorKind, Kind, RwLock};

use crate::suite::{
    context::{Check, Context, Stop, User, ensure, line_of},
    requests::{PER_GRANT, cost_of},
};

const WAITING: u64 = 64;

fn lock(user: &User) -> Check<RwLock> {
    Ok(user.coordinator.rw_lock("x")?)
}

/// Readers share; a later reader does not overtake a writer who waits, and comes right after.
pub(super) async fn turns(context: &Context) -> Check {
    let (x, spy) = (line_of(Kind::RwLock, "x"), context.party().await?);
    let (a, b, c, d) =
        (context.user().await?, context.user().await?, context.user().await?, context.user().await?);
    let (a, b, c, d) = (lock(&a)?, lock(&b)?, lock(&c)?, lock(&d)?);
    let one = context.soon("a reader", a.read()).await??;
    let other = context.soon("a reader beside another", b.read()).await??;
    let mut writing = pin!(c.write());
    context.waits(&spy, &x, 3, writing.as_mut()).await?;
    ensure(d.try_read().await?.is_none(), "a later reader overtook the writer by a try")?;
    let mut late = pin!(d.read());
    context.waits(&spy, &x, 4, late.as_mut()).await?;
    one.release().await?;
    ensure(context.at_once(writing.as_mut()).await.is_none(), "a writer beside a reader")?;
    other.release().await?;
    let writing = context.soon("the writer", writing).await??;
    ensure(context.at_once(late.as_mut()).await.is_none(), "a reader beside the writer")?;
    writing.release().await?;
    context.soon("the late reader", late).await??.release().await?;
    Ok(())
}

/// A read's token is above that of the last write, and below that of the next.
pub(super) async fn tokens(context: &Context) -> Check {
    let (a, b) = (context.user().await?, context.user().await?);
    let (a, b) = (lock(&a)?, lock(&b)?);
    let mut written = None;
    for round in 0..3 {
        let writing = a.write().await?;
        let write = writing.token();
        ensure(Some(write) > written, format!("round {round}: a write with {write}, read with {written:?}"))?;
        writing.release().await?;
        let (one, other) = (a.read().await?, b.read().await?);
        let read = one.token().min(other.token());
        ensure(read > write, format!("round {round}: a read with {read}, written with {write}"))?;
        written = Some(one.token().max(other.token()));
        one.release().await?;
        other.release().await?;
    }
    Ok(())
}

/// A writer who becomes a reader keeps its token, lets in the readers behind it, and keeps out the next
/// writer.
pub(super) async fn downgrades(context: &Context) -> Check {
    let (x, spy) = (line_of(Kind::RwLock, "x"), context.party().await?);
    let (a, b, c) = (context.user().await?, context.user().await?, context.user().await?);
    let (a, b, c) = (lock(&a)?, lock(&b)?, lock(&c)?);
    let writing = a.write().await?;
    let token = writing.token();
    let mut reader = pin!(b.read());
    context.waits(&spy, &x, 2, reader.as_mut()).await?;
    let mut writer = pin!(c.write());
    context.waits(&spy, &x, 3, writer.as_mut()).await?;
    let reading = match writing.downgrade().await {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Err(Stop::Unsupported(error.to_string()));
        }
        reading => reading?,
    };
    ensure(reading.is_valid() && reading.token() == token, format!("{token} became {}", reading.token()))?;
    let reader = context.soon("the reader behind", reader).await??;
    reading.release().await?;
    ensure(context.at_once(writer.as_mut()).await.is_none(), "a writer beside a reader")?;
    reader.release().await?;
    context.soon("the next writer", writer).await??.release().await?;
    Ok(())
}

/// A writer's release costs no more than those whom it lets in, however many wait.
pub(super) async fn cost(context: &Context) -> Check {
    let (holder, party) = (context.user().await?, context.user().await?);
    let (holder, party) = (lock(&holder)?, lock(&party)?);

    let writing = holder.write().await?;
    let readers = (0..WAITING).map(|_| async { Ok(party.read().await?) });
    let (requests, granted) = cost_of(context, readers, async { Ok(writing.release().await?) }).await?;
    ensure(granted == WAITING, format!("{granted} readers of {WAITING} were let in"))?;
    ensure(
        requests <= PER_GRANT * (granted + 1),
        format!("the release before {granted} readers cost {requests} requests"),
    )?;

    let writing = holder.write().await?;
    let writers = (0..WAITING).map(|_| async { Ok(party.write().await?) });
    let (requests, granted) = cost_of(context, writers, async { Ok(writing.release().await?) }).await?;
    ensure(granted == 1, format!("{granted} writers of {WAITING} were let in"))?;
    ensure(requests <= PER_GRANT * 2, format!("the release before writers cost {requests} requests"))
}
