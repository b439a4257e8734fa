//! The kernel against a definition that shares no code with it: exhaustively on every line of up to 6 claims,
//! by property tests beyond, and with wrong kernels that the same check must refute (clauses C1 and C2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use lock_core::{
    Mode,
    line::{Entrant, Verdict, decide},
};
use proptest::prelude::*;

const fn permits(count: u32, limit: u32) -> Mode {
    Mode::Permits { count, limit }
}

/// Every mode; permits with light and heavy weights, and a limit that differs, as it does while a semaphore
/// is resized.
const MODES: [Mode; 7] = [
    Mode::Exclusive,
    Mode::Shared,
    Mode::Present,
    permits(1, 2),
    permits(2, 2),
    permits(2, 3),
    permits(1, 4),
];

/// The definition, on lists and sets only. A set of claims is harmonious when each member tolerates all the
/// members ahead of it. The granted claims are: everybody present, and the longest prefix of the others that
/// is harmonious.
mod definition {
    use super::*;

    fn tolerates(ahead: &[Mode], me: Mode) -> bool {
        let taken: u64 = ahead
            .iter()
            .map(|m| if let Mode::Permits { count, .. } = m { u64::from(*count) } else { 0 })
            .sum();
        match me {
            Mode::Exclusive => ahead.is_empty(),
            Mode::Shared => ahead.iter().all(|m| *m == Mode::Shared),
            Mode::Permits { count, limit } => {
                ahead.iter().all(|m| matches!(m, Mode::Permits { .. }))
                    && taken + u64::from(count) <= u64::from(limit)
            }
            Mode::Present => unreachable!("filtered out"),
        }
    }

    pub(super) fn granted(line: &[Entrant]) -> Vec<u64> {
        let (present, others): (Vec<Entrant>, Vec<Entrant>) =
            line.iter().partition(|e| e.mode == Mode::Present);
        let modes: Vec<Mode> = others.iter().map(|e| e.mode).collect();
        let longest = (0..=others.len())
            .rev()
            .find(|&n| (0..n).all(|i| tolerates(&modes[..i], modes[i])))
            .expect("the empty prefix is harmonious");
        present.iter().chain(&others[..longest]).map(|e| e.place).collect()
    }
}

type Kernel = fn(&[Entrant], u64) -> Option<Verdict>;

/// Checks one line; `Err` says what is wrong.
fn check(kernel: Kernel, line: &[Entrant]) -> Result<(), String> {
    let granted = definition::granted(line);
    for (position, me) in line.iter().enumerate() {
        let verdict = kernel(line, me.place).ok_or("a claim in line was not found")?;
        let waits_for = match verdict {
            Verdict::Granted if granted.contains(&me.place) => continue,
            Verdict::WaitFor(places) if !granted.contains(&me.place) => places,
            verdict => {
                return Err(format!("{verdict:?} for {me:?} in {line:?}, where {granted:?} are granted"));
            }
        };
        let ahead = &line[..position];
        if waits_for.is_empty() || !waits_for.iter().all(|p| ahead.iter().any(|e| e.place == *p)) {
            return Err(format!("{me:?} in {line:?} waits for {waits_for:?}, not for claims ahead"));
        }
        if !matches!(me.mode, Mode::Permits { .. })
            && ahead.iter().all(|e| !matches!(e.mode, Mode::Permits { .. }))
        {
            // No herd: one departure wakes one waiter.
            if waits_for.len() != 1 {
                return Err(format!("{me:?} in {line:?} waits for {waits_for:?}: one suffices"));
            }
        }
        no_lost_wake_up(line, *me, &waits_for)?;
    }
    Ok(())
}

/// Whoever else leaves: while all of `waits_for` stay, `me` must not become granted, for nobody would tell
/// it.
fn no_lost_wake_up(line: &[Entrant], me: Entrant, waits_for: &[u64]) -> Result<(), String> {
    let others: Vec<u64> =
        line.iter().map(|e| e.place).filter(|p| *p != me.place && !waits_for.contains(p)).collect();
    for gone in 0..1_u32 << others.len() {
        let left: Vec<Entrant> = line
            .iter()
            .filter(|e| others.iter().position(|p| *p == e.place).is_none_or(|i| gone & (1 << i) == 0))
            .copied()
            .collect();
        if definition::granted(&left).contains(&me.place) {
            return Err(format!("{me:?} in {line:?} waits for {waits_for:?}, and sleeps on in {left:?}"));
        }
    }
    Ok(())
}

fn line_of(modes: impl IntoIterator<Item = Mode>) -> Vec<Entrant> {
    modes.into_iter().zip((3..).step_by(2)).map(|(mode, place)| Entrant { place, mode }).collect()
}

/// All lines of up to `longest` claims; returns how many passed, or the first that did not.
fn check_all(kernel: Kernel, longest: u32) -> Result<u64, String> {
    let mut checked = 0;
    for length in 0..=longest {
        for number in 0..MODES.len().pow(length) {
            let line = line_of((0..length).map(|i| MODES[number / MODES.len().pow(i) % MODES.len()]));
            check(kernel, &line)?;
            checked += 1;
        }
    }
    Ok(checked)
}

