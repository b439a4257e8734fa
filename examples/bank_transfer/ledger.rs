//! What becomes of the transfers, by what the clerks write: `clerk-1 moves 7 from anna to bert` when it has
//! locked both, and then `clerk-1 is done` or `clerk-1 finds an account changed`, or, when it is told to,
//! `clerk-1 stands still`. `clerk-1 dies` is written when it does nothing any more.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The accounts that each has locked.
    under_way: BTreeMap<String, [String; 2]>,
    standing_still: BTreeSet<String>,
    done: usize,
    /// How often an account was changed although it was locked.
    broken: usize,
    /// How many died in the middle of a transfer.
    died: usize,
    /// What they had locked, and nobody has used since.
    locked_by_the_dead: BTreeSet<String>,
}

impl Ledger {
    pub(crate) fn note(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [name, "moves", _, "from", from, "to", to] => {
                self.under_way.insert((*name).to_owned(), [from, to].map(|account| (*account).to_owned()));
            }
            [name, "is", "done"] => {
                self.done += 1;
                for account in self.under_way.remove(*name).into_iter().flatten() {
                    self.locked_by_the_dead.remove(&account);
                }
            }
            [_, "finds", "an", "account", "changed"] => self.broken += 1,
            [name, "stands", "still"] => {
                self.standing_still.insert((*name).to_owned());
            }
            [name, "dies"] => {
                self.standing_still.remove(*name);
                if let Some(locked) = self.under_way.remove(*name) {
                    self.died += 1;
                    self.locked_by_the_dead.extend(locked);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn done(&self) -> usize {
        self.done
    }

    pub(crate) fn stands_still(&self, name: &str) -> bool {
        self.standing_still.contains(name)
    }

    pub(crate) fn nothing_is_locked_by_the_dead(&self) -> bool {
        self.locked_by_the_dead.is_empty()
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        if self.broken > 0 {
            return Err(format!("{} times an account was changed that was locked", self.broken));
        }
        if self.died == 0 {
            return Err("nobody died in the middle of a transfer".to_owned());
        }
        if !self.nothing_is_locked_by_the_dead() {
            return Err(format!("nobody has used {:?} since its holder died", self.locked_by_the_dead));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(lines: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        lines.iter().for_each(|line| ledger.note(line));
        ledger
    }

    const GOOD: [&str; 7] = [
        "x moves 7 from a to b",
        "x stands still",
        "x dies",
        "y moves 1 from c to a",
        "y is done",
        "z moves 0 from b to c",
        "z is done",
    ];

    #[test]
    fn it_is_good_only_when_money_moves_again_on_what_the_dead_had_locked() {
        let good = ledger(&GOOD);
        assert_eq!((good.verdict(), good.done()), (Ok(()), 2));
        let error = |lines: &[&str]| ledger(lines).verdict().unwrap_err();
        assert_eq!(error(&GOOD[..5]), r#"nobody has used {"b"} since its holder died"#);
        assert_eq!(error(&GOOD[..6]), r#"nobody has used {"b"} since its holder died"#);
        let between_transfers = ["x moves 7 from a to b", "x is done", "x dies"];
        assert_eq!(error(&between_transfers), "nobody died in the middle of a transfer");
    }

    #[test]
    fn a_lock_that_does_not_protect_is_found_out() {
        let broken = [&GOOD[..], &["y moves 1 from a to b", "y finds an account changed"]].concat();
        let broken = ledger(&broken).verdict();
        assert_eq!(broken, Err("1 times an account was changed that was locked".to_owned()));
    }

    #[test]
    fn who_stands_still_does_so_until_it_dies() {
        assert!(ledger(&GOOD[..2]).stands_still("x"));
        assert!(!ledger(&GOOD[..1]).stands_still("x") && !ledger(&GOOD[..3]).stands_still("x"));
    }
}
