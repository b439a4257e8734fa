//! What readers and writers do, by what they write down: `reader-1 reads` when it may, `reader-1 sees 7 7`,
//! `reader-1 has read` while it still may; `writer-1 waits`, `writer-1 writes`, `writer-1 has written`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

#[derive(Debug, Default)]
pub(crate) struct Witness {
    reading: BTreeSet<String>,
    writing: BTreeSet<String>,
    /// How many have begun to read since a writer began to wait.
    waiting: BTreeMap<String, usize>,
    /// The most that have done so before one writer.
    most_before_a_writer: usize,
    most_readers: usize,
    seen: usize,
    written: BTreeMap<String, usize>,
    wrong: Option<String>,
}

impl Witness {
    pub(crate) fn note(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [name, "reads"] => {
                self.reading.insert((*name).to_owned());
                self.most_readers = self.most_readers.max(self.reading.len());
                self.waiting.values_mut().for_each(|readers| *readers += 1);
                self.look(name, "reads");
            }
            [name, "sees", address, certificate] => {
                self.seen += 1;
                if address != certificate {
                    self.is_wrong(format!("{name} saw {address} with {certificate}"));
                }
            }
            [name, "has", "read"] => drop(self.reading.remove(*name)),
            [name, "waits"] => drop(self.waiting.insert((*name).to_owned(), 0)),
            [name, "writes"] => {
                let before = self.waiting.remove(*name).unwrap_or_default();
                self.most_before_a_writer = self.most_before_a_writer.max(before);
                self.writing.insert((*name).to_owned());
                self.look(name, "writes");
            }
            [name, "has", "written"] => {
                self.writing.remove(*name);
                *self.written.entry((*name).to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Whether a writer is alone.
    fn look(&mut self, name: &str, does: &str) {
        if !self.writing.is_empty() && self.writing.len() + self.reading.len() > 1 {
            self.is_wrong(format!(
                "{name} {does} while {:?} write and {:?} read",
                self.writing, self.reading
            ));
        }
    }

    /// The first that is wrong counts.
    fn is_wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// How many have ever read at a time.
    pub(crate) fn most_at_a_time(&self) -> usize {
        self.most_readers
    }

    pub(crate) fn written_by(&self, name: &str) -> usize {
        self.written.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        if self.most_readers < 2 {
            return Err("nobody ever read together with somebody else".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { seen, most_readers, most_before_a_writer, .. }, written) =
            (self, self.written.values().sum::<usize>());
        writeln!(f, "read {seen} times, by {most_readers} at a time; written {written} times")?;
        write!(f, "at most {most_before_a_writer} began to read while a writer waited")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Result<(), String> {
        let mut witness = Witness::default();
        lines.iter().for_each(|line| witness.note(line));
        witness.verdict()
    }

    const GOOD: [&str; 12] = [
        "a reads",
        "b reads",
        "w waits",
        "a sees 1 1",
        "a has read",
        "b has read",
        "w writes",
        "w has written",
        "w reads",
        "a reads",
        "a sees 2 2",
        "w has read",
    ];

    #[test]
    fn a_pair_that_does_not_fit_is_wrong() {
        assert_eq!(verdict(&GOOD), Ok(()));
        assert_eq!(verdict(&[&GOOD[..], &["a sees 2 3"]].concat()), Err("a saw 2 with 3".to_owned()));
    }

    #[test]
    fn a_writer_is_alone() {
        let together = [&GOOD[..8], &["v writes", "a reads"]].concat();
        let error = r#"a reads while {"v"} write and {"a"} read"#;
        assert_eq!(verdict(&together), Err(error.to_owned()));
        let together = [&GOOD[..8], &["a reads", "v writes"]].concat();
        let error = r#"v writes while {"v"} write and {"a"} read"#;
        assert_eq!(verdict(&together), Err(error.to_owned()));
        assert!(
            verdict(&["a reads", "b reads", "a has read", "b has read", "v writes", "w writes"]).is_err()
        );
    }

    #[test]
    fn readers_read_at_a_time() {
        let one_by_one = ["a reads", "a has read", "b reads", "b has read"];
        assert_eq!(verdict(&one_by_one), Err("nobody ever read together with somebody else".to_owned()));
    }

    #[test]
    fn those_are_counted_who_read_before_a_writer() {
        let mut witness = Witness::default();
        let lines = ["a reads", "w waits", "b reads", "c reads", "a has read", "b has read", "c has read"];
        lines.iter().for_each(|line| witness.note(line));
        let lines = ["w writes", "w has written", "w reads"];
        lines.iter().for_each(|line| witness.note(line));
        assert_eq!((witness.most_before_a_writer, witness.most_at_a_time()), (2, 3));
        assert_eq!((witness.written_by("w"), witness.written_by("a")), (1, 0));
    }
}
