//! How many licences are in use, by what the workers write: `anna uses 2` before she uses them, and `anna has
//! stopped` after it. `anna dies` is written when she does nothing any more.

use std::collections::BTreeMap;

pub(crate) struct Usage {
    licences: u32,
    in_use: BTreeMap<String, u32>,
    most: u32,
    /// How often each has used some, and stopped.
    turns: BTreeMap<String, usize>,
    /// Whether one died while it used some.
    died: bool,
    most_without_the_dead: u32,
}

impl Usage {
    pub(crate) fn new(licences: u32) -> Self {
        let (in_use, turns) = Default::default();
        Self { licences, in_use, most: 0, turns, died: false, most_without_the_dead: 0 }
    }

    pub(crate) fn note(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [name, "uses", number] => {
                let number = number.parse().unwrap_or(u32::MAX);
                self.in_use.insert((*name).to_owned(), number);
                let all = self.in_use.values().fold(0, |sum: u32, number| sum.saturating_add(*number));
                self.most = self.most.max(all);
                if self.died {
                    self.most_without_the_dead = self.most_without_the_dead.max(all);
                }
            }
            [name, "has", "stopped"] => {
                self.in_use.remove(*name);
                *self.turns.entry((*name).to_owned()).or_default() += 1;
            }
            [name, "dies"] => {
                // A task that is cut off still writes that it has stopped.
                self.died |= self.in_use.remove(*name).is_some() || self.turns.remove(*name).is_some();
            }
            _ => {}
        }
    }

    pub(crate) fn uses(&self, name: &str) -> bool {
        self.in_use.contains_key(name)
    }

    /// How many turns each has had, of those who live.
    pub(crate) fn turns(&self) -> impl Iterator<Item = usize> {
        self.turns.values().copied()
    }

    /// How many were ever in use at a time.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    /// Whether all have been in use since somebody died who used some.
    pub(crate) fn all_without_the_dead(&self) -> bool {
        self.most_without_the_dead >= self.licences
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        if self.most != self.licences {
            return Err(format!("{} licences in use at a time, of {}", self.most, self.licences));
        }
        if !self.all_without_the_dead() {
            return Err("the licences of the dead have not come back".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(lines: &[&str]) -> Usage {
        let mut usage = Usage::new(3);
        lines.iter().for_each(|line| usage.note(line));
        usage
    }

    const GOOD: [&str; 7] =
        ["a uses 1", "b uses 2", "b has stopped", "a dies", "c uses 1", "b uses 2", "c has stopped"];

    #[test]
    fn those_count_that_are_in_use_at_a_time() {
        assert_eq!(usage(&["a uses 1", "b uses 1", "a has stopped", "c uses 2", "a has stopped"]).most(), 3);
        assert_eq!(usage(&["a uses 1", "a has stopped", "a uses 2", "a has stopped"]).most(), 2);
        let twice = usage(&GOOD);
        assert_eq!(twice.turns().collect::<Vec<_>>(), [1, 1]);
        assert!(twice.uses("b") && !twice.uses("c"));
    }

    #[test]
    fn it_is_good_only_when_all_were_in_use_and_never_more_and_those_of_the_dead_came_back() {
        assert_eq!(usage(&GOOD).verdict(), Ok(()));
        let error = |lines: &[&str]| usage(lines).verdict().unwrap_err();
        assert_eq!(error(&["a uses 2"]), "2 licences in use at a time, of 3");
        assert_eq!(error(&[&GOOD[..], &["d uses 2"]].concat()), "4 licences in use at a time, of 3");
        let back = "the licences of the dead have not come back";
        assert_eq!(error(&GOOD[..5]), back);
        assert_eq!(error(&["a uses 3", "a has stopped", "b dies", "a uses 3"]), back);
    }

    #[test]
    fn a_task_that_is_cut_off_has_no_turn() {
        let cut = usage(&["a uses 3", "a has stopped", "a dies", "b uses 3"]);
        assert_eq!((cut.verdict(), cut.turns().count()), (Ok(()), 0));
    }
}
