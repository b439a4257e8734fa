//! Which instances are up, by what is written: `instance-1 is up`, `instance-1 is down`, and `instance-1 is
//! through` when the last barrier has been passed.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Fleet {
    size: usize,
    at_a_time: usize,
    /// How often each has come up.
    starts: BTreeMap<String, usize>,
    down: BTreeSet<String>,
    most_down: usize,
    through: BTreeSet<String>,
    wrong: Option<String>,
}

impl Fleet {
    pub(crate) fn of(size: usize, at_a_time: usize) -> Self {
        let (starts, down, through) = Default::default();
        Self { size, at_a_time, starts, down, most_down: 0, through, wrong: None }
    }

    pub(crate) fn note(&mut self, line: &str) {
        let Some((name, what)) = line.split_once(' ') else { return };
        match what {
            "is up" => {
                self.down.remove(name);
                *self.starts.entry(name.to_owned()).or_default() += 1;
            }
            // Who is through may end.
            "is down" if !self.through.contains(name) => {
                if self.starts.len() < self.size {
                    self.is_wrong(format!("{name} went down when {} had come up", self.starts.len()));
                }
                self.down.insert(name.to_owned());
                self.most_down = self.most_down.max(self.down.len());
            }
            "is through" => {
                let restarted = self.starts.values().filter(|starts| **starts > 1).count();
                if restarted < self.size {
                    self.is_wrong(format!("{name} was through when {restarted} had been restarted"));
                }
                self.through.insert(name.to_owned());
            }
            _ => {}
        }
    }

    /// The first that is wrong counts.
    fn is_wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    pub(crate) fn all_are_through(&self) -> bool {
        self.through.len() == self.size
    }

    /// How many were ever down at a time.
    pub(crate) fn most_down(&self) -> usize {
        self.most_down
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        if self.most_down > self.at_a_time {
            return Err(format!("{} were down at a time", self.most_down));
        }
        if let Some((name, starts)) = self.starts.iter().find(|(_, starts)| **starts != 2) {
            return Err(format!("{name} came up {starts} times, not twice"));
        }
        if self.all_are_through() { Ok(()) } else { Err(format!("{} are through", self.through.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 8] = [
        "a is up",
        "b is up",
        "a is down",
        "a is up",
        "b is down",
        "b is up",
        "b is through",
        "a is through",
    ];

    /// Two instances of which one may be down, when these lines come in this order.
    fn fleet(order: &[usize]) -> Fleet {
        let mut fleet = Fleet::of(2, 1);
        order.iter().for_each(|line| fleet.note(GOOD[*line]));
        fleet
    }

    fn error(order: &[usize]) -> String {
        fleet(order).verdict().unwrap_err()
    }

    #[test]
    fn it_is_good_only_when_each_was_restarted_once() {
        let good = fleet(&[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((good.verdict(), good.most_down()), (Ok(()), 1));
        assert_eq!(fleet(&[0, 1, 2, 3, 4, 5, 6, 7, 2, 4]).verdict(), Ok(()));
        assert_eq!(error(&[0, 1, 2, 3, 2, 3, 4, 5, 6, 7]), "a came up 3 times, not twice");
        assert_eq!(error(&[0, 1, 2, 3, 4, 5, 6]), "1 are through");
    }

    #[test]
    fn none_goes_down_before_all_are_up() {
        assert_eq!(error(&[0, 2, 1, 3, 4, 5, 6, 7]), "a went down when 1 had come up");
    }

    #[test]
    fn no_more_are_down_at_a_time_than_may_be() {
        assert_eq!(error(&[0, 1, 2, 4, 3, 5, 6, 7]), "2 were down at a time");
    }

    #[test]
    fn nobody_goes_on_before_all_have_been_restarted() {
        assert_eq!(error(&[0, 1, 2, 3, 7, 4, 5, 6]), "a was through when 1 had been restarted");
    }
}
