//! Tails that are left behind. A claim that was alone in its line ends by one plain deletion: that costs etcd
//! a good deal less than a transaction, and when the same session comes back soon, it finds its own tail.
//! What nobody came back for is taken away a little later, many lines at a time.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use etcd_client::{Txn, TxnOp};
use lock_core::{ClaimId, LineId, Result, sync::locked};

use super::{
    Queue,
    standing::Who,
    txn::{self, Free, Outlook},
};

/// A tail stays for at least as long as this, and at most twice as long.
const LINGER: Duration = Duration::from_millis(250);

/// How many tails one transaction takes away; etcd's default limit is 128 operations.
const AT_ONCE: usize = 64;

/// The tails that this session has left behind.
#[derive(Debug, Default)]
pub(super) struct Tails {
    lines: HashMap<LineId, LeftBehind>,
    /// How often it was swept.
    rounds: u64,
    swept: bool,
}

#[derive(Clone, Copy, Debug)]
struct LeftBehind {
    /// The claim that has gone.
    claim: ClaimId,
    /// Its place, which is where it wrote the tail.
    place: u64,
    /// A claim of this session has written another since. The first may be given the tail back, when an
    /// operator evicts the other.
    replaced: bool,
    round: u64,
}

impl Tails {
    fn insert(&mut self, line: &LineId, left: LeftBehind) {
        match self.lines.entry(line.clone()) {
            Entry::Occupied(mut there) if there.get().place < left.place => drop(there.insert(left)),
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => drop(free.insert(left)),
        }
    }

    /// Those that have lingered for long enough, or all.
    fn take(&mut self, all: bool) -> Vec<(LineId, LeftBehind)> {
        let rounds = self.rounds;
        self.rounds += 1;
        self.lines.extract_if(|_, left| all || left.round < rounds).collect()
    }
}

impl Queue {
    /// What is known of a line that an exclusive claim is about to enter.
    pub(super) fn outlook(&self, line: &LineId) -> Outlook {
        let left = locked(&self.table).tails.lines.get(line).copied();
        // Who left it behind was alone, and nobody has come since.
        let free = left
            .filter(|left| !left.replaced)
            .map_or(Free::NoTail, |left| Free::StaleTail(left.place.cast_signed()));
        Outlook { free, ..Outlook::UNKNOWN }
    }

    /// A claim has written another tail, at its place: `straight` over the one that was left behind, or behind
    /// whoever had come.
    pub(super) fn tail_was_written(&self, line: &LineId, place: u64, straight: bool) {
        let tails = &mut locked(&self.table).tails;
        let Entry::Occupied(mut left) = tails.lines.entry(line.clone()) else { return };
        if left.get().place < place {
            left.get_mut().replaced = true;
            if straight {
                left.remove();
            }
        }
    }

    /// A claim that came straight in has gone, and its tail is there, unless another has come since: of this
    /// session if it was `replaced`.
    pub(super) fn leave_tail_behind(self: &Arc<Self>, who: &Who, replaced: bool) {
        let starts = {
            let tails = &mut locked(&self.table).tails;
            let (claim, place, round) = (who.id, who.place(), tails.rounds);
            let left = LeftBehind { claim, place, replaced, round };
            tails.insert(&who.line, left);
            !std::mem::replace(&mut tails.swept, true)
        };
        if starts {
            let queue = self.clone();
            self.runtime.spawn(Box::pin(async move { queue.sweep_until_clean().await }));
        }
    }

    async fn sweep_until_clean(&self) {
        loop {
            tokio::select! { biased;
                _ = self.lease.lost() => return,
                () = self.runtime.sleep_until(self.runtime.now() + LINGER) => {}
            }
            let due = {
                let tails = &mut locked(&self.table).tails;
                tails.swept = !tails.lines.is_empty();
                if !tails.swept {
                    return;
                }
                tails.take(false)
            };
            if let Err(error) = self.sweep(&due).await {
                tracing::debug!(%error, tails = due.len(), "tails will be taken away later");
                let tails = &mut locked(&self.table).tails;
                due.iter().for_each(|(line, left)| tails.insert(line, *left));
            }
        }
    }

    /// Takes away all that there are.
    pub(crate) async fn sweep_all(&self) -> Result<()> {
        let all = locked(&self.table).tails.take(true);
        self.sweep(&all).await
    }

    async fn sweep(&self, tails: &[(LineId, LeftBehind)]) -> Result<()> {
        let sweep = |(line, left): &(LineId, LeftBehind)| txn::sweep(&self.namespace.line(line), left.claim);
        for some in tails.chunks(AT_ONCE) {
            let sweeps = some.iter().map(sweep).map(TxnOp::txn).collect::<Vec<_>>();
            self.change(Txn::new().and_then(sweeps)).await?;
        }
        Ok(())
    }
}
