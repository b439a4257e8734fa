//! Who reads, again and again.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    CONFIG, PARTS,
    parts::{Failure, Orders, Part},
    values::Values,
};

/// Between one part of the configuration and the other: long enough for a writer, were it let in.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn read(part: Part, orders: Orders) -> Result<(), Failure> {
    let lock = part.coordinator.rw_lock(CONFIG)?;
    let values = Values::beside(&part.uri).await?;
    while !orders.have_ended() {
        let guard = lock.read().await?;
        // Who is cut off from the store stops in time: before a writer is let in.
        if let Ok(read) = guard.run(read_both(&part, &values)).await {
            read?;
            guard.release().await?;
        }
    }
    Ok(())
}

/// What anybody does who holds a read lock.
pub(crate) async fn read_both(part: &Part, values: &Values) -> Result<(), Failure> {
    let _reading = part.doing("reads", "has read");
    let address = values.read(PARTS[0]).await?.number;
    sleep(PAUSE).await;
    let certificate = values.read(PARTS[1]).await?.number;
    part.tell(format_args!("sees {address} {certificate}"));
    Ok(())
}
