//! The section of `docs/performance.md`.

use std::fmt::Write as _;

use super::{
    figures::{Measures, Outcome, Program, Section},
    goals,
    plan::{Case, Environment, Mode},
};

/// Goals, plot and tables of all environments that were measured.
pub(super) fn page(sections: &[Section]) -> String {
    let mut text = goals_table(sections);
    text += "\n![Turns per second against waiters](performance/etcd.svg)\n";
    for environment in Environment::ALL {
        match sections.iter().find(|section| section.environment == environment) {
            Some(section) => text += &section_text(section),
            None => add(&mut text, format_args!("\n### {}\n\nNot measured.\n", capital(environment))),
        }
    }
    text
}

/// One environment.
pub(super) fn section_text(section: &Section) -> String {
    let Section { environment, setting, seconds, .. } = section;
    let mut text = format!("\n### {}\n\n{setting}; {seconds} s a run.\n\n", capital(*environment));
    text += "| clients | sessions | turns/s | p50 µs | p99 µs | in order | requests/turn | writes/turn | \
             MiB (process) | puts/s | ÷ puts | Go: turns/s | ÷ Go |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    let mut failures = String::new();
    for case in Case::all() {
        let go = section.outcome(case, Program::Go);
        for sessions in case.sessions() {
            let Some(ours) = section.outcome(case, Program::Ours(sessions)) else { continue };
            text += &row(case, sessions, &ours, go.as_ref());
            if let Err(why) = ours {
                add(&mut failures, format_args!("- {}, {sessions} sessions: {why}\n", clients(case)));
            }
        }
        if let Some(Err(why)) = go {
            add(&mut failures, format_args!("- {}, Go: {why}\n", clients(case)));
        }
    }
    if !failures.is_empty() {
        add(&mut text, format_args!("\nFailed:\n\n{failures}"));
    }
    text
}

/// What became of each goal in each environment.
pub(super) fn goals_table(sections: &[Section]) -> String {
    let columns: Vec<Vec<goals::Goal>> = sections.iter().map(goals::of).collect();
    let mut text = "| goal |".to_owned();
    for section in sections {
        add(&mut text, format_args!(" {} |", section.environment));
    }
    text += &format!("\n|---|{}\n", "---|".repeat(sections.len()));
    let rows = columns.first().map_or(0, Vec::len);
    for number in 0..rows {
        let goals: Vec<&goals::Goal> = columns.iter().filter_map(|column| column.get(number)).collect();
        add(&mut text, format_args!("| {} |", goals.first().map_or("", |goal| goal.text)));
        for goal in goals {
            let verdict = match goal.met() {
                Some(true) => ": met",
                Some(false) => ": **missed**",
                None => "",
            };
            add(&mut text, format_args!(" {}{verdict} |", goal.figure()));
        }
        text.push('\n');
    }
    text
}

fn row(case: Case, sessions: usize, ours: &Outcome, go: Option<&Outcome>) -> String {
    let mut cells = vec![clients(case), sessions.to_string()];
    match ours {
        Ok(ours) => cells.extend(figures(ours)),
        Err(_) => cells.extend(["failed", "", "", "", "", "", "", "", ""].map(str::to_owned)),
    }
    let (speed, ratio) = match (go, ours) {
        (None, _) => (String::new(), String::new()),
        (Some(Err(_)), _) => ("failed".to_owned(), String::new()),
        (Some(Ok(go)), Err(_)) => (format!("{:.0}", go.ops_per_s), String::new()),
        (Some(Ok(go)), Ok(ours)) => {
            (format!("{:.0}", go.ops_per_s), format!("{:.2}", ours.ops_per_s / go.ops_per_s))
        }
    };
    cells.extend([speed, ratio]);
    format!("| {} |\n", cells.join(" | "))
}

fn figures(ours: &Measures) -> [String; 9] {
    let figure =
        |value: Option<f64>, digits| value.map(|value| format!("{value:.digits$}")).unwrap_or_default();
    let in_order = ours.fifo.map_or("", |kept| if kept { "yes" } else { "NO" });
    [
        figure(Some(ours.ops_per_s), 0),
        figure(ours.p50_us, 0),
        figure(ours.p99_us, 0),
        in_order.to_owned(),
        figure(ours.requests_per_turn, 2),
        figure(ours.writes_per_turn, 2),
        format!("{} ({})", figure(ours.rss_mib, 1), figure(ours.process_mib, 0)),
        figure(ours.put_per_s, 0),
        figure(ours.put_per_s.map(|puts| ours.ops_per_s / puts), 2),
    ]
}

fn clients(case: Case) -> String {
    match case.mode {
        Mode::Uncontended => "1, alone".to_owned(),
        Mode::Spread => format!("{}, each on its own lock", case.clients),
        Mode::Contended => format!("{} on one lock", thousands(case.clients)),
    }
}

fn thousands(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

fn capital(environment: Environment) -> String {
    let name = environment.to_string();
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

fn add(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            figures::{Run, tests::section},
            plan::{UNCONTENDED, contended},
        },
        *,
    };

    fn measures(ops_per_s: f64) -> Measures {
        Measures {
            ops_per_s,
            p50_us: Some(1000.4),
            p99_us: Some(2000.6),
            fifo: Some(true),
            requests_per_turn: Some(3.001),
            writes_per_turn: Some(2.5),
            rss_mib: Some(0.25),
            process_mib: Some(12.3),
            put_per_s: Some(2_000.0),
        }
    }

    #[test]
    fn a_section_has_figures_ratios_and_failures() {
        let run = |case, program, outcome| Run { case, program, outcome };
        let text = section_text(&section(vec![
            run(contended(4_000), Program::Ours(1), Ok(measures(900.0))),
            run(contended(4_000), Program::Ours(64), Err("lost".to_owned())),
            run(contended(4_000), Program::Go, Err("timed out".to_owned())),
            run(UNCONTENDED, Program::Ours(1), Ok(Measures { fifo: None, ..measures(1000.0) })),
            run(UNCONTENDED, Program::Go, Ok(measures(800.0))),
        ]));
        for line in [
            "### One member, tmpfs",
            "a machine; 3 s a run.",
            "| 1, alone | 1 | 1000 | 1000 | 2001 |  | 3.00 | 2.50 | 0.2 (12) | 2000 | 0.50 | 800 | 1.25 |",
            "| 4,000 on one lock | 1 | 900 | 1000 | 2001 | yes | 3.00 | 2.50 | 0.2 (12) | 2000 | 0.45 | failed |  |",
            "| 4,000 on one lock | 64 | failed |  |  |  |  |  |  |  |  | failed |  |",
            "- 4,000 on one lock, 64 sessions: lost",
            "- 4,000 on one lock, Go: timed out",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        let columns: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [14; 5]);
    }

    #[test]
    fn the_page_has_every_environment_and_says_what_was_not_measured() {
        let mut disk = section(Vec::new());
        disk.environment = Environment::Disk3;
        let runs =
            vec![Run { case: contended(10_000), program: Program::Ours(1), outcome: Err("x".to_owned()) }];
        let text = page(&[section(runs), disk]);
        assert!(
            text.starts_with("| goal | one member, tmpfs | three members, disk |\n|---|---|---|\n"),
            "{text}"
        );
        let failures = text.lines().find(|line| line.contains("met an error")).unwrap();
        assert!(failures.ends_with("| 1: **missed** | not measured |"), "{failures}");
        assert!(text.contains("### Three members, tmpfs\n\nNot measured.\n"), "{text}");
        assert!(!text.contains("### Three members, disk\n\nNot measured.\n"), "{text}");
    }
}
