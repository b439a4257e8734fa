//! What was measured, and what several runs of one case say together.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::plan::{Case, Environment};

/// Everything that was measured in one environment, in one go: its figures compare.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) environment: Environment,
    /// When, on what, with which versions.
    pub(super) setting: String,
    /// How long each run measured.
    pub(super) seconds: u64,
    /// In the order in which they were made.
    pub(super) runs: Vec<Run>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    #[serde(flatten)]
    pub(super) case: Case,
    pub(super) program: Program,
    pub(super) outcome: Outcome,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { mode, clients } = self.case;
        match &self.program {
            Program::Ours(sessions) => write!(f, "{mode} {clients}, ours with {sessions} sessions: ")?,
            Program::Peer(name) => write!(f, "{mode} {clients}, {name}: ")?,
        }
        match &self.outcome {
            Ok(measures) => write!(f, "{:.0} turns/s", measures.ops_per_s),
            Err(why) => write!(f, "failed: {why}"),
        }
    }
}

/// Figures, or what went wrong.
pub(super) type Outcome = Result<Measures, String>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Program {
    /// With so many sessions.
    Ours(usize),
    /// By its name.
    Peer(String),
}

impl Run {
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.program, Program::Ours(_))
    }
}

/// The figures of a run; what a program does not tell is none. `lock-bench` explains its own in its
/// `report.rs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Measures {
    pub(super) ops_per_s: f64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) fifo: Option<bool>,
    pub(super) requests_per_turn: Option<f64>,
    pub(super) writes_per_turn: Option<f64>,
    pub(super) rss_mib: Option<f64>,
    pub(super) process_mib: Option<f64>,
    pub(super) put_per_s: Option<f64>,
}

impl Measures {
    /// From the line that a peer prints, such as `… ops/s=60 p50us=1147 p99us=105085 n=231`.
    pub(super) fn of_peer(line: &str) -> Option<Self> {
        let figure = |name: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        let (ops_per_s, p50_us, p99_us) = (figure("ops/s")?, figure("p50us")?, figure("p99us")?);
        Some(Self { ops_per_s, p50_us: Some(p50_us), p99_us: Some(p99_us), ..Self::default() })
    }

    /// The median of each figure.
    fn median(all: &[Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> Option<f64>| {
            median(all.iter().map(figure).collect::<Option<Vec<f64>>>().unwrap_or_default())
        };
        let fifo: Option<Vec<bool>> = all.iter().map(|one| one.fifo).collect();
        Some(Self {
            ops_per_s: of(|one| Some(one.ops_per_s))?,
            p50_us: of(|one| one.p50_us),
            p99_us: of(|one| one.p99_us),
            fifo: fifo.map(|kept| kept.into_iter().all(|kept| kept)),
            requests_per_turn: of(|one| one.requests_per_turn),
            writes_per_turn: of(|one| one.writes_per_turn),
            rss_mib: of(|one| one.rss_mib),
            process_mib: of(|one| one.process_mib),
            put_per_s: of(|one| one.put_per_s),
        })
    }
}

impl Section {
    /// What all runs of ours with so many sessions say together.
    pub(super) fn ours(&self, case: Case, sessions: usize) -> Option<Outcome> {
        self.outcome(case, |program| *program == Program::Ours(sessions))
    }

    /// What all runs of this peer say together.
    pub(super) fn peer(&self, case: Case, peer: &str) -> Option<Outcome> {
        self.outcome(case, |program| matches!(program, Program::Peer(name) if name == peer))
    }

    /// Nothing when there is no run of it, and the first failure if one failed.
    fn outcome(&self, case: Case, is_it: impl Fn(&Program) -> bool) -> Option<Outcome> {
        let runs = self.runs.iter().filter(|run| run.case == case && is_it(&run.program));
        let all: Outcomes = runs.map(|run| run.outcome.clone()).collect();
        all.map(|all| Measures::median(&all)).transpose()
    }
}

type Outcomes = Result<Vec<Measures>, String>;

/// The middle one, or the mean of the two in the middle; none of none.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::plan::contended, *};

    pub(in super::super) fn section(runs: Vec<Run>) -> Section {
        Section { environment: Environment::Tmpfs1, setting: "a machine".to_owned(), seconds: 3, runs }
    }

    pub(in super::super) fn peer(name: &str) -> Program {
        Program::Peer(name.to_owned())
    }

    #[test]
    fn what_a_peer_prints_is_read() {
        let line = "go-etcd contended clients=2 ops/s=77 p50us=1147 p99us=105085 n=231\n";
        let read = Measures::of_peer(line).unwrap();
        assert_eq!((read.ops_per_s, read.p50_us, read.p99_us), (77.0, Some(1147.0), Some(105_085.0)));
        assert_eq!((read.fifo, read.put_per_s), (None, None));
        for broken in ["", "etcdserver: request timed out", "ops/s=77 p50us=1", "ops/s=x p50us=1 p99us=2"] {
            assert_eq!(Measures::of_peer(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_report_of_lock_bench_is_read() {
        let text =
            r#"{"backend":"etcd","turns":7,"ops_per_s":9.5,"p50_us":1.0,"fifo":null,"put_per_s":20.0}"#;
        let read: Measures = serde_json::from_str(text).unwrap();
        assert_eq!((read.ops_per_s, read.fifo, read.put_per_s), (9.5, None, Some(20.0)));
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn runs_of_one_case_count_together_and_one_failure_fails_them() {
        let run = |program, clients, outcome| Run { case: contended(clients), program, outcome };
        let speed = |ops_per_s, fifo| Ok(Measures { ops_per_s, fifo: Some(fifo), ..Measures::default() });
        let section = section(vec![
            run(Program::Ours(1), 2, speed(10.0, true)),
            run(Program::Ours(2), 2, speed(99.0, true)),
            run(Program::Ours(1), 16, speed(99.0, true)),
            run(peer("Go"), 2, Err("no".to_owned())),
            run(Program::Ours(1), 2, speed(20.0, false)),
            run(peer("Go"), 2, speed(1.0, true)),
            run(peer("Curator"), 2, speed(3.0, true)),
        ]);
        assert_eq!(section.ours(contended(2), 1), Some(speed(15.0, false)));
        assert_eq!(section.peer(contended(2), "Go"), Some(Err("no".to_owned())));
        assert_eq!(section.peer(contended(2), "Curator"), Some(speed(3.0, true)));
        assert_eq!(section.peer(contended(256), "Go"), None);
    }

    #[test]
    fn figures_survive_their_file() {
        let runs = vec![
            Run { case: contended(2), program: Program::Ours(64), outcome: Ok(Measures::default()) },
            Run { case: contended(2), program: peer("Go"), outcome: Err("why".to_owned()) },
        ];
        let text = serde_json::to_string(&section(runs)).unwrap();
        let read: Section = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!((&read.runs[0].program, &read.runs[1].program), (&Program::Ours(64), &peer("Go")));
        assert_eq!(read.runs[1].outcome, Err("why".to_owned()));
    }
}
