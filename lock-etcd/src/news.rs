//! What sessions tell one another, by writing it on the other's bell.
//!
//! One line of text for each piece of news, so that `etcdctl watch` shows what happens. A bell is a hint and
//! the keys of the line are the truth: news that are lost or cannot be read cost a search, nothing else.

use std::fmt;

use lock_core::ClaimId;

/// News for one claim of the session that the bell belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    /// The claim's number.
    pub(crate) claim: u64,
    pub(crate) news: News,
    /// With a turn from another session: the claim that comes next of those that handed it on.
    pub(crate) back: Option<ClaimId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// You are the head of the queue, and nobody holds behind the gate.
    Turn,
    /// You are the head of the queue; look behind the gate yourself.
    Head,
    /// Your predecessor is now this one.
    Behind(ClaimId),
    /// This one waits behind you.
    Followed(ClaimId),
    /// An operator removed you.
    Evicted,
}

impl Ring {
    pub(crate) fn new(claim: ClaimId, news: News) -> Self {
        Self { claim: claim.number, news, back: None }
    }

    /// What a bell says; `None` when it is not ours to understand.
    pub(crate) fn read(bell: &[u8]) -> Option<Vec<Self>> {
        std::str::from_utf8(bell).ok()?.lines().map(Self::read_line).collect()
    }

    fn read_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (word, claim) = (words.next()?, words.next()?.parse().ok()?);
        let mut other = || words.next()?.parse().ok();
        let mut back = None;
        let news = match word {
            "turn" => {
                back = other();
                News::Turn
            }
            "head" => News::Head,
            "behind" => News::Behind(other()?),
            "followed" => News::Followed(other()?),
            "evicted" => News::Evicted,
            _ => return None,
        };
        Some(Self { claim, news, back })
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = self.claim;
        match self.news {
            News::Turn => match self.back {
                Some(back) => write!(f, "turn {claim} {back}"),
                None => write!(f, "turn {claim}"),
            },
            News::Head => write!(f, "head {claim}"),
            News::Behind(other) => write!(f, "behind {claim} {other}"),
            News::Followed(other) => write!(f, "followed {claim} {other}"),
            News::Evicted => write!(f, "evicted {claim}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use lock_core::SessionId;

    use super::*;

    #[test]
    fn news_come_back() {
        let other = ClaimId { session: SessionId::new(9), number: 4 };
        let rings = [News::Turn, News::Head, News::Behind(other), News::Followed(other), News::Evicted]
            .map(|news| Ring { claim: 7, news, back: None });
        let text = rings.map(|ring| ring.to_string()).join("\n");
        assert_eq!(
            text,
            "turn 7\nhead 7\nbehind 7 0000000000000009.4\nfollowed 7 0000000000000009.4\nevicted 7"
        );
        assert_eq!(Ring::read(text.as_bytes()).unwrap(), rings);
        assert_eq!(Ring::read(b"").unwrap(), []);
        let turn = Ring { claim: 7, news: News::Turn, back: Some(other) };
        assert_eq!(turn.to_string(), "turn 7 0000000000000009.4");
        assert_eq!(Ring::read(turn.to_string().as_bytes()).unwrap(), [turn]);
    }

    #[test]
    fn other_text_is_no_news() {
        for text in ["turn", "turn x", "behind 7", "behind 7 x", "hello 7", "turn 7\nhello"] {
            assert_eq!(Ring::read(text.as_bytes()), None, "{text}");
        }
    }
}
