//! What went wrong, told so that ten thousand clients with one trouble are one line.

/// One line for all who tell the same, by the first of them: `client 7: why (and 9 more)`.
pub(crate) fn folded(problems: Vec<String>) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for problem in problems {
        match lines.iter_mut().find(|(first, _)| what(first) == what(&problem)) {
            Some((_, more)) => *more += 1,
            None => lines.push((problem, 0)),
        }
    }
    let line = |(first, more)| if more == 0 { first } else { format!("{first} (and {more} more)") };
    lines.into_iter().map(line).collect()
}

/// The kind of whom it befell, and what it was.
fn what(problem: &str) -> (&str, &str) {
    let (whom, what) = problem.split_once(": ").unwrap_or(("", problem));
    (whom.trim_end_matches(|c: char| c.is_ascii_digit()), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once() {
        let problems = [
            "client 7: no: answer",
            "session 0: no: answer",
            "client 12: no: answer",
            "odd",
            "client 1: lost",
        ];
        let lines = folded(problems.map(str::to_owned).to_vec());
        assert_eq!(
            lines,
            ["client 7: no: answer (and 1 more)", "session 0: no: answer", "odd", "client 1: lost"]
        );
    }
}
