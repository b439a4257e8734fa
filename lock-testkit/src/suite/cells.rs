//! C17.

use futures_util::future::join_all;
use lock_core::{
    Error, ErrorKind, Mode,
    backend::{Cell, CellVersion},
};

use super::{
    context::{Check, Context, Stop, ensure, has_rival, line, rival},
    exclusion::weaker,
};

/// Rounds, because a race may go well.
const ROUNDS: usize = 4;

/// Of those who replace one version at the same time one does, and the others are told.
async fn race(context: &Context) -> Check {
    let mut parties = Vec::new();
    for _ in 0..8 {
        parties.push(context.party().await?);
    }
    let (x, mut version) = (line("race"), CellVersion::ABSENT);
    for round in 0..ROUNDS {
        let writes = parties.iter().map(|party| party.session.put_cell(&x, version, b"mine", None));
        let outcomes = join_all(writes).await;
        let refused = |error: &Error| error.kind() == ErrorKind::Conflict;
        let conflicts = outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(refused)).count();
        let won: Vec<CellVersion> =
            outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).copied().collect();
        let [now] = won[..] else {
            return Err(Stop::Failed(format!("round {round}: {} replaced one version", won.len())));
        };
        ensure(conflicts == parties.len() - 1, format!("round {round}: {outcomes:?}"))?;
        version = now;
    }
    Ok(())
}

pub(super) async fn cells(context: &Context, mode: Mode) -> Check {
    let (a, b) = (context.party().await?, context.party().await?);
    let x = line("cell");
    let kind = |result: lock_core::Result<CellVersion>| result.err().map(|error| error.kind());
    ensure(a.session.cell(&x).await? == Cell::absent(), "a cell that nobody wrote is there")?;
    let one = a.session.put_cell(&x, CellVersion::ABSENT, b"one", None).await?;
    // Compare and set.
    let stale = kind(b.session.put_cell(&x, CellVersion::ABSENT, b"stale", None).await);
    ensure(stale == Some(ErrorKind::Conflict), format!("a write at another version: {stale:?}"))?;
    let seen = b.session.cell(&x).await?;
    ensure(seen.version == one && *seen.bytes == *b"one", format!("{seen:?} after a refused write"))?;

    // Under a ticket: while it holds, and only then.
    let mut holder = a.join(&x, mode).await?;
    holder.granted(context).await?;
    let two = a.session.put_cell(&x, one, b"two", Some(&holder.ticket)).await?;
    let mut next = b.join(&x, rival(mode)).await?;
    next.is_granted(context).await?;
    if has_rival(mode) {
        let early = kind(b.session.put_cell(&x, two, b"early", Some(&next.ticket)).await);
        ensure(early == Some(ErrorKind::NotHeld), format!("a write by one who waits: {early:?}"))?;
    }
    let evicted = holder.ticket.clone();
    b.session.evict(&x, evicted.claim).await?;
    let late = kind(a.session.put_cell(&x, two, b"late", Some(&evicted)).await);
    ensure(late == Some(ErrorKind::NotHeld), format!("a write by an evicted holder: {late:?}"))?;
    next.granted(context).await?;
    // It is the same turn when its mode has been weakened.
    let weakened = weaker(rival(mode)).map_or(Mode::Present, |(weaker, _)| weaker);
    if context.declares(weakened).await? {
        b.session.set_mode(&next.ticket, weakened).await?;
    }
    let three = b.session.put_cell(&x, two, b"three", Some(&next.ticket)).await?;
    let left = next.ticket.clone();
    next.leave().await?;
    let late = kind(b.session.put_cell(&x, three, b"late", Some(&left)).await);
    ensure(late == Some(ErrorKind::NotHeld), format!("a write after the release: {late:?}"))?;

    race(context).await?;

    // It outlives its writers, and its versions do not come back.
    a.session.close().await?;
    b.session.close().await?;
    let c = context.party().await?;
    ensure(c.session.cell(&x).await?.version == three, "the cell did not outlive its writers")?;
    c.session.forget(&x).await?;
    ensure(c.session.cell(&x).await? == Cell::absent(), "the cell was not forgotten")?;
    let stale = kind(c.session.put_cell(&x, three, b"stale", None).await);
    ensure(
        stale == Some(ErrorKind::Conflict),
        format!("a write at a version that was forgotten: {stale:?}"),
    )?;
    let four = c.session.put_cell(&x, CellVersion::ABSENT, b"four", None).await?;
    ensure(![one, two, three].contains(&four), "a version came back")?;
    let large = kind(c.session.put_cell(&x, four, &[0; Cell::MAX_BYTES + 1], None).await);
    ensure(large == Some(ErrorKind::TooLarge), format!("a value above the limit: {large:?}"))
}
