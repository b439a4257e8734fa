//! From joined to granted.

use std::sync::Arc;

use etcd_client::{Event, EventType};
use lock_core::{Error, FencingToken, Grant, Result, sync::Signal};

use super::{
    Go,
    standing::{Ahead, Phase, Standing},
    txn,
};
use crate::{
    request::get,
    watch::{Keys, Sink},
};

impl Go {
    /// Waits for the claim's turn. Nothing is granted under a session that is over (C10).
    pub(super) async fn granted(self: &Arc<Self>, standing: &Arc<Standing>) -> Result<Grant> {
        let token = tokio::select! { biased;
            reason = self.lease.lost() => return Err(Error::lost(reason)),
            token = standing.fate.granted() => token.map_err(Error::lost)?,
            token = self.turn(standing) => token?,
        };
        Ok(Grant { token, fate: standing.fate.clone() })
    }

    /// Waits for those ahead, the nearest first: whoever goes wakes nobody but the one behind it (C4).
    async fn turn(&self, standing: &Arc<Standing>) -> Result<FencingToken> {
        while let Some(ahead) = self.ahead(standing).await? {
            standing.keys.check_nesting(&ahead.key)?;
            self.until_gone(&ahead).await?;
            standing.state.update_silently(|state| state.ahead = None);
        }
        standing.fate.granted().await.map_err(Error::lost)
    }

    /// Who is right before the claim; none when it has been granted by this very look, or has ended.
    async fn ahead(&self, standing: &Arc<Standing>) -> Result<Option<Ahead>> {
        let (phase, known) = standing.state.read(|state| (state.phase, state.ahead.clone()));
        let Phase::Waiting(created) = phase else { return Ok(None) };
        if known.is_some() {
            return Ok(known);
        }
        let look = vec![get(&*standing.key), txn::last_before(standing.keys.prefix(), created)];
        let mut reply = self.look(look).await?;
        let (mine, ahead) = (reply.key(), reply.key());
        if mine.is_none_or(|mine| mine.create_revision() != created) {
            self.missing(standing).await?;
            return Ok(None);
        }
        if ahead.is_none() && standing.hold(created, reply.revision)? {
            self.stays.note(standing, &self.runtime);
        }
        Ok(ahead.as_ref().map(Ahead::from))
    }

    /// Waits until that key is gone. The watch starts from now, since one that starts earlier is parked by
    /// etcd before 3.6 for up to 100 ms, and the key is looked at once the watch is open.
    async fn until_gone(&self, ahead: &Ahead) -> Result<()> {
        let seen = Arc::new(Predecessor(Signal::new(Seen::default())));
        let _watch = self.watcher.watch(Keys::One(ahead.key.clone()), seen.clone());
        let mut known = 0;
        loop {
            let news = seen.0.wait(|seen| (seen.gone || seen.openings > known).then_some(*seen)).await;
            if news.gone {
                return Ok(());
            }
            known = news.openings;
            let there = self.look(vec![get(&*ahead.key)]).await?.key();
            if there.is_none_or(|there| there.create_revision() != ahead.created) {
                return Ok(());
            }
        }
    }
}

/// The key right before a claim, as it is watched.
struct Predecessor(Signal<Seen>);

#[derive(Clone, Copy, Default)]
struct Seen {
    openings: u64,
    gone: bool,
}

impl Sink for Predecessor {
    fn opened(&self) {
        self.0.update(|seen| seen.openings += 1);
    }

    fn event(&self, event: &Event) {
        if event.event_type() == EventType::Delete {
            self.0.update(|seen| seen.gone = true);
        }
    }
}
