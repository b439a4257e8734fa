//! C20.

use std::pin::pin;

use lock_core::{Guard, Mutex};

use super::super::context::{Check, Context, ensure};

/// The claim behind `guard` is in line, whoever else is.
async fn ensure_in_line(mutex: &Mutex, guard: &Guard, after: &str) -> Check {
    let places = mutex.inspect().await?.places;
    let there = guard.is_valid() && places.iter().any(|place| place.claim == guard.claim());
    ensure(there, format!("the owner has a guard after {after}, and no turn: {places:?}"))
}

/// An owner's turn is one, with one token, until the last of its guards is gone.
pub(super) async fn one_turn(context: &Context) -> Check {
    let (user, other) = (context.user().await?, context.user().await?);
    let (mutex, plain) = (user.coordinator.mutex("reentry")?, other.coordinator.mutex("reentry")?);
    let owner = mutex.reentrant();
    let first = owner.lock().await?;
    let second = context.soon("the owner's second lock", owner.lock()).await??;
    let third = context.soon("the owner's try", owner.try_lock()).await??;
    let seen = [Some(&second), third.as_ref()].map(|guard| guard.map(|guard| (guard.token(), guard.claim())));
    let turn = (first.token(), first.claim());
    ensure(seen == [Some(turn); 2], format!("the owner has {turn:?}, and again {seen:?}"))?;
    let mut next = pin!(plain.lock());
    let _early = context.at_once(&mut next).await;
    first.release().await?;
    ensure_in_line(&plain, &second, "the release of the first").await?;
    drop(third);
    context.sleep(context.grace).await;
    ensure_in_line(&plain, &second, "the drop of another").await?;
    second.release().await?;
    let places = plain.inspect().await?.places;
    let left = places.iter().filter(|place| place.claim == turn.1).count();
    ensure(left == 0, format!("the last guard was released, and there are {places:?}"))
}

/// Another owner, and be it of the same coordinator, has a turn of its own.
pub(super) async fn another_owner(context: &Context) -> Check {
    let user = context.user().await?;
    let mutex = user.coordinator.mutex("reentry")?;
    let (owner, other) = (mutex.reentrant(), mutex.reentrant());
    let held = owner.lock().await?;
    let claim = held.claim();
    let mut waiting = pin!(other.lock());
    let early = context.at_once(&mut waiting).await;
    let again = context.soon("the owner's second lock", owner.lock()).await??;
    ensure(again.claim() == claim, "somebody waits, and the owner has another turn")?;
    held.release().await?;
    again.release().await?;
    let next = match early {
        Some(next) => next?,
        None => context.soon("the turn of another owner", waiting).await??,
    };
    ensure(next.claim() != claim, "another owner was given a part of the turn")?;
    Ok(next.release().await?)
}
