//! The section of `docs/performance.md`.

use std::fmt::Write as _;

use super::{
    figures::{Measures, Outcome, Section},
    plan::{Case, Environment, Mode},
    store::Store,
};

/// Goals, plot and tables of all environments that were measured.
pub(super) fn page(store: &Store, sections: &[Section]) -> String {
    let mut text = goals_table(store, sections);
    if !sections.is_empty() {
        add(
            &mut text,
            format_args!("\n![Turns per second against waiters](performance/{}.svg)\n", store.name),
        );
    }
    for environment in Environment::ALL {
        match sections.iter().find(|section| section.environment == environment) {
            Some(section) => text += &section_text(store, section),
            None => add(&mut text, format_args!("\n### {}\n\nNot measured.\n", capital(environment))),
        }
    }
    text
}

/// One environment.
pub(super) fn section_text(store: &Store, section: &Section) -> String {
    let Section { environment, setting, seconds, .. } = section;
    let mut text =
        format!("\n### {}\n\n{setting}; {seconds} s a run.\n\n{}", capital(*environment), head(store));
    let mut failures = String::new();
    for case in Case::all() {
        let peers: Vec<Option<Outcome>> =
            store.peers.iter().map(|peer| section.peer(case, peer.name)).collect();
        for sessions in case.sessions() {
            let Some(ours) = section.ours(case, sessions) else { continue };
            text += &row(case, sessions, &ours, &peers);
            if let Err(why) = ours {
                add(&mut failures, format_args!("- {}, {sessions} sessions: {why}\n", clients(case)));
            }
        }
        for (peer, outcome) in store.peers.iter().zip(peers) {
            if let Some(Err(why)) = outcome {
                add(&mut failures, format_args!("- {}, {}: {why}\n", clients(case), peer.name));
            }
        }
    }
    if !failures.is_empty() {
        add(&mut text, format_args!("\nFailed:\n\n{failures}"));
    }
    text
}

/// What became of each goal in each environment.
pub(super) fn goals_table(store: &Store, sections: &[Section]) -> String {
    let mut text = "| goal |".to_owned();
    for section in sections {
        add(&mut text, format_args!(" {} |", section.environment));
    }
    text += &format!("\n|---|{}\n", "---|".repeat(sections.len()));
    for goal in store.goals {
        add(&mut text, format_args!("| {} |", goal.text));
        for verdict in sections.iter().map(|section| goal.verdict(section)) {
            let met = match verdict.met() {
                Some(true) => ": met",
                Some(false) => ": **missed**",
                None => "",
            };
            add(&mut text, format_args!(" {}{met} |", verdict.figure()));
        }
        text.push('\n');
    }
    text
}

/// The head of an environment's table.
fn head(store: &Store) -> String {
    let yardstick = store.yardstick;
    let mut columns: Vec<String> =
        ["clients", "sessions", "turns/s", "p50 µs", "p99 µs", "in order", "requests/turn", "writes/turn"]
            .map(str::to_owned)
            .to_vec();
    columns.extend(["MiB (process)".to_owned(), format!("{yardstick}/s"), format!("÷ {yardstick}")]);
    for peer in store.peers {
        columns.extend([format!("{}: turns/s", peer.name), format!("÷ {}", peer.name)]);
    }
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

fn row(case: Case, sessions: usize, ours: &Outcome, peers: &[Option<Outcome>]) -> String {
    let mut cells = vec![clients(case), sessions.to_string()];
    match ours {
        Ok(ours) => cells.extend(figures(ours)),
        Err(_) => cells.extend(["failed", "", "", "", "", "", "", "", ""].map(str::to_owned)),
    }
    cells.extend(peers.iter().flat_map(|peer| beside(ours, peer.as_ref())));
    format!("| {} |\n", cells.join(" | "))
}

/// A peer's turns, and ours by them.
fn beside(ours: &Outcome, peer: Option<&Outcome>) -> [String; 2] {
    match (peer, ours) {
        (None, _) => [String::new(), String::new()],
        (Some(Err(_)), _) => ["failed".to_owned(), String::new()],
        (Some(Ok(peer)), Err(_)) => [format!("{:.0}", peer.ops_per_s), String::new()],
        (Some(Ok(peer)), Ok(ours)) => {
            [format!("{:.0}", peer.ops_per_s), format!("{:.2}", ours.ops_per_s / peer.ops_per_s)]
        }
    }
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
            etcd::ETCD,
            figures::{
                Program, Run,
                tests::{peer, section},
            },
            plan::{UNCONTENDED, contended},
            zookeeper::ZOOKEEPER,
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
        let text = section_text(
            &ETCD,
            &section(vec![
                run(contended(4_000), Program::Ours(1), Ok(measures(900.0))),
                run(contended(4_000), Program::Ours(64), Err("lost".to_owned())),
                run(contended(4_000), peer("Go"), Err("timed out".to_owned())),
                run(UNCONTENDED, Program::Ours(1), Ok(Measures { fifo: None, ..measures(1000.0) })),
                run(UNCONTENDED, peer("Go"), Ok(measures(800.0))),
            ]),
        );
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
    fn each_peer_has_columns() {
        let run = |program, speed| Run { case: contended(2), program, outcome: Ok(measures(speed)) };
        let text = section_text(
            &ZOOKEEPER,
            &section(vec![
                run(Program::Ours(1), 900.0),
                run(peer("Curator"), 600.0),
                Run { outcome: Err("slow".to_owned()), ..run(peer("kazoo"), 1.0) },
            ]),
        );
        for line in [
            "| 2 on one lock | 1 | 900 | 1000 | 2001 | yes | 3.00 | 2.50 | 0.2 (12) | 2000 | 0.45 | 600 | 1.50 | failed |  |",
            "- 2 on one lock, kazoo: slow",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        let head = text.lines().find(|line| line.starts_with("| clients")).unwrap();
        let end = "| creates/s | ÷ creates | Curator: turns/s | ÷ Curator | kazoo: turns/s | ÷ kazoo |";
        assert!(head.ends_with(end), "{head}");
        let columns = text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count());
        assert_eq!(columns.collect::<Vec<_>>(), [16; 3]);
    }

    #[test]
    fn a_store_that_was_not_measured_has_its_goals_and_no_plot() {
        let text = page(&ZOOKEEPER, &[]);
        assert!(text.starts_with("| goal |\n|---|\n| turns/s, most ÷ least"), "{text}");
        assert_eq!(text.matches("Not measured.").count(), 4);
        assert!(!text.contains(".svg"), "{text}");
    }

    #[test]
    fn the_page_has_every_environment_and_says_what_was_not_measured() {
        let mut disk = section(Vec::new());
        disk.environment = Environment::Disk3;
        let runs =
            vec![Run { case: contended(10_000), program: Program::Ours(1), outcome: Err("x".to_owned()) }];
        let text = page(&ETCD, &[section(runs), disk]);
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
