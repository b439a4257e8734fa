//! What the jobs wrote, against what was due.

use std::{collections::BTreeMap, fmt};

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    rows: Vec<(String, Counts)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    due: usize,
    once: usize,
    twice: usize,
    missed: usize,
    restarted: usize,
}

/// How often a tick was started and how often done.
#[derive(Clone, Copy, Default)]
struct Runs {
    started: usize,
    done: usize,
}

impl Verdict {
    /// `due` has the ticks of each job.
    pub(crate) fn new(due: Vec<(String, Vec<u64>)>, written: &str) -> Self {
        let mut runs: BTreeMap<(&str, &str), Runs> = BTreeMap::new();
        for line in written.lines() {
            let mut words = line.split(' ');
            let (Some(what), Some(job), Some(tick)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let runs = runs.entry((job, tick)).or_default();
            match what {
                "start" => runs.started += 1,
                "done" => runs.done += 1,
                _ => {}
            }
        }
        let mut verdict = Self::default();
        for (job, ticks) in due {
            let mut counts = Counts { due: ticks.len(), ..Counts::default() };
            for tick in ticks {
                let runs = runs.get(&(job.as_str(), tick.to_string().as_str())).copied().unwrap_or_default();
                match runs.done {
                    0 => counts.missed += 1,
                    1 => counts.once += 1,
                    _ => counts.twice += 1,
                }
                counts.restarted += usize::from(runs.started > 1);
            }
            verdict.rows.push((job, counts));
        }
        verdict
    }

    /// Whether each tick that was due completed once.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|(_, counts)| counts.due == counts.once)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        *table.style_mut() = UTF8_BORDERS_ONLY;
        table.set_header([
            "job",
            "ticks due",
            "completed once",
            "completed twice",
            "missed",
            "interrupted and restarted",
        ]);
        for (job, counts) in &self.rows {
            let Counts { due, once, twice, missed, restarted } = counts;
            let numbers = [due, once, twice, missed, restarted].map(ToString::to_string);
            table.add_row(std::iter::once(job.clone()).chain(numbers));
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(written: &str) -> (bool, Counts) {
        let verdict = Verdict::new(vec![("a".to_owned(), vec![1, 2])], written);
        (verdict.holds(), verdict.rows[0].1)
    }

    #[test]
    fn it_holds_only_when_each_tick_was_done_once() {
        let counts = Counts { due: 2, ..Counts::default() };
        let all = "start a 1 7\ndone a 1 7\nstart a 2 8\nstart a 2 9\ndone a 2 9\n";
        assert_eq!(verdict(all), (true, Counts { once: 2, restarted: 1, ..counts }));
        let missed = "start a 1 7\ndone a 1 7\nstart a 2 8\ndone b 2 8\n";
        assert_eq!(verdict(missed), (false, Counts { once: 1, missed: 1, ..counts }));
        let twice = "done a 1 7\ndone a 2 8\ndone a 2 9\n";
        assert_eq!(verdict(twice), (false, Counts { once: 1, twice: 1, ..counts }));
        assert!(!verdict("").0);
    }
}
