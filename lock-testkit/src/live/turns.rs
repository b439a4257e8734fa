//! Who of theirs and ours had which turn in one queue: all of them write it into one file.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use lock_core::{Coordinator, Guard, Result};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// For how long each holds, so that another who is let in at the same time shows.
const TURN: Duration = Duration::from_millis(10);

/// A file with a line `enter WHO TOKEN` and a line `leave WHO` for each turn.
#[derive(Debug)]
pub struct Turns {
    folder: TempDir,
}

impl Turns {
    /// An empty one.
    ///
    /// # Panics
    ///
    /// When there is no place for it.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Where it is.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The turn of ours with this number, in a task.
    ///
    /// # Panics
    ///
    /// When it is no name of a lock.
    #[must_use]
    pub fn ours(&self, user: &Coordinator, lock: &str, number: usize) -> JoinHandle<()> {
        let mutex = user.mutex(lock).unwrap();
        self.turn(format!("ours{number}"), async move { mutex.lock().await })
    }

    /// A turn of this name, in a task: as soon as it is granted.
    #[must_use]
    pub fn turn(
        &self,
        who: String,
        grant: impl Future<Output = Result<Guard>> + Send + 'static,
    ) -> JoinHandle<()> {
        let file = self.file();
        tokio::spawn(async move {
            let guard = grant.await.unwrap();
            write(&file, &format!("enter {who} {}\n", guard.token()));
            tokio::time::sleep(TURN).await;
            write(&file, &format!("leave {who}\n"));
            guard.release().await.unwrap();
        })
    }

    /// What is in it.
    ///
    /// # Panics
    ///
    /// When nobody has had a turn.
    #[must_use]
    pub fn written(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// Asserts that so many of ours and so many of theirs had their turns one by one, first `ours0`, then `theirs0`, then
    /// `ours1` and so on, and that their tokens rose, from above `before`.
    ///
    /// # Panics
    ///
    /// When it was otherwise.
    pub fn were_in_order(&self, each: usize, before: u64) {
        let written = self.written();
        let (mut lines, mut last) = (written.lines(), before);
        for number in 0..each {
            for who in ["ours", "theirs"] {
                let entered: Vec<&str> = lines.next().unwrap().split(' ').collect();
                let [enter, name, token] = entered[..] else { panic!("no entry:\n{written}") };
                assert_eq!([enter, name], ["enter", &format!("{who}{number}")], "in this order:\n{written}");
                let token = token.parse().unwrap();
                assert!(last < token, "{token} after {last}:\n{written}");
                last = token;
                assert_eq!(lines.next(), Some(&*format!("leave {who}{number}")), "alone:\n{written}");
            }
        }
        assert_eq!(lines.next(), None);
    }
}

/// In one piece, as the shell does it: they all write at the end of the same file.
fn write(file: &Path, entry: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(entry.as_bytes()).unwrap();
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn are_in_order(written: &str) -> bool {
        let turns = Turns::new();
        write(&turns.file(), written);
        catch_unwind(|| turns.were_in_order(1, 4)).is_ok()
    }

    #[test]
    fn turns_out_of_order_or_two_at_a_time_are_found_out() {
        assert!(are_in_order("enter ours0 5\nleave ours0\nenter theirs0 6\nleave theirs0\n"));
        for wrong in [
            "enter theirs0 5\nleave theirs0\nenter ours0 6\nleave ours0\n",
            "enter ours0 5\nenter theirs0 6\nleave ours0\nleave theirs0\n",
            "enter ours0 4\nleave ours0\nenter theirs0 6\nleave theirs0\n",
            "enter ours0 6\nleave ours0\nenter theirs0 5\nleave theirs0\n",
            "enter ours0 5\nleave ours0\n",
            "enter ours0 5\nleave ours0\nenter theirs0 6\nleave theirs0\nenter ours1 7\n",
        ] {
            assert!(!are_in_order(wrong), "{wrong}");
        }
    }
}
