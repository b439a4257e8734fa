//! C24: who counts down, and who is woken.

use std::pin::pin;

use super::super::context::{Check, Context, ensure, needs};

/// So many replies are lost, one after the other: a count down has about as many.
const REPLIES: u32 = 4;

/// Each participant counts once, whichever reply is lost, and however often it says so.
pub(super) async fn once(context: &Context) -> Check {
    let (user, again) = (context.user().await?, context.user().await?);
    let count = REPLIES + 1;
    let (latch, again) = (user.coordinator.latch("once", count)?, again.coordinator.latch("once", count)?);
    for after in 0..REPLIES {
        needs(user.client.lose_reply(user.coordinator.session_id(), u64::from(after)).await)?;
        let participant = format!("p{after}");
        let expected = count - after - 1;
        // It repeats itself, and its process is restarted.
        for latch in [&latch, &again] {
            let what = format!("count_down, of which reply {after} was lost");
            let remaining = context.within(context.ttl * 2, &what, latch.count_down(&participant)).await??;
            ensure(remaining == expected, format!("{remaining} to come, not {expected}, after {what}"))?;
        }
    }
    ensure(again.remaining().await? == 1, "somebody counted twice, or not at all")
}

/// Whoever waits is woken, also when those who count down come and go while it does not look.
pub(super) async fn wakes(context: &Context) -> Check {
    let (user, other) = (context.user().await?, context.user().await?);
    let (latch, counting) = (user.coordinator.latch("wakes", 2)?, other.coordinator.latch("wakes", 2)?);
    let (mut attentive, mut slow) = (pin!(latch.wait()), pin!(latch.wait()));
    for participant in ["one", "two"] {
        ensure(context.at_once(&mut attentive).await.is_none(), "it opened too soon")?;
        ensure(context.at_once(&mut slow).await.is_none(), "it opened too soon")?;
        counting.count_down(participant).await?;
    }
    context.soon("the end of a wait", &mut attentive).await??;
    context.soon("the end of a wait of one that had not looked", &mut slow).await??;
    context.soon("a wait for what is open", latch.wait()).await?.map_err(Into::into)
}
