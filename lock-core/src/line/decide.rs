//! The verdict on one claim of a line.

use super::{Mode, Occupancy};

/// One claim of a line, as far as the kernel needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Its place: smaller came earlier.
    pub place: u64,
    /// What it asks for.
    pub mode: Mode,
}

/// The answer for one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this claim's turn.
    Granted,
    /// It is not, and will not be while all of these places, which are ahead, stay in line as they are. When
    /// any one of them leaves or weakens its mode, ask again. Watching fewer loses a wake-up; an
    /// exclusive or shared claim watches one.
    WaitFor(Vec<u64>),
}

/// Whether the claim at `place` is granted, in a line given in ascending order of places; `None` when it is
/// not in it.
#[must_use]
pub fn decide(line: &[Entrant], place: u64) -> Option<Verdict> {
    let position = line.iter().position(|entrant| entrant.place == place)?;
    let (ahead, me) = (line.get(..position)?, line.get(position)?);
    if me.mode == Mode::Present {
        return Some(Verdict::Granted);
    }
    let verdict = match (blockers(ahead, me.mode), first_stopped(ahead)) {
        // A conflict of my own: while it lasts, whether somebody ahead is stopped as well does not matter.
        (Some(mine), _) => Verdict::WaitFor(mine),
        (None, None) => Verdict::Granted,
        // No conflict, but I may not overtake: I wait for that one to go, or for it to be granted.
        (None, Some((stopped, blockers))) => Verdict::WaitFor([blockers, vec![stopped]].concat()),
    };
    Some(verdict)
}

/// The first claim that cannot be granted, with what it waits for.
fn first_stopped(line: &[Entrant]) -> Option<(u64, Vec<u64>)> {
    let mut granted = Occupancy::default();
    for (position, entrant) in line.iter().enumerate() {
        if !granted.admits(entrant.mode) {
            return Some((entrant.place, blockers(line.get(..position)?, entrant.mode)?));
        }
        granted.add(entrant.mode);
    }
    None
}

/// The nearest claims ahead that suffice to keep `mode` out; `None` when all of those ahead together do not.
fn blockers(ahead: &[Entrant], mode: Mode) -> Option<Vec<u64>> {
    let mut nearest = Occupancy::default();
    let mut found = Vec::new();
    for entrant in ahead.iter().rev() {
        let mut alone = Occupancy::default();
        alone.add(entrant.mode);
        if !alone.admits(mode) {
            return Some(vec![entrant.place]);
        }
        // Those that conflict only together: permits.
        if let (Mode::Permits { .. }, Mode::Permits { .. }) = (entrant.mode, mode) {
            nearest.add(entrant.mode);
            found.push(entrant.place);
        }
        if !nearest.admits(mode) {
            found.reverse();
            return Some(found);
        }
    }
    None
}
