//! Who moves money.

use std::time::Duration;

use tokio::time::sleep;
use yourturn::runtime::{Runtime, TokioRuntime};

use crate::{
    ACCOUNTS,
    parts::{Failure, Orders, Part},
    values::Values,
};

/// The order to stop in the middle of a transfer.
pub(crate) const STAND_STILL: &str = "stand still";

/// Between reading and writing: long enough for others, were the accounts not locked.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn work(part: Part, mut orders: Orders) -> Result<(), Failure> {
    let accounts = Values::beside(&part.uri).await?;
    while !orders.have_ended() {
        let chosen = two_of(ACCOUNTS)?;
        if let Err(error) = transfer(&part, &mut orders, &accounts, chosen).await {
            // It may have lost the locks. If it is worse than that, not at once again.
            eprintln!("{}: {error}", part.name);
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Who is cut off or killed on the way has moved everything or nothing: both accounts are written in one step.
/// And nobody has touched them since they were read, for that step is refused when the locks are lost.
async fn transfer(
    part: &Part,
    orders: &mut Orders,
    accounts: &Values,
    [from, to]: [&str; 2],
) -> Result<(), Failure> {
    let guards = part.coordinator.lock_all([from, to]).await?;
    let (payer, payee) = (accounts.read(from).await?, accounts.read(to).await?);
    let amount = random()? % (payer.number + 1);
    part.tell(format_args!("moves {amount} from {from} to {to}"));
    sleep(PAUSE).await;
    if orders.next_is(STAND_STILL) {
        part.tell("stands still");
        orders.ended().await;
        return Ok(());
    }
    let (paid, received) = (payer.number - amount, payee.number + amount);
    let mut changes = Vec::new();
    for (guard, (account, balance)) in guards.guards().zip([(payer, paid), (payee, received)]) {
        changes.push(account.change(balance, guard.token()));
    }
    let guard = guards.guards().next().ok_or("nothing is locked")?;
    let done = accounts.write(guard, &changes).await?;
    part.tell(if done { "is done" } else { "finds an account changed" });
    Ok(guards.release().await?)
}

fn two_of(mut accounts: [&'static str; 5]) -> Result<[&'static str; 2], Failure> {
    for place in 0..2 {
        let (left, chosen) = (accounts.len() - place, usize::try_from(random()? >> 1)?);
        accounts.swap(place, place + chosen % left);
    }
    let [first, second, ..] = accounts;
    Ok([first, second])
}

fn random() -> Result<u64, yourturn::Error> {
    Ok(TokioRuntime::current()?.random_u64())
}
