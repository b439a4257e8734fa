//! The lock-delay: C25.

use std::{pin::pin, time::Duration};

use lock_core::Mutex;

use crate::suite::context::{Check, Context, User, ensure, line};

fn mutex(user: &User, delay: Duration) -> Check<Mutex> {
    Ok(user.coordinator.mutex("x")?.lock_delay(delay))
}

/// After a holder was evicted, and after one was lost, nobody is let in for the delay, and then the next is.
pub(super) async fn unclean_ends(context: &Context) -> Check {
    let delay = context.ttl;
    let (x, spy) = (line("x"), context.party().await?);
    let (a, b, c) = (context.user().await?, context.user().await?, context.user().await?);
    let (first, second, third) = (mutex(&a, delay)?, mutex(&b, delay)?, mutex(&c, delay)?);

    let evicted = first.lock().await?;
    let mut next = pin!(second.lock());
    context.waits(&spy, &x, 2, next.as_mut()).await?;
    let gone = context.runtime.now();
    first.evict(evicted.claim()).await?;
    let after_eviction = context.within(delay * 3, "the grant after an eviction", next).await??;
    let waited = context.runtime.now().saturating_since(gone);
    ensure(waited >= delay, format!("let in {waited:?} after an eviction, with a delay of {delay:?}"))?;

    let mut next = pin!(third.lock());
    context.waits(&spy, &x, 2, next.as_mut()).await?;
    let gone = context.runtime.now();
    b.coordinator.abandon();
    drop(after_eviction);
    // How long the store takes to find out is C8's matter.
    let limit = context.recovery(&spy.session) * 4 + delay;
    let after_crash = context.within(limit, "the grant after a crash", next).await??;
    let waited = context.runtime.now().saturating_since(gone);
    ensure(waited >= delay, format!("let in {waited:?} after a crash, with a delay of {delay:?}"))?;
    after_crash.release().await?;
    Ok(())
}

/// After a guard that was released or dropped nobody waits.
pub(super) async fn clean_ends(context: &Context) -> Check {
    // Longer than any case takes.
    let delay = context.ttl * 100;
    let (a, b) = (context.user().await?, context.user().await?);
    let (a, b) = (mutex(&a, delay)?, mutex(&b, delay)?);
    let released = a.lock().await?;
    released.release().await?;
    let dropped = context.soon("the grant after a release", b.lock()).await??;
    drop(dropped);
    context.soon("the grant after a drop", a.lock()).await??.release().await?;
    ensure(b.try_lock().await?.is_some(), "a try fails after a release")
}