#[test]
fn c1_c2_the_kernel_is_the_definition_on_every_line_up_to_6_claims() {
    let checked = check_all(decide, 6).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{checked} lines of up to 6 claims in {} modes agree with the definition", MODES.len());
    assert_eq!(checked, (0..=6).map(|n| 7_u64.pow(n)).sum::<u64>());
}

proptest! {
    #[test]
    fn c1_c2_the_kernel_is_the_definition_on_longer_lines(modes in prop::collection::vec(prop::sample::select(&MODES[..]), 7..12)) {
        prop_assert_eq!(check(decide, &line_of(modes)), Ok(()));
    }
}

#[test]
fn a_claim_that_is_not_in_line_has_no_verdict() {
    assert_eq!(decide(&line_of([Mode::Exclusive]), 4), None);
}

/// Kernels that a hurried reader might take for right.
mod wrong {
    use super::*;

    fn split(line: &[Entrant], place: u64) -> Option<(&[Entrant], Entrant)> {
        let position = line.iter().position(|e| e.place == place)?;
        Some((&line[..position], line[position]))
    }

    fn redo(line: &[Entrant], place: u64, keep: impl Fn(&Entrant) -> bool) -> Option<Verdict> {
        let line: Vec<Entrant> = line.iter().filter(|e| e.place == place || keep(e)).copied().collect();
        decide(&line, place)
    }

    /// Readers join the readers who hold, past a waiting writer.
    pub(super) fn readers_overtake_a_waiting_writer(line: &[Entrant], place: u64) -> Option<Verdict> {
        let granted = definition::granted(line);
        redo(line, place, |e| granted.contains(&e.place))
    }

    /// A permit fits as long as those *before* it leave room for anything.
    pub(super) fn my_own_weight_is_forgotten(line: &[Entrant], place: u64) -> Option<Verdict> {
        let (ahead, me) = split(line, place)?;
        let Mode::Permits { limit, .. } = me.mode else { return decide(line, place) };
        let lighter = Entrant { mode: permits(1, limit), ..me };
        decide(&[ahead, &[lighter]].concat(), place)
    }

    /// A writer goes in when no writer is ahead.
    pub(super) fn a_writer_ignores_readers(line: &[Entrant], place: u64) -> Option<Verdict> {
        let (_, me) = split(line, place)?;
        redo(line, place, |e| me.mode != Mode::Exclusive || e.mode == Mode::Exclusive)
    }

    /// Members of a group count as holders.
    pub(super) fn present_claims_block(line: &[Entrant], place: u64) -> Option<Verdict> {
        let blocking: Vec<Entrant> = line
            .iter()
            .map(|e| Entrant { mode: if e.mode == Mode::Present { Mode::Shared } else { e.mode }, ..*e })
            .collect();
        decide(&blocking, place)
    }

    /// A light request slips past a heavy one that waits.
    pub(super) fn light_permits_overtake_heavy_ones(line: &[Entrant], place: u64) -> Option<Verdict> {
        let (_, me) = split(line, place)?;
        let granted = definition::granted(line);
        let barging = matches!(me.mode, Mode::Permits { count: 1, .. });
        redo(line, place, |e| !barging || granted.contains(&e.place))
    }

    /// Right grants, but every waiter watches only the claim before it.
    pub(super) fn permits_watch_one_predecessor(line: &[Entrant], place: u64) -> Option<Verdict> {
        let (ahead, _) = split(line, place)?;
        match decide(line, place)? {
            Verdict::WaitFor(_) => Some(Verdict::WaitFor(vec![ahead.last()?.place])),
            granted => Some(granted),
        }
    }

    /// Right grants, but everybody watches everybody: a herd.
    pub(super) fn everybody_watches_everybody(line: &[Entrant], place: u64) -> Option<Verdict> {
        let (ahead, _) = split(line, place)?;
        match decide(line, place)? {
            Verdict::WaitFor(_) => Some(Verdict::WaitFor(ahead.iter().map(|e| e.place).collect())),
            granted => Some(granted),
        }
    }
}

#[test]
fn every_wrong_kernel_is_refuted() {
    let kernels: [(&str, Kernel); 7] = [
        ("readers overtake a waiting writer", wrong::readers_overtake_a_waiting_writer),
        ("my own weight is forgotten", wrong::my_own_weight_is_forgotten),
        ("a writer ignores readers", wrong::a_writer_ignores_readers),
        ("present claims block", wrong::present_claims_block),
        ("light permits overtake heavy ones", wrong::light_permits_overtake_heavy_ones),
        ("permits watch one predecessor", wrong::permits_watch_one_predecessor),
        ("everybody watches everybody", wrong::everybody_watches_everybody),
    ];
    for (what, kernel) in kernels {
        let refutation = check_all(kernel, 4).expect_err(what);
        println!("refuted: {what}\n    {refutation}");
    }
}
