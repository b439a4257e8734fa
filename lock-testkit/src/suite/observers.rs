//! What observers of a line see: part of C3, since a token that goes back would name a former holder.

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use lock_core::{Line, LinePlace, Mode, Payload};

use super::context::{Check, Context, Stop, ensure, has_rival, line, rival};

/// Changes that a slow reader misses.
const MISSED: u8 = 10;

struct Observer {
    changes: BoxStream<'static, lock_core::Result<Line>>,
    revision: u64,
}

impl Observer {
    /// Waits until the line is seen like that; it is never seen as it was before.
    async fn sees(&mut self, context: &Context, what: &str, is_so: impl Fn(&Line) -> bool) -> Check<usize> {
        let mut seen = 0;
        let looked = async {
            loop {
                let line = self
                    .changes
                    .next()
                    .await
                    .ok_or_else(|| Stop::Failed(format!("it ended before {what}")))??;
                ensure(
                    line.revision >= self.revision,
                    format!("revision {} after {}", line.revision, self.revision),
                )?;
                (self.revision, seen) = (line.revision, seen + 1);
                if is_so(&line) {
                    return Check::Ok(());
                }
            }
        };
        context.soon(what, looked).await??;
        Ok(seen)
    }
}

pub(super) async fn observed(context: &Context, mode: Mode) -> Check {
    let (a, b, spy) = (context.party().await?, context.party().await?, context.party().await?);
    let x = line("observed");
    let mut observer = Observer { changes: spy.session.changes(&x).await?, revision: 0 };
    observer.sees(context, "an empty line", |line| line.places.is_empty()).await?;

    let mut holder = a.join(&x, mode).await?;
    let token = holder.granted(context).await?.token;
    let holds = |place: &LinePlace| place.claim == holder.ticket.claim && place.token == Some(token);
    observer.sees(context, "the holder", |line| line.places.iter().any(holds)).await?;
    let payload = Payload::new(b"10.0.0.7:80")?;
    a.session.update(&holder.ticket, payload.clone()).await?;
    observer
        .sees(context, "its payload", |line| line.places.iter().any(|place| place.payload == payload))
        .await?;

    let mut next = b.join(&x, rival(mode)).await?;
    let claim = next.ticket.claim;
    let waits = |place: &LinePlace| place.claim == claim && place.token.is_none() == has_rival(mode);
    observer.sees(context, "the next one", |line| line.places.iter().any(waits)).await?;
    holder.leave().await?;
    let token = Some(next.granted(context).await?.token);
    let alone = |line: &Line| line.places.iter().map(|place| (place.claim, place.token)).eq([(claim, token)]);
    observer.sees(context, "the next one alone, holding", alone).await?;

    // A slow reader sees the line as it is, not all that it was.
    for number in 0..MISSED {
        b.session.update(&next.ticket, Payload::new(&[number])?).await?;
    }
    next.leave().await?;
    context.sleep(context.grace).await;
    let seen = observer.sees(context, "an empty line again", |line| line.places.is_empty()).await?;
    ensure(seen <= 2, format!("a slow reader was given {seen} lines"))?;

    // One that comes and goes while nobody looks may have written the cell.
    let mut brief = a.join(&x, mode).await?;
    brief.granted(context).await?;
    brief.leave().await?;
    observer.sees(context, "a line that is empty as before", |line| line.places.is_empty()).await?;
    Ok(())
}
