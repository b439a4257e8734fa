//! What stays in line and what does not: C5, C11, C12, C16.

use std::{pin::pin, task::Waker, time::Duration};

use lock_core::{
    ErrorKind, Kind, LineId, LostReason, Mode, Names,
    backend::{Cell, CellVersion},
};

use super::context::{Check, Context, Party, Stop, User, ensure, line, rival};

/// C5 allows this long.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) async fn cancellation(context: &Context, mode: Mode) -> Check {
    let (holder, user) = (context.party().await?, context.user().await?);
    let x = line("cancellation");
    for held in [false, true] {
        let mut rival_held = None;
        if held {
            let mut standing = holder.join(&x, rival(mode)).await?;
            standing.granted(context).await?;
            rival_held = Some(standing);
        }
        let before = context.store.residue().await;
        for polls in 0..8 {
            for kind in [Acquire::Wait, Acquire::Try, Acquire::For] {
                drop_after(context, &user, &x, mode, polls, kind).await;
                let after = format!("{kind:?} dropped after {polls} polls, held by a rival: {held}");
                context.residue_becomes(&before, SETTLE + context.lateness, &after).await?;
            }
        }
        if let Some(standing) = rival_held {
            standing.leave().await?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Acquire {
    Wait,
    Try,
    For,
}

/// Polls an acquire so often, with time for the store between polls, and drops it.
async fn drop_after(context: &Context, user: &User, x: &LineId, mode: Mode, polls: usize, kind: Acquire) {
    let claims = user.coordinator.claims(x.clone());
    let mut acquire = pin!(async {
        match kind {
            Acquire::Wait => claims.acquire(mode).await.map(Some),
            Acquire::Try => claims.try_acquire(mode).await,
            Acquire::For => claims.try_acquire_for(mode, context.ttl).await,
        }
    });
    for _ in 0..polls {
        if acquire.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        // As long as a request may take, so that each poll can get further.
        context.sleep(context.grace / 8).await;
    }
}

pub(super) async fn names(context: &Context, mode: Mode) -> Check {
    let (holder, other) = (context.party().await?, context.party().await?);
    if holder.session.capabilities().names == Names::Raw {
        raw_names(context, mode, &holder).await?;
        return Err(Stop::Unsupported("kinds share names, and names that nest are refused".to_owned()));
    }
    // The longest first: whoever looks at all that begins with `a` must not see `a/b` there.
    let names = ["a/b/c", "a/b", "b/a", "a%2Fb", "a.b", "a b", "ab", "naïve", "A", "a"];
    let kinds = [Kind::Mutex, Kind::Election, Kind::Task];
    let lines: Vec<LineId> = names
        .iter()
        .flat_map(|name| kinds.map(|kind| LineId::new(kind, line(name).name().clone())))
        .collect();
    let mut tickets = Vec::new();
    for x in &lines {
        let mut standing = holder.join(x, rival(mode)).await?;
        context.soon(&format!("{x} is free, though others are held"), standing.granted(context)).await??;
        tickets.push(standing.ticket);
    }
    for (x, ticket) in lines.iter().zip(&tickets) {
        let seen = other.inspect(x).await?;
        let mine = seen.id == *x && seen.places.iter().all(|place| place.claim == ticket.claim);
        ensure(mine && seen.places.len() == 1, format!("{x} shows claims of other lines: {seen:?}"))?;
    }
    cells_of_their_own(&other, &lines).await
}

/// What is written to the cell of one line is seen at no other, nor is it forgotten with another.
async fn cells_of_their_own(party: &Party, lines: &[LineId]) -> Check {
    for x in lines {
        let seen = party.session.cell(x).await?;
        ensure(seen == Cell::absent(), format!("{x} shows the cell of another line: {seen:?}"))?;
        party.session.put_cell(x, CellVersion::ABSENT, x.key().as_bytes(), None).await?;
    }
    // The shortest first: whoever forgets all that begins with `a` must not forget `a/b`.
    for x in lines.iter().rev() {
        let seen = party.session.cell(x).await?;
        ensure(
            *seen.bytes == *x.key().as_bytes(),
            format!("{x} has lost its cell to another line: {seen:?}"),
        )?;
        party.session.forget(x).await?;
    }
    Ok(())
}

/// Names that do not nest are independent all the same; others are refused while they would be in the way.
async fn raw_names(context: &Context, mode: Mode, party: &Party) -> Check {
    let mut held = Vec::new();
    for name in ["a/b", "b/a", "a%2Fb", "a.b", "a b", "ab", "naïve", "A"] {
        let mut standing = party.join(&line(name), mode).await?;
        context.soon(&format!("{name} is free, though others are held"), standing.granted(context)).await??;
        held.push(standing);
    }
    let clashes = [(Kind::Mutex, "a"), (Kind::Mutex, "a/b/c"), (Kind::Election, "a/b"), (Kind::Task, "b/a")];
    for (kind, name) in clashes {
        let x = LineId::new(kind, line(name).name().clone());
        let tried = party.session.try_join(&x, &party.claim(mode)).await.map(|_| ());
        let joined = party.session.join(&x, &party.claim(mode)).await.map(|_| ());
        for refused in [tried, joined].map(|outcome| outcome.err().map(|error| error.kind())) {
            ensure(refused == Some(ErrorKind::InvalidName), format!("{x} beside the others: {refused:?}"))?;
        }
    }
    for standing in held {
        standing.leave().await?;
    }
    let mut free = party.join(&line("a"), mode).await?;
    free.granted(context).await?;
    free.leave().await
}

pub(super) async fn release(context: &Context, mode: Mode) -> Check {
    let (a, b) = (context.party().await?, context.party().await?);
    let x = line("release");
    let mut first = a.join(&x, rival(mode)).await?;
    first.granted(context).await?;
    let gone = first.ticket.clone();
    let mut second = b.join(&x, mode).await?;
    second.is_granted(context).await?;
    a.session.leave(&x, gone.claim).await?;
    second.granted(context).await?;
    // Twice, and late.
    for _ in 0..2 {
        a.session.leave(&x, gone.claim).await?;
        ensure(b.is_in_line(&second.ticket).await?, "a second release removed a newer claim")?;
    }
    // After the claim was evicted.
    let mut third = a.join(&x, rival(mode)).await?;
    third.is_granted(context).await?;
    let evicted = b.session.evict(&x, third.ticket.claim).await?;
    ensure(evicted, "the claim was not there to be evicted")?;
    a.session.leave(&x, third.ticket.claim).await?;
    ensure(b.is_in_line(&second.ticket).await?, "a release after the eviction removed another claim")?;
    let again = b.session.evict(&x, third.ticket.claim).await?;
    ensure(!again, "what is gone was evicted again")
}

pub(super) async fn close(context: &Context, mode: Mode) -> Check {
    let holder = context.party().await?;
    let x = line("close");
    let mut standing = holder.join(&x, rival(mode)).await?;
    standing.granted(context).await?;
    let before = context.store.residue().await;

    let party = context.party().await?;
    let mut waiting = party.join(&x, mode).await?;
    waiting.is_granted(context).await?;
    let mut held = party.join(&line("close-too"), mode).await?;
    held.granted(context).await?;
    let changes = party.session.changes(&x).await?;
    drop(changes);
    for _ in 0..2 {
        party.session.close().await?;
    }
    context.residue_is(&before, "close() of a session returned").await?;

    let user = context.user().await?;
    let guard = user.coordinator.claims(line("close-too")).acquire(mode).await?;
    user.coordinator.close().await?;
    context.residue_is(&before, "close() of a coordinator returned").await?;
    let over = guard.check().err().map(|lost| lost.reason);
    ensure(over == Some(LostReason::Closed), format!("the guard of a closed coordinator says {over:?}"))?;
    drop(guard);
    let open = user.coordinator.claims(x).acquire(mode).await;
    ensure(open.is_err(), "a closed coordinator takes claims")
}
