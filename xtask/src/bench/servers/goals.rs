//! What the figures must be, and whether they are.

use super::{
    figures::{Measures, Section},
    plan::{Case, WAITERS, contended},
};

/// What a figure must be.
pub(super) struct Goal {
    pub(super) text: &'static str,
    bound: Bound,
    figure: fn(&Section) -> Figure,
}

/// A figure, if there is one.
pub(super) type Figure = Result<f64, Gap>;

type Figures = Result<Vec<f64>, Gap>;

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Why there is no figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Gap {
    NotMeasured,
    WeFailed,
    PeerFailed(&'static str),
}

impl Goal {
    pub(super) const fn at_least(least: f64, text: &'static str, figure: fn(&Section) -> Figure) -> Self {
        Self { text, bound: Bound::AtLeast(least), figure }
    }

    pub(super) const fn at_most(most: f64, text: &'static str, figure: fn(&Section) -> Figure) -> Self {
        Self { text, bound: Bound::AtMost(most), figure }
    }

    pub(super) fn verdict(&self, section: &Section) -> Verdict {
        Verdict { bound: self.bound, figure: (self.figure)(section) }
    }
}

/// What came of a goal.
#[derive(Debug)]
pub(super) struct Verdict {
    bound: Bound,
    figure: Figure,
}

impl Verdict {
    /// None when it cannot be said. A failure of ours is never good enough.
    pub(super) fn met(&self) -> Option<bool> {
        match (self.figure, self.bound) {
            (Ok(figure), Bound::AtLeast(least)) => Some(figure >= least),
            (Ok(figure), Bound::AtMost(most)) => Some(figure <= most),
            (Err(Gap::WeFailed), _) => Some(false),
            (Err(Gap::NotMeasured | Gap::PeerFailed(_)), _) => None,
        }
    }

    pub(super) fn figure(&self) -> String {
        match self.figure {
            Ok(figure) if figure.fract() == 0.0 || figure >= 100.0 => format!("{figure:.0}"),
            Ok(figure) => format!("{figure:.2}"),
            Err(Gap::NotMeasured) => "not measured".to_owned(),
            Err(Gap::WeFailed) => "a run failed".to_owned(),
            Err(Gap::PeerFailed(peer)) => format!("{peer} failed"),
        }
    }
}

pub(super) fn least(figures: Figures) -> Figure {
    figures?.into_iter().reduce(f64::min).ok_or(Gap::NotMeasured)
}

pub(super) fn most(figures: Figures) -> Figure {
    figures?.into_iter().reduce(f64::max).ok_or(Gap::NotMeasured)
}

/// Where goals speak of sessions at all, the worst of few and many counts.
impl Section {
    fn figure(&self, case: Case, sessions: usize, figure: impl Fn(&Measures) -> Option<f64>) -> Figure {
        let outcome = self.ours(case, sessions).ok_or(Gap::NotMeasured)?;
        figure(&outcome.map_err(|_| Gap::WeFailed)?).ok_or(Gap::NotMeasured)
    }

    /// A figure of ours in each of these cases, with few sessions and with many.
    pub(super) fn all(&self, cases: &[Case], figure: fn(&Measures) -> Option<f64>) -> Figures {
        let runs =
            cases.iter().flat_map(|case| case.sessions().into_iter().map(|sessions| (*case, sessions)));
        runs.map(|(case, sessions)| self.figure(case, sessions, figure)).collect()
    }

    /// How far a figure of ours is apart over the numbers of waiters; for few sessions or for many, whichever
    /// is worse.
    pub(super) fn spread(&self, figure: fn(&Measures) -> Option<f64>) -> Figure {
        let series = |pick: fn(&[usize]) -> Option<&usize>| {
            let figures = WAITERS.map(contended).into_iter().map(|case| {
                let sessions = *pick(&case.sessions()).ok_or(Gap::NotMeasured)?;
                self.figure(case, sessions, figure)
            });
            let figures: Vec<f64> = figures.collect::<Figures>()?;
            Ok(most(Ok(figures.clone()))? / least(Ok(figures))?)
        };
        most([series(<[usize]>::first), series(<[usize]>::last)].into_iter().collect())
    }

    /// The least of our turns by this peer's.
    pub(super) fn beside(&self, peer: &'static str, cases: &[Case]) -> Figure {
        let ratios = cases.iter().map(|case| {
            let ours = least(self.all(&[*case], |it| Some(it.ops_per_s)))?;
            let theirs = self.peer(*case, peer).ok_or(Gap::NotMeasured)?;
            Ok(ours / theirs.map_err(|_| Gap::PeerFailed(peer))?.ops_per_s)
        });
        least(ratios.collect())
    }

    /// How many runs of ours failed.
    pub(super) fn failures(&self) -> Figure {
        let ours = || self.runs.iter().filter(|run| run.is_ours());
        if !ours().any(|run| run.case == contended(10_000)) {
            return Err(Gap::NotMeasured);
        }
        Ok(ours().filter(|run| run.outcome.is_err()).count() as f64)
    }
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
            plan::{SPREAD, UNCONTENDED},
            store::Store,
            zookeeper::ZOOKEEPER,
        },
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
    fn all_good(store: &Store) -> Section {
        let mut runs = Vec::new();
        for case in Case::all() {
            let ops_per_s = if case.clients > 1 { 100.0 } else { 600.0 };
            let theirs = Measures { ops_per_s, ..Measures::default() };
            let ours = case.sessions().into_iter().map(|sessions| (Program::Ours(sessions), GOOD));
            let peers = store.peers.iter().map(|it| (peer(it.name), theirs));
            let all = ours.chain(peers);
            runs.extend(all.map(|(program, measures)| Run { case, program, outcome: Ok(measures) }));
        }
        section(runs)
    }

    fn run<'a>(section: &'a mut Section, case: Case, program: &Program) -> &'a mut Run {
        section.runs.iter_mut().find(|run| run.case == case && run.program == *program).unwrap()
    }

    fn verdicts(store: &Store, section: &Section) -> Vec<Verdict> {
        store.goals.iter().map(|goal| goal.verdict(section)).collect()
    }

    /// Which goals are not met, by number.
    fn missed(store: &Store, section: &Section) -> Vec<usize> {
        let verdicts = verdicts(store, section).into_iter().enumerate();
        verdicts.filter(|(_, verdict)| verdict.met() == Some(false)).map(|(number, _)| number).collect()
    }

    /// Which goals are missed, where, and by what.
    type Miss = (&'static [usize], (Case, Program), fn(&mut Measures));

    fn each_can_be_met_and_missed(store: &Store, misses: Vec<Miss>) {
        let good = verdicts(store, &all_good(store));
        assert!(good.iter().all(|verdict| verdict.met() == Some(true)), "{good:?}");
        for number in (0..store.goals.len()).filter(|number| !store.goals[*number].text.starts_with("runs")) {
            assert!(misses.iter().any(|(missed, ..)| missed.contains(&number)), "{number}");
        }
        for (numbers, (case, program), change) in misses {
            let mut section = all_good(store);
            change(run(&mut section, case, &program).outcome.as_mut().unwrap());
            assert_eq!(missed(store, &section), numbers, "{case:?} {program:?}");
        }
    }

    fn last() -> (Case, Program) {
        (contended(10_000), Program::Ours(64))
    }

    #[test]
    fn each_goal_of_etcd_can_be_met_and_missed() {
        let misses: Vec<Miss> = vec![
            (&[0], last(), |it| it.put_per_s = Some(2_000.0)),
            (&[1], last(), |it| it.ops_per_s = 961.0),
            (&[2], (contended(1_000), peer("Go")), |it| it.ops_per_s = 121.0),
            (&[4], last(), |it| it.requests_per_turn = Some(3.7)),
            (&[5], (contended(2), Program::Ours(2)), |it| it.writes_per_turn = Some(4.1)),
            (&[6], (UNCONTENDED, Program::Ours(1)), |it| it.ops_per_s = 500.0),
            (&[7], (SPREAD, peer("Go")), |it| it.ops_per_s = 800.0),
            (&[8], (contended(10_000), Program::Ours(1)), |it| it.process_mib = Some(96.0)),
            (&[5], (contended(16), Program::Ours(1)), |it| it.writes_per_turn = Some(5.0)),
        ];
        each_can_be_met_and_missed(&ETCD, misses);
    }

    #[test]
    fn each_goal_of_zookeeper_can_be_met_and_missed() {
        let curator = |case| (case, peer("Curator"));
        let misses: Vec<Miss> = vec![
            (&[0], last(), |it| it.ops_per_s = 961.0),
            (&[1, 8], curator(contended(2)), |it| it.ops_per_s = 670.0),
            (&[1, 8], curator(contended(16)), |it| it.ops_per_s = 670.0),
            (&[2], curator(contended(1_000)), |it| it.ops_per_s = 241.0),
            (&[3], curator(contended(4_000)), |it| it.ops_per_s = 121.0),
            (&[4], last(), |it| it.requests_per_turn = Some(3.7)),
            (&[5], curator(UNCONTENDED), |it| it.ops_per_s = 601.0),
            (&[6], (SPREAD, Program::Ours(64)), |it| it.ops_per_s = 149.0),
            (&[8], curator(contended(256)), |it| it.ops_per_s = 501.0),
            // Nothing is asked of us beside kazoo.
            (&[], (contended(2), peer("kazoo")), |it| it.ops_per_s = 10_000.0),
        ];
        each_can_be_met_and_missed(&ZOOKEEPER, misses);
    }

    #[test]
    fn a_failure_of_ours_misses_and_one_of_a_peer_says_nothing() {
        let mut section = all_good(&ETCD);
        let fail = |section: &mut Section, case, program| {
            run(section, case, &program).outcome = Err("no".to_owned());
        };
        fail(&mut section, contended(10_000), peer("Go"));
        assert!(missed(&ETCD, &section).is_empty());
        fail(&mut section, contended(1_000), peer("Go"));
        assert!(missed(&ETCD, &section).is_empty());
        let beside = &verdicts(&ETCD, &section)[2];
        assert_eq!((beside.met(), beside.figure()), (None, "Go failed".to_owned()));
        fail(&mut section, contended(10_000), Program::Ours(1));
        assert_eq!(missed(&ETCD, &section), [0, 1, 3, 4, 5, 8]);
        let all = verdicts(&ETCD, &section);
        assert_eq!((all[3].figure(), all[0].figure()), ("1".into(), "a run failed".into()));
    }

    #[test]
    fn nothing_measured_is_nothing_met() {
        for store in [&ETCD, &ZOOKEEPER] {
            let all = verdicts(store, &section(Vec::new()));
            assert!(all.iter().all(|it| it.met().is_none() && it.figure() == "not measured"), "{all:?}");
        }
    }
}
