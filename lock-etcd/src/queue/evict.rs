//! An operator's force-release: leaving on somebody else's behalf, with what can be read of its neighbours.

use etcd_client::{KeyValue, Txn};
use lock_core::{ClaimId, ErrorKind, LineId, Mode, Result};

use super::{
    Queue, named,
    standing::Who,
    txn::{self, Departure, To},
};
use crate::{
    keys::Part,
    news::News,
    request::{Reply, get, range},
};

impl Queue {
    /// Removes anybody's claim; see [`Session::evict`](lock_core::backend::Session::evict).
    pub(crate) async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let who = Who::new(claim, line, &self.namespace);
        loop {
            let look = vec![
                get(who.keys.node(claim)),
                range(who.keys.holders()),
                get(who.keys.seat(Mode::Present, claim)),
            ];
            let mut reply = self.look(look).await?;
            let (node, holders, present) = (reply.key(), reply.keys(), reply.key());
            if let Some(node) = node {
                if self.evict_from_queue(&who, &node).await? {
                    return Ok(true);
                }
                continue;
            }
            let seat = holders.iter().chain(&present).find_map(|kv| match who.keys.part(kv.key())? {
                Part::Shared(holder) if holder == claim => Some((Mode::Shared, kv)),
                Part::Permits(holder) if holder == claim => Some((Mode::Permits { count: 1, limit: 1 }, kv)),
                Part::Present(_) => Some((Mode::Present, kv)),
                _ => None,
            });
            let Some((mode, seat)) = seat else { return Ok(false) };
            let unseat = |evicted| txn::unseat(&who, mode, seat.create_revision(), false, evicted);
            if self.change_evicting(unseat).await?.succeeded {
                return Ok(true);
            }
        }
    }

    async fn evict_from_queue(&self, who: &Who, node: &KeyValue) -> Result<bool> {
        who.took(node.create_revision());
        let next = self.look(vec![get(who.keys.next(who.id))]).await?.key();
        let nodes = self.nodes(&who.keys).await?;
        let linked = next.as_ref().and_then(|next| named(next.value()).or(nodes.after(who.place())));
        let departure = Departure {
            who,
            touched: next.as_ref().map_or(0, KeyValue::mod_revision),
            behind: nodes.before(who.place()),
            // One that linked and withdrew is still named there.
            next: linked.filter(|next| nodes.contain(*next)),
            news: nodes.before(who.place()).map_or(News::Head, News::Behind),
            tells_here: false,
            to: To::Nowhere,
            evicted: false,
            doubt: false,
            back: None,
            expected: None,
        };
        let evict = |evicted| Departure { evicted, ..departure.clone() }.txn();
        Ok(self.change_evicting(evict).await?.succeeded)
    }

    /// Tells the evicted one too, unless its session has ended and its key is there by somebody's hand.
    async fn change_evicting(&self, request: impl Fn(bool) -> Txn) -> Result<Reply> {
        match self.change(request(true)).await {
            Err(error) if error.kind() == ErrorKind::Garbled => self.change(request(false)).await,
            answer => answer,
        }
    }
}
