//! The data of a line's queue: how far it has come.

/// What the queue's own data says. Whoever leaves as the head writes it, in the same transaction; a
/// withdrawal and a crash leave it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Every sequence up to this one is gone; -1: none is known to be.
    pub(crate) gone: i64,
    /// Whether somebody may hold behind the gate. What has never been written says nothing of that: the
    /// server removes a queue that is empty, data and all, while others may still hold.
    pub(crate) held: bool,
}

const HELD: &str = "held";

impl Floor {
    /// Of a queue that nobody has left as its head.
    pub(crate) const FRESH: Self = Self { gone: -1, held: true };

    /// Whether somebody has left it right below this sequence: then whoever has that is the head as soon as it is
    /// there, and what is said of those behind the gate holds until it leaves.
    pub(crate) const fn is_right_below(self, sequence: i64) -> bool {
        // What stands there may be anybody's: no number is too large to be read.
        self.gone >= 0 && self.gone == sequence.saturating_sub(1)
    }

    /// The floor that these bytes say. What is not ours to understand says nothing.
    pub(crate) fn read(data: &[u8]) -> Self {
        let read = || {
            let mut words = std::str::from_utf8(data).ok()?.split(' ');
            let gone = words.next()?.parse().ok().filter(|gone| *gone >= 0)?;
            match (words.next(), words.next()) {
                (None, _) => Some(Self { gone, held: false }),
                (Some(HELD), None) => Some(Self { gone, held: true }),
                _ => None,
            }
        };
        read().unwrap_or(Self::FRESH)
    }

    pub(crate) fn write(self) -> String {
        if self.held { format!("{} {HELD}", self.gone) } else { self.gone.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_comes_back() {
        for (floor, text) in
            [(Floor { gone: 7, held: false }, "7"), (Floor { gone: 0, held: true }, "0 held")]
        {
            assert_eq!(floor.write(), text);
            assert_eq!(Floor::read(text.as_bytes()), floor);
        }
    }

    #[test]
    fn only_a_floor_that_was_left_is_right_below_anybody() {
        let right_below = |gone, sequence| Floor { gone, held: false }.is_right_below(sequence);
        assert!(right_below(0, 1) && right_below(6, 7));
        assert!(!right_below(5, 7) && !right_below(7, 7) && !Floor::FRESH.is_right_below(0));
    }

    #[test]
    fn what_is_no_floor_says_nothing() {
        for data in [&b""[..], b"x", b"-2", b"7 ", b"7 held ", b"7 free", b"\xff", b"99999999999999999999"] {
            assert_eq!(Floor::read(data), Floor::FRESH, "{data:?}");
        }
    }
}
