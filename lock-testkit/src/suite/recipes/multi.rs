//! C21.

use std::pin::pin;

use futures_util::future::join;
use lock_core::{Coordinator, ErrorKind, MultiGuard, MultiLock, Mutex};

use super::super::context::{Check, Context, ensure};

async fn lock_and_release(coordinator: &Coordinator, names: [&str; 2]) -> Check {
    Ok(coordinator.lock_all(names).await?.release().await?)
}

/// Both locks are held while two want both of them, in opposite orders; then one is given up, and the other.
pub(super) async fn opposite_orders(context: &Context) -> Check {
    let (holder, a, b) = (context.user().await?, context.user().await?, context.user().await?);
    let x = holder.coordinator.mutex("multi-x")?.lock().await?;
    let y = holder.coordinator.mutex("multi-y")?.lock().await?;
    let xy = lock_and_release(&a.coordinator, ["multi-x", "multi-y"]);
    let yx = lock_and_release(&b.coordinator, ["multi-y", "multi-x"]);
    let mut both = pin!(join(xy, yx));
    for held in [x, y] {
        // Each of them gets as far as it can.
        if let Some((xy, yx)) = context.at_once(&mut both).await {
            return xy.and(yx);
        }
        held.release().await?;
    }
    let (xy, yx) = context.within(context.ttl, "the end of two that want the same locks", both).await?;
    xy.and(yx)
}

/// Each of these locks is held by its guard, as anybody can see.
async fn ensure_held(coordinator: &Coordinator, guard: &MultiGuard) -> Check {
    for (guard, (name, _)) in guard.guards().zip(guard.tokens()) {
        let places = coordinator.mutex(name)?.inspect().await?.places;
        let held = places.iter().any(|place| place.claim == guard.claim());
        ensure(held, format!("{name} was taken with others, and its line is {places:?}"))?;
    }
    Ok(())
}

/// A try that does not get all of the locks leaves nothing in any line.
pub(super) async fn all_or_nothing(context: &Context) -> Check {
    let (holder, user) = (context.user().await?, context.user().await?);
    let (names, coordinator) = (["multi-c", "multi-b", "multi-a"], &user.coordinator);
    let busy = holder.coordinator.mutex("multi-c")?.lock().await?;
    for patience in [None, Some(context.grace)] {
        let tried = match patience {
            None => coordinator.try_lock_all(names).await?,
            Some(patience) => coordinator.try_lock_all_for(names, patience).await?,
        };
        if let Some(all) = tried {
            // That a lock is given to two is not the matter here.
            all.release().await?;
        }
        for name in names {
            let places = holder.coordinator.mutex(name)?.inspect().await?.places;
            let others = places.iter().filter(|place| place.claim != busy.claim()).count();
            ensure(others == 0, format!("{name} has {places:?} after a try that failed"))?;
        }
    }
    busy.release().await?;
    let all = context.soon("locks that are free", coordinator.lock_all(names)).await??;
    let taken = all.tokens().map(|(name, _)| name.as_str()).eq(names);
    ensure(taken, format!("{names:?} are asked for, and the guard is {all:?}"))?;
    ensure_held(&holder.coordinator, &all).await
}

/// Coordinators of one store know that they are: a lock that is there twice is refused before it waits for
/// itself.
pub(super) async fn coordinators(context: &Context) -> Check {
    let (a, b) = (context.user().await?, context.user().await?);
    let mutexes = |names: [&str; 3]| -> lock_core::Result<[Mutex; 3]> {
        let [x, y, z] = names;
        Ok([a.coordinator.mutex(x)?, b.coordinator.mutex(y)?, a.coordinator.mutex(z)?])
    };
    let twice = MultiLock::new(mutexes(["multi-y", "multi-x", "multi-x"])?)?;
    let refused = context.soon("an answer", twice.lock()).await?.err().map(|error| error.kind());
    ensure(refused == Some(ErrorKind::InvalidOption), format!("{refused:?} to a lock that is there twice"))?;
    let names = ["multi-z", "multi-y", "multi-x"];
    let guard = context.soon("locks that are free", MultiLock::new(mutexes(names)?)?.lock()).await??;
    ensure_held(&a.coordinator, &guard).await?;
    guard.release().await?;
    let again = context.soon("locks that were released", a.coordinator.lock_all(names)).await??;
    Ok(again.release().await?)
}
