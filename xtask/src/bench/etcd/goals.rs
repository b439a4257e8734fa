//! What the figures must be, and whether they are.

use super::{
    figures::{Measures, Program, Section},
    plan::{Case, SPREAD, UNCONTENDED, WAITERS, contended},
};

/// A goal, and what came of it.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) text: &'static str,
    bound: Bound,
    figure: Result<f64, Gap>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Why there is no figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gap {
    NotMeasured,
    WeFailed,
    GoFailed,
}

impl Goal {
    /// None when it cannot be said. A failure of ours is never good enough.
    pub(super) fn met(&self) -> Option<bool> {
        match (self.figure, self.bound) {
            (Ok(figure), Bound::AtLeast(least)) => Some(figure >= least),
            (Ok(figure), Bound::AtMost(most)) => Some(figure <= most),
            (Err(Gap::WeFailed), _) => Some(false),
            (Err(Gap::NotMeasured | Gap::GoFailed), _) => None,
        }
    }

    pub(super) fn figure(&self) -> String {
        match self.figure {
            Ok(figure) if figure.fract() == 0.0 || figure >= 100.0 => format!("{figure:.0}"),
            Ok(figure) => format!("{figure:.2}"),
            Err(Gap::NotMeasured) => "not measured".to_owned(),
            Err(Gap::WeFailed) => "a run failed".to_owned(),
            Err(Gap::GoFailed) => "Go failed".to_owned(),
        }
    }
}

/// All goals. Where they speak of sessions at all, the worst of few and many counts.
pub(super) fn of(section: &Section) -> Vec<Goal> {
    let goal = |text, bound, figure| Goal { text, bound, figure };
    let line = || WAITERS.map(contended).into_iter();
    let requests = |it: &Measures| it.requests_per_turn;
    vec![
        goal(
            "turns/s ÷ sequential puts/s, the least over all numbers of waiters: ≥ 0.35",
            Bound::AtLeast(0.35),
            least(section.all(line(), |it| Some(it.ops_per_s / it.put_per_s?))),
        ),
        goal(
            "turns/s, most ÷ least over the numbers of waiters: ≤ 1.6",
            Bound::AtMost(1.6),
            section.spread(|it| Some(it.ops_per_s)),
        ),
        goal(
            "turns/s ÷ Go's, 2 and 1,000 waiters: ≥ 5",
            Bound::AtLeast(5.0),
            section.beside_go(&[contended(2), contended(1_000)]),
        ),
        goal("runs that met an error, 10,000 waiters included: 0", Bound::AtMost(0.0), section.failures()),
        goal(
            "requests per turn, most ÷ least over the numbers of waiters: ≤ 1.2",
            Bound::AtMost(1.2),
            section.spread(requests),
        ),
        goal(
            "writes per turn, the most: ≤ 4",
            Bound::AtMost(4.0),
            most(section.all(line(), |it| it.writes_per_turn)),
        ),
        goal("uncontended: turns/s ÷ Go's ≥ 0.85", Bound::AtLeast(0.85), section.beside_go(&[UNCONTENDED])),
        goal(
            "64 clients, each on its own lock: turns/s ÷ Go's ≥ 0.85",
            Bound::AtLeast(0.85),
            section.beside_go(&[SPREAD]),
        ),
        goal(
            "the whole process with 10,000 waiters, MB (10⁶ bytes): ≤ 100",
            Bound::AtMost(100.0),
            most(section.all([contended(10_000)].into_iter(), |it| Some(it.process_mib? * 1.048_576))),
        ),
    ]
}

type Figures = Result<Vec<f64>, Gap>;

fn least(figures: Figures) -> Result<f64, Gap> {
    figures?.into_iter().reduce(f64::min).ok_or(Gap::NotMeasured)
}

fn most(figures: Figures) -> Result<f64, Gap> {
    figures?.into_iter().reduce(f64::max).ok_or(Gap::NotMeasured)
}

impl Section {
    fn ours(&self, case: Case, sessions: usize) -> Result<Measures, Gap> {
        self.outcome(case, Program::Ours(sessions)).ok_or(Gap::NotMeasured)?.map_err(|_| Gap::WeFailed)
    }

    fn go(&self, case: Case) -> Result<Measures, Gap> {
        self.outcome(case, Program::Go).ok_or(Gap::NotMeasured)?.map_err(|_| Gap::GoFailed)
    }

    /// A figure of ours in each of these cases, with few sessions and with many.
    fn all(&self, cases: impl Iterator<Item = Case>, figure: fn(&Measures) -> Option<f64>) -> Figures {
        let runs = cases.flat_map(|case| case.sessions().into_iter().map(move |sessions| (case, sessions)));
        runs.map(|(case, sessions)| figure(&self.ours(case, sessions)?).ok_or(Gap::NotMeasured)).collect()
    }

