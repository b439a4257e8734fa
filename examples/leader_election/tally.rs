//! How many work at a time, by what they write: `anna works 33` before anna does anything as the leader of
//! that term, and `anna stops` after it. `anna dies` is written when she does nothing any more.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Who works, in which term.
    at_work: HashMap<String, String>,
    most: usize,
}

impl Tally {
    pub(crate) fn note(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [name, "works", term] => {
                self.at_work.insert((*name).to_owned(), (*term).to_owned());
                self.most = self.most.max(self.at_work.len());
            }
            [name, "stops" | "dies"] => {
                self.at_work.remove(*name);
            }
            _ => {}
        }
    }

    pub(crate) fn has_begun(&self, name: &str, term: &str) -> bool {
        self.at_work.get(name).is_some_and(|its| its == term)
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(lines: &[&str]) -> usize {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.note(line));
        tally.most()
    }

    #[test]
    fn those_count_who_work_and_have_not_stopped() {
        assert_eq!(most(&[]), 0);
        assert_eq!(most(&["a works 1", "a stops", "b works 2", "b dies", "b stops", "a works 3"]), 1);
        assert_eq!(most(&["a works 1", "b works 2", "a stops", "b stops"]), 2);
        assert_eq!(most(&["a works 1", "b stops", "c works 2"]), 2);
    }

    #[test]
    fn only_that_term_has_begun() {
        let mut tally = Tally::default();
        tally.note("a works 1");
        assert!(tally.has_begun("a", "1") && !tally.has_begun("a", "2") && !tally.has_begun("b", "1"));
    }
}
