//! Whether a line kept its order.
//!
//! Looked at from outside, a grant does not say when its claim joined: a client that comes back may be passed
//! by another that came back later and was faster to join, and nobody has overtaken anybody. So the order is
//! held against the store's own list of the line, read twice: when all clients were in line and nobody had
//! had a turn, and when the measured time was over. From each list on, the turns must come in its order, and
//! nobody else's in between, unless it stood there: a store whose list is no snapshot (ZooKeeper's, read node by
//! node) misses who goes while it is read. And over the whole run, tokens must rise in the order in which turns
//! were seen to begin.

use yourturn::{ClaimId, FencingToken, LinePlace};

use crate::Result;

/// A claim as a list of its line has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    claim: ClaimId,
    place: u64,
}

impl From<&LinePlace> for Listed {
    fn from(place: &LinePlace) -> Self {
        Self { claim: place.claim, place: place.place }
    }
}

/// The turns of a line in the order in which they were seen to begin, all in this process; the claims of each
/// list of it, in the order of the list.
pub(crate) fn fifo(turns: &[(FencingToken, ClaimId)], lists: &[Vec<Listed>]) -> Result<()> {
    for pair in turns.windows(2) {
        if let [(earlier, _), (later, claim)] = pair
            && later <= earlier
        {
            return Err(format!("claim {claim} had token {later} after token {earlier}"));
        }
    }
    lists.iter().try_for_each(|list| in_order(turns, list))
}

fn in_order(turns: &[(FencingToken, ClaimId)], list: &[Listed]) -> Result<()> {
    let Some(head) = list.first() else { return Ok(()) };
    let start = turns.iter().position(|(_, claim)| *claim == head.claim).unwrap_or(turns.len());
    let mut served = turns.iter().skip(start);
    for Listed { claim: expected, place } in list {
        // An exclusive claim's token is its place.
        let next = served.find(|(token, claim)| claim == expected || token.get() >= *place);
        match next {
            Some((_, claim)) if claim == expected => {}
            Some((_, claim)) => return Err(format!("claim {claim} had the turn of claim {expected}")),
            None => return Err(format!("claim {expected} was in line and had no turn")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use yourturn::SessionId;

    use super::*;

    fn claim(number: u64) -> ClaimId {
        ClaimId { session: SessionId::new(1), number }
    }

    fn turns(of: &[(u64, u64)]) -> Vec<(FencingToken, ClaimId)> {
        of.iter().map(|(token, number)| (FencingToken::new(*token).unwrap(), claim(*number))).collect()
    }

    fn listed(of: &[(u64, u64)]) -> Vec<Vec<Listed>> {
        vec![of.iter().map(|(place, number)| Listed { claim: claim(*number), place: *place }).collect()]
    }

    #[test]
    fn the_order_of_a_list_is_kept_or_not() {
        let list = listed(&[(2, 1), (5, 2), (6, 3)]);
        let good = turns(&[(1, 0), (2, 1), (5, 2), (6, 3), (7, 9)]);
        assert_eq!(fifo(&good, &list), Ok(()));
        let overtaken = turns(&[(1, 0), (2, 1), (5, 3), (6, 2)]);
        assert!(fifo(&overtaken, &list).unwrap_err().contains("had the turn of"));
        let stranger = turns(&[(2, 1), (5, 2), (7, 9), (8, 3)]);
        assert!(fifo(&stranger, &list).unwrap_err().contains("had the turn of"));
        let forgotten = turns(&[(2, 1), (5, 2)]);
        assert!(fifo(&forgotten, &list).unwrap_err().contains("no turn"));
        assert!(fifo(&turns(&[(1, 7)]), &list).unwrap_err().contains("no turn"));
    }

    #[test]
    fn who_goes_while_a_list_is_read_may_be_missing() {
        let list = listed(&[(2, 1), (6, 3)]);
        assert_eq!(fifo(&turns(&[(2, 1), (5, 2), (6, 3)]), &list), Ok(()));
        assert!(fifo(&turns(&[(2, 1), (7, 2), (8, 3)]), &list).unwrap_err().contains("had the turn of"));
    }

    #[test]
    fn tokens_must_rise() {
        assert!(fifo(&turns(&[(1, 0), (3, 1), (3, 2)]), &[]).is_err());
        assert!(fifo(&turns(&[(2, 0), (1, 1)]), &[]).is_err());
        assert_eq!(fifo(&turns(&[(1, 0), (2, 1)]), &[vec![]]), Ok(()));
    }
}
