//! C23: who passes a barrier, and when.

use std::pin::pin;

use lock_core::{Barrier, DoubleBarrier, ErrorKind, Line, OnLoss, Result};

use super::super::context::{Check, Context, Stop, User, ensure};

/// Lets one come, or some, until so many are in line; they must not get any further.
async fn come<T, F: Future<Output = Result<Line>>>(
    context: &Context,
    who: impl Future<Output = T>,
    count: usize,
    inspect: impl Fn() -> F,
) -> Check {
    let in_line = async {
        while inspect().await?.places.len() != count {
            context.sleep(context.grace / 4).await;
        }
        Check::Ok(())
    };
    let what = format!("{count} in line");
    tokio::select! { biased;
        _ = who => Err(Stop::Failed("somebody passed before all had come".to_owned())),
        come = context.within(context.ttl * 4, &what, in_line) => come?,
    }
}

fn barrier(user: &User, name: &str, participants: u32, on_loss: OnLoss) -> Result<Barrier> {
    Ok(user.coordinator.barrier(name, participants)?.when_one_goes(on_loss))
}

fn double_barrier(user: &User) -> Result<DoubleBarrier> {
    user.coordinator.double_barrier("double", 2)
}

/// One that does not look while the others come, pass and leave is not left behind.
pub(super) async fn fast(context: &Context) -> Check {
    let users = [context.user().await?, context.user().await?, context.user().await?];
    let [a, b, c] = users.each_ref().map(|user| barrier(user, "fast", 3, OnLoss::GoOn));
    let (a, b, c) = (a?, b?, c?);
    let mut slow = pin!(a.wait());
    come(context, &mut slow, 1, || b.inspect()).await?;
    // It has seen the line with itself alone.
    ensure(context.at_once(&mut slow).await.is_none(), "one passed alone")?;
    let fast = async { tokio::try_join!(b.wait(), c.wait()) };
    context.soon("the fast participants", fast).await??;
    // For the slow one the line is as it was, and others come for the next round.
    let mut next = pin!(async { tokio::try_join!(b.wait(), c.wait()) });
    come(context, &mut next, 3, || b.inspect()).await?;
    context.soon("the slow participant", &mut slow).await??;
    ensure(context.at_once(&mut next).await.is_none(), "two of the next round passed without the third")
}

/// One that crashes breaks the round for all who saw it; or the others wait for another one.
pub(super) async fn crash(context: &Context) -> Check {
    for on_loss in [OnLoss::Fail, OnLoss::GoOn] {
        let name = format!("crash-{on_loss:?}");
        let users = [context.user().await?, context.user().await?, context.user().await?];
        let [a, b, dying] = users.each_ref().map(|user| barrier(user, &name, 4, on_loss));
        let (a, b, dying) = (a?, b?, dying?);
        let mut both = pin!(async { tokio::join!(a.wait(), b.wait()) });
        let mut third = pin!(dying.wait());
        come(context, async { tokio::join!(&mut both, &mut third) }, 3, || a.inspect()).await?;
        ensure(context.at_once(&mut both).await.is_none(), "three of four passed")?;
        users[2].coordinator.abandon();
        if on_loss == OnLoss::GoOn {
            come(context, &mut both, 2, || a.inspect()).await?;
            let others = [context.user().await?, context.user().await?];
            let [c, d] = others.each_ref().map(|user| barrier(user, &name, 4, on_loss));
            let (c, d) = (c?, d?);
            let all = async { tokio::join!(&mut both, c.wait(), d.wait()) };
            let ((first, second), third, fourth) = context.soon("a round of those who came", all).await?;
            first.and(second).and(third).and(fourth)?;
            continue;
        }
        // When the store ends a session is C8's matter.
        let (first, second) = context.within(context.ttl * 4, "the end of the round", &mut both).await?;
        for outcome in [first, second] {
            let kind = outcome.err().map(|error| error.kind());
            ensure(kind == Some(ErrorKind::Broken), format!("{kind:?} after one crashed"))?;
        }
    }
    Ok(())
}

/// Nobody leaves a double barrier before all of them leave.
pub(super) async fn double(context: &Context) -> Check {
    let (a, b) = (context.user().await?, context.user().await?);
    let (a, b) = (double_barrier(&a)?, double_barrier(&b)?);
    for _ in 0..2 {
        let mut first = pin!(a.enter());
        come(context, &mut first, 1, || b.inspect()).await?;
        let entered = context.soon("both inside", async { tokio::try_join!(first, b.enter()) }).await?;
        let (first, second) = entered?;
        let mut leaving = pin!(first.leave());
        ensure(context.at_once(&mut leaving).await.is_none(), "one left before the other did")?;
        let left = async { tokio::try_join!(leaving, second.leave()) };
        context.soon("both outside", left).await??;
    }
    Ok(())
}
