//! Who works on its own keys.

use yourturn::Members;

use crate::{
    KEYS,
    parts::{Failure, Orders, Part},
};

pub(crate) async fn work(part: Part, mut orders: Orders) -> Result<(), Failure> {
    let group = part.coordinator.group("workers")?;
    let mut views = group.watch();
    let membership = group.join(&part.name, "").await?;
    loop {
        tokio::select! {
            () = orders.ended() => break,
            members = views.next() => work_among(&part, &members?),
        }
    }
    // First: when this is done, others take over.
    part.tell("stops");
    Ok(membership.leave().await?)
}

/// Drops what it worked on, and takes up what is its own among these.
fn work_among(part: &Part, members: &Members) {
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    part.tell(format_args!("sees {} at {}", names.join(","), members.revision));
    for key in (1..=KEYS).map(|number| format!("key-{number}")) {
        if members.owner_of(&key).is_some_and(|owner| owner.name.as_str() == part.name) {
            part.tell(format_args!("works on {key}"));
        }
    }
    part.tell("is busy");
}
