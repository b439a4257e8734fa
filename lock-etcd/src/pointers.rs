//! What a line says about its ends: who joined last, and who has just left.

use std::{fmt, str::FromStr};

use etcd_client::{Compare, CompareOp};
use lock_core::ClaimId;

/// Who joined last: the value of `tail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) claim: ClaimId,
    /// It came straight in: nobody was before it, so nobody ever will be.
    pub(crate) first: bool,
}

impl Tail {
    /// That this key names the claim, in either form: in order, `!` comes right after the space.
    pub(crate) fn names(key: &str, claim: ClaimId) -> [Compare; 2] {
        [
            Compare::value(key, CompareOp::Greater, format!("{claim} ")),
            Compare::value(key, CompareOp::Less, format!("{claim}!")),
        ]
    }

    /// What a tail says; `None` when it is not ours to understand.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let (claim, how) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        let first = match how {
            "first" => true,
            "behind" => false,
            _ => return None,
        };
        Some(Self { claim: claim.parse().ok()?, first })
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.claim, if self.first { "first" } else { "behind" })
    }
}

/// Where somebody stood who left while another was about to link behind it: the value of `mark`. It stands
/// until the next such departure, so it is a shortcut: whoever does not find itself in it searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) left: ClaimId,
    /// None: it was the head.
    pub(crate) behind: Option<ClaimId>,
}

impl Mark {
    /// What a mark says; `None` when it is not ours to understand.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let left = ClaimId::from_str(words.next()?).ok()?;
        let behind = match words.next()? {
            "head" => None,
            "behind" => Some(words.next()?.parse().ok()?),
            _ => return None,
        };
        Some(Self { left, behind })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.behind {
            None => write!(f, "{} head", self.left),
            Some(ahead) => write!(f, "{} behind {ahead}", self.left),
        }
    }
}

#[cfg(test)]
mod tests {
    use lock_core::SessionId;

    use super::*;

    fn claim(number: u64) -> ClaimId {
        ClaimId { session: SessionId::new(9), number }
    }

    #[test]
    fn pointers_come_back() {
        let (one, ten) = (claim(1), claim(10));
        let tails = [(one, true, "0000000000000009.1 first"), (ten, false, "0000000000000009.10 behind")];
        for (claim, first, text) in tails {
            let tail = Tail { claim, first };
            assert_eq!(tail.to_string(), text);
            assert_eq!(Tail::read(text.as_bytes()), Some(tail));
        }
        let marks =
            [(None, "0000000000000009.1 head"), (Some(ten), "0000000000000009.1 behind 0000000000000009.10")];
        for (behind, text) in marks {
            let mark = Mark { left: one, behind };
            assert_eq!(mark.to_string(), text);
            assert_eq!(Mark::read(text.as_bytes()), Some(mark));
        }
    }

    #[test]
    fn a_tail_names_one_claim() {
        let names = |tail: &str, number| {
            let bounds = [format!("{} ", claim(number)), format!("{}!", claim(number))];
            bounds[0].as_str() < tail && tail < bounds[1].as_str()
        };
        for first in [true, false] {
            let tail = Tail { claim: claim(1), first }.to_string();
            assert!(names(&tail, 1));
            assert!(!names(&tail, 10) && !names(&tail, 0) && !names(&tail, 2));
            assert!(!names(&Tail { claim: claim(10), first }.to_string(), 1));
        }
    }

    #[test]
    fn other_text_is_no_pointer() {
        for text in ["", "first", "0000000000000009.1", "0000000000000009.1 last", "x first"] {
            assert_eq!(Tail::read(text.as_bytes()), None, "{text}");
        }
        for text in
            ["", "head", "0000000000000009.1", "0000000000000009.1 behind", "0000000000000009.1 behind x"]
        {
            assert_eq!(Mark::read(text.as_bytes()), None, "{text}");
        }
    }
}
