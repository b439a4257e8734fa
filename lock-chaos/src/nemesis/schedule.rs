//! When each fault comes: a pure function of the seed.

use std::time::Duration;

use super::Kind;
use crate::dice::Dice;

/// What a schedule is made from.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    /// The mean time from one fault to the next.
    pub(crate) every: Duration,
    pub(crate) ttl: Duration,
    pub(crate) clients: usize,
    pub(crate) nodes: usize,
    pub(crate) kinds: Vec<Kind>,
}

/// Faults, and then quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// In the order of time; all are over at the end of the storm.
    pub(crate) faults: Vec<Planned>,
    pub(crate) storm: Duration,
    /// From when everything has been healed.
    pub(crate) calm: Duration,
}

/// A fault to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its number in the run.
    pub(crate) number: usize,
    /// When, since its phase began.
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    pub(crate) lasting: Duration,
    /// Who is hit, as far as that is not only known when it happens.
    pub(crate) client: usize,
    pub(crate) node: usize,
    /// Another one than `node`, where there are several.
    pub(crate) other: usize,
    /// More chance, for those who need it.
    pub(crate) amount: u64,
}

/// How long faults go on before all is quiet once more.
const STORM: Duration = Duration::from_secs(22);

/// Of all that is drawn from a seed, what the schedule has; clients have streams of more numbers.
const STREAM: u64 = 1;

/// All phases of a run.
pub(crate) fn schedule(terms: &Terms) -> Vec<Phase> {
    // A session that was just renewed, a new leader that grants it all its time once more, an election, and a
    // queue that then moves on.
    let calm = terms.ttl * 3 + Duration::from_secs(4);
    let phases = (terms.time.as_secs_f64() / (STORM + calm).as_secs_f64()).round().max(1.0);
    let storm = terms.time.div_f64(phases).saturating_sub(calm).max(Duration::from_secs(5));
    let mut dice = Dice::new(terms.seed, &[STREAM]);
    let mut number = 0;
    (0..phases as u64)
        .map(|_| {
            let mut phase = Phase { faults: Vec::new(), storm, calm };
            let mut at = Duration::ZERO;
            loop {
                at += dice.between(Duration::ZERO..terms.every * 2);
                let Some(left) = storm.checked_sub(at).filter(|left| *left > Duration::from_millis(500))
                else {
                    break phase;
                };
                let Some(kind) = dice.pick(&terms.kinds).copied() else { break phase };
                phase.faults.push(planned(terms, &mut dice, number, kind, at, left));
                number += 1;
            }
        })
        .collect()
}

fn planned(
    terms: &Terms,
    dice: &mut Dice,
    number: usize,
    kind: Kind,
    at: Duration,
    left: Duration,
) -> Planned {
    let node = dice.index(terms.nodes);
    let other = (node + 1 + dice.index(terms.nodes.saturating_sub(1))) % terms.nodes.max(1);
    Planned {
        number,
        at,
        kind,
        lasting: lasting(terms.ttl, dice, kind).min(left),
        client: dice.index(terms.clients),
        node,
        other,
        amount: dice.below(1 << 20),
    }
}

/// For how long it should last.
fn lasting(ttl: Duration, dice: &mut Dice, kind: Kind) -> Duration {
    match kind {
        // Until the client's next life.
        Kind::Kill => dice.millis(0..600),
        Kind::Stop if dice.percent(25) => dice.between(ttl / 20..ttl),
        Kind::Stop => dice.between(ttl + ttl / 4..ttl * 2 + ttl / 4),
        Kind::Reset | Kind::LoseReply | Kind::Compact | Kind::Defragment => dice.millis(1..300),
        Kind::Full => dice.millis(300..2500),
        Kind::ServerKill | Kind::LeaderKill => dice.millis(200..3000),
        Kind::ServerPause | Kind::LeaderPause => dice.millis(100..4000),
        Kind::Cut | Kind::CutServer | Kind::OneWay => dice.between(ttl / 10..ttl * 2 + ttl / 2),
        Kind::LeaderCut | Kind::PeerCut | Kind::PeerSplit | Kind::PeerOneWay => dice.millis(200..5000),
        Kind::Refuse | Kind::Delay | Kind::PeerDelay | Kind::Slow => dice.millis(500..5000),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn terms(seed: u64) -> Terms {
        Terms {
            seed,
            time: Duration::from_mins(10),
            every: Duration::from_secs(1),
            ttl: Duration::from_secs(2),
            clients: 8,
            nodes: 3,
            kinds: Kind::value_variants().to_vec(),
        }
    }

    #[test]
    fn a_seed_gives_one_schedule() {
        assert_eq!(schedule(&terms(1)), schedule(&terms(1)));
        assert_ne!(schedule(&terms(1)), schedule(&terms(2)));
    }

    #[test]
    fn faults_overlap_come_in_order_and_are_over_at_the_end_of_the_storm() {
        let phases = schedule(&terms(3));
        let whole: Duration = phases.iter().map(|phase| phase.storm + phase.calm).sum();
        assert!(whole.abs_diff(Duration::from_mins(10)) < Duration::from_secs(1), "{whole:?}");
        let mut number = 0;
        for phase in &phases {
            for fault in &phase.faults {
                assert_eq!(fault.number, number);
                number += 1;
                assert!(fault.at + fault.lasting <= phase.storm, "{fault:?}");
                assert!(fault.client < 8 && fault.node < 3 && fault.other < 3 && fault.node != fault.other);
            }
            assert!(phase.faults.is_sorted_by_key(|fault| fault.at));
            let overlaps = phase.faults.windows(2).any(|pair| pair[0].at + pair[0].lasting > pair[1].at);
            assert!(overlaps);
        }
        // Once a second, but not in quiet phases.
        assert!((300..500).contains(&number), "{number}");
        for kind in Kind::value_variants() {
            assert!(
                phases.iter().flat_map(|phase| &phase.faults).any(|fault| fault.kind == *kind),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_short_run_has_a_storm_and_a_calm() {
        let phases = schedule(&Terms { time: Duration::from_secs(5), ..terms(1) });
        assert_eq!(phases.len(), 1);
        assert!(!phases[0].faults.is_empty());
        assert!(
            schedule(&Terms { kinds: Vec::new(), ..terms(1) }).iter().all(|phase| phase.faults.is_empty())
        );
    }
}
