//! A candidate: it campaigns again and again, and leads until it is told to resign.

use std::ops::ControlFlow;

use tokio::sync::Notify;

use crate::{
    parts::{Failure, Orders, Part},
    story::ELECTION,
};

/// The order to resign.
pub(crate) const RESIGN: &str = "resign";

pub(crate) async fn campaign(part: Part, mut orders: Orders) -> Result<(), Failure> {
    let (election, resign) = (part.coordinator.election(ELECTION)?, Notify::new());
    let campaign = election.run(format!("{}.example:80", part.name), |leadership| {
        let (resign, term) = (&resign, leadership.term());
        let at_work = part.doing(format_args!("works {term}"), "stops");
        async move {
            let _at_work = at_work;
            resign.notified().await;
            ControlFlow::<()>::Continue(())
        }
    });
    tokio::select! {
        outcome = campaign => outcome.map(drop)?,
        () = obey(&mut orders, &resign) => {}
    }
    Ok(())
}

async fn obey(orders: &mut Orders, resign: &Notify) {
    while let Some(order) = orders.next().await {
        if order == RESIGN {
            resign.notify_one();
        }
    }
}