    /// How far a figure of ours is apart over the numbers of waiters; for few sessions or for many, whichever
    /// is worse.
    fn spread(&self, figure: fn(&Measures) -> Option<f64>) -> Result<f64, Gap> {
        let series = |pick: fn(&[usize]) -> Option<&usize>| {
            let figures = WAITERS.map(contended).into_iter().map(|case| {
                let sessions = *pick(&case.sessions()).ok_or(Gap::NotMeasured)?;
                figure(&self.ours(case, sessions)?).ok_or(Gap::NotMeasured)
            });
            let figures: Vec<f64> = figures.collect::<Figures>()?;
            Ok(most(Ok(figures.clone()))? / least(Ok(figures))?)
        };
        most([series(<[usize]>::first), series(<[usize]>::last)].into_iter().collect())
    }

    /// The least of our turns by Go's.
    fn beside_go(&self, cases: &[Case]) -> Result<f64, Gap> {
        let ratios = cases.iter().map(|case| {
            let ours = least(self.all([*case].into_iter(), |it| Some(it.ops_per_s)))?;
            Ok(ours / self.go(*case)?.ops_per_s)
        });
        least(ratios.collect())
    }

    fn failures(&self) -> Result<f64, Gap> {
        let ours = || self.runs.iter().filter(|run| run.program != Program::Go);
        if !ours().any(|run| run.case == contended(10_000)) {
            return Err(Gap::NotMeasured);
        }
        Ok(ours().filter(|run| run.outcome.is_err()).count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::figures::{Run, tests::section},
        *,
    };

    const GOOD: Measures = Measures {
        ops_per_s: 600.0,
        p50_us: None,
        p99_us: None,
        fifo: Some(true),
        requests_per_turn: Some(3.0),
        writes_per_turn: Some(3.0),
        rss_mib: Some(80.0),
        process_mib: Some(90.0),
        put_per_s: Some(1_000.0),
    };

    /// Every case once, good.
    fn all_good() -> Section {
        let mut runs = Vec::new();
        for case in Case::all() {
            let go =
                Measures { ops_per_s: if case.clients > 1 { 100.0 } else { 600.0 }, ..Measures::default() };
            let programs = case.sessions().into_iter().map(|sessions| (Program::Ours(sessions), GOOD));
            for (program, measures) in programs.chain([(Program::Go, go)]) {
                runs.push(Run { case, program, outcome: Ok(measures) });
            }
        }
        section(runs)
    }

    fn change(section: &mut Section, case: Case, program: Program, change: impl Fn(&mut Measures)) {
        let run = section.runs.iter_mut().find(|run| run.case == case && run.program == program).unwrap();
        change(run.outcome.as_mut().unwrap());
    }

    /// Which goals are not met, by number.
    fn missed(section: &Section) -> Vec<usize> {
        let goals = of(section).into_iter().enumerate();
        goals.filter(|(_, goal)| goal.met() == Some(false)).map(|(number, _)| number).collect()
    }

    #[test]
    fn each_goal_can_be_met_and_missed() {
        let good = all_good();
        assert!(of(&good).iter().all(|goal| goal.met() == Some(true)), "{:?}", of(&good));
        let last = (contended(10_000), Program::Ours(64));
        type Change = fn(&mut Measures);
        let changes: [(usize, (Case, Program), Change); 9] = [
            (0, last, |it| it.put_per_s = Some(2_000.0)),
            (1, last, |it| it.ops_per_s = 961.0),
            (2, (contended(1_000), Program::Go), |it| it.ops_per_s = 121.0),
            (4, last, |it| it.requests_per_turn = Some(3.7)),
            (5, (contended(2), Program::Ours(2)), |it| it.writes_per_turn = Some(4.1)),
            (6, (UNCONTENDED, Program::Ours(1)), |it| it.ops_per_s = 500.0),
            (7, (SPREAD, Program::Go), |it| it.ops_per_s = 800.0),
            (8, (contended(10_000), Program::Ours(1)), |it| it.process_mib = Some(96.0)),
            (5, (contended(16), Program::Ours(1)), |it| it.writes_per_turn = Some(5.0)),
        ];
        for (number, (case, program), how) in changes {
            let mut section = all_good();
            change(&mut section, case, program, how);
            assert_eq!(missed(&section), [number]);
        }
    }

    #[test]
    fn a_failure_of_ours_misses_and_one_of_go_says_nothing() {
        let mut section = all_good();
        let fail = |section: &mut Section, case, program| {
            let run = section.runs.iter_mut().find(|run| run.case == case && run.program == program);
            run.unwrap().outcome = Err("no".to_owned());
        };
        fail(&mut section, contended(10_000), Program::Go);
        assert!(missed(&section).is_empty());
        fail(&mut section, contended(1_000), Program::Go);
        assert!(missed(&section).is_empty());
        assert_eq!((of(&section)[2].met(), of(&section)[2].figure()), (None, "Go failed".to_owned()));
        fail(&mut section, contended(10_000), Program::Ours(1));
        assert_eq!(missed(&section), [0, 1, 3, 4, 5, 8]);
        assert_eq!((of(&section)[3].figure(), of(&section)[0].figure()), ("1".into(), "a run failed".into()));
    }

    #[test]
    fn nothing_measured_is_nothing_met() {
        let goals = of(&section(Vec::new()));
        assert!(
            goals.iter().all(|goal| goal.met().is_none() && goal.figure() == "not measured"),
            "{goals:?}"
        );
    }
}
