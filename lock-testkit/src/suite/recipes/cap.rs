//! At most so many in line: C26.

use std::pin::pin;

use lock_core::ErrorKind;

use crate::suite::context::{Check, Context, ensure, line};

/// As many stay as may, and one more gets an error; when one has gone, the next may come.
pub(super) async fn one_too_many(context: &Context) -> Check {
    let (x, spy) = (line("x"), context.party().await?);
    let (a, b, c) = (context.user().await?, context.user().await?, context.user().await?);
    // By reference: with a user, its way to the store goes.
    let [a, b, c] =
        [&a, &b, &c].map(|user| user.coordinator.mutex("x").map(|mutex| mutex.at_most_in_line(2)));
    let (a, b, c) = (a?, b?, c?);
    let first = a.lock().await?;
    let mut second = pin!(b.lock());
    context.waits(&spy, &x, 2, second.as_mut()).await?;
    let third = context.soon("an answer to one too many", c.lock()).await?;
    let third = third.err().map(|error| error.kind());
    ensure(third == Some(ErrorKind::QueueFull), format!("one too many: {third:?}"))?;
    let count = spy.inspect(&x).await?.places.len();
    ensure(count == 2, format!("{count} in line, of 2 that may be"))?;
    first.release().await?;
    let second = context.soon("the second", second).await??;
    let mut third = pin!(c.lock());
    context.waits(&spy, &x, 2, third.as_mut()).await?;
    second.release().await?;
    context.soon("the third", third).await??.release().await?;
    Ok(())
}
