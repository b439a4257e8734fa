//! Who needs licences for its work.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    LICENCES,
    parts::{Failure, Orders, Part},
};

/// The worker that does not give back what it has.
pub(crate) const KEEPER: &str = "keeper";

/// How long a use takes.
const USE: Duration = Duration::from_millis(50);

pub(crate) async fn work(part: Part, mut orders: Orders) -> Result<(), Failure> {
    let pool = part.coordinator.semaphore("licences", LICENCES)?;
    for wanted in [1, 2].into_iter().cycle() {
        if orders.have_ended() {
            break;
        }
        let licences = pool.acquire_many(wanted).await?;
        if part.name == KEEPER {
            let _in_use = part.doing(format_args!("uses {wanted}"), "has stopped");
            orders.ended().await;
            return Ok(());
        }
        // Who is cut off from the store stops in time: before somebody else gets its licences.
        let used = licences.run(async {
            let _in_use = part.doing(format_args!("uses {wanted}"), "has stopped");
            sleep(USE).await;
        });
        if used.await.is_ok() {
            licences.release().await?;
        }
    }
    Ok(())
}
