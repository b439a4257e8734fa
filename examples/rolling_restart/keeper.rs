//! Who looks after one instance.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    AT_A_TIME, INSTANCES,
    parts::{Doing, Failure, Orders, Part},
};

/// Where the keepers meet: when all instances are up, and when all have been restarted.
pub(crate) const BARRIERS: [&str; 2] = ["up", "restarted"];

/// How long a service takes until it can be used.
const WARM_UP: Duration = Duration::from_millis(100);

pub(crate) async fn restart(part: Part, mut orders: Orders) -> Result<(), Failure> {
    let _instance = tokio::select! {
        restarted = restart_in_turn(&part) => restarted?,
        // Nobody is interested any more.
        () = orders.ended() => return Ok(()),
    };
    orders.ended().await;
    Ok(())
}

async fn restart_in_turn(part: &Part) -> Result<Doing, Failure> {
    let instance = start(part).await;
    part.coordinator.barrier(BARRIERS[0], INSTANCES)?.wait().await?;
    let permit = part.coordinator.semaphore("down", AT_A_TIME)?.acquire().await?;
    // Right before the step that needs it: who was stopped since the grant may have lost it.
    permit.check()?;
    drop(instance);
    // A permit that is lost while the instance is down goes to somebody else, so one more may go down. Where
    // that matters, bring this one up all the same, and stop the rollout. Here the keeper fails, and its
    // instance with it.
    let instance = permit.run(start(part)).await?;
    permit.release().await?;
    part.coordinator.barrier(BARRIERS[1], INSTANCES)?.wait().await?;
    part.tell("is through");
    Ok(instance)
}

/// The instance, once it can be used; it is down when this is dropped.
async fn start(part: &Part) -> Doing {
    sleep(WARM_UP).await;
    part.doing("is up", "is down")
}
