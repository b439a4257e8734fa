//! Who replaces the configuration.

use yourturn::Guard;

use crate::{
    CONFIG, PARTS,
    parts::{Failure, Part},
    reader::read_both,
    values::Values,
};

/// How often each writes.
pub(crate) const TURNS: usize = 10;

pub(crate) async fn write(part: Part) -> Result<(), Failure> {
    let lock = part.coordinator.rw_lock(CONFIG)?;
    let values = Values::beside(&part.uri).await?;
    for _ in 0..TURNS {
        part.tell("waits");
        let guard = lock.write().await?;
        write_both(&part, &values, &guard).await?;
        // Others may read now, and nobody has written in between.
        let guard = guard.downgrade().await?;
        guard.run(read_both(&part, &values)).await??;
        guard.release().await?;
    }
    Ok(())
}

async fn write_both(part: &Part, values: &Values, guard: &Guard) -> Result<(), Failure> {
    let _writing = part.doing("writes", "has written");
    for name in PARTS {
        let old = values.read(name).await?;
        let number = old.number + 1;
        if !values.write(guard, &[old.change(number, guard.token())]).await? {
            return Err(format!("{name} was changed while it was locked").into());
        }
    }
    Ok(())
}
