//! The one order in which everybody takes locks: by store, then by name.

use std::sync::Arc;

use crate::{
    backend::{Cell, CellVersion},
    error::{Error, ErrorKind, Result},
    name::{Kind, LineId},
    recipe::{Amendment, Entrance, Mutant, Mutex},
};

/// A lock, what its store is known by, and its place among those given.
type Ranked<'a, S> = (S, usize, &'a Mutex);

/// Refuses a lock that is there twice, as far as can be told without asking a store.
pub(super) fn check(mutexes: &[Mutex]) -> Result<()> {
    let ranked = mutexes.iter().map(|mutex| (Arc::as_ptr(&mutex.entrance().shared).addr(), 0, mutex));
    sort(ranked.collect()).map(drop)
}

/// The locks in the order in which everybody takes them, each with its place among those given. Asks the
/// stores who they are when there may be more than one.
pub(super) async fn ordered(mutexes: &[Mutex], operation: &'static str) -> Result<Vec<(usize, Mutex)>> {
    let elsewhere = |pair: &[Mutex]| !matches!(pair, [a, b] if a.entrance().is_beside(b.entrance()));
    let several = mutexes.windows(2).any(elsewhere);
    let mut ranked = Vec::with_capacity(mutexes.len());
    for (given, mutex) in mutexes.iter().enumerate() {
        let store = if several { mutex.entrance().store_id(operation).await? } else { 0 };
        ranked.push((store, given, mutex));
    }
    let mut ranked = sort(ranked)?;
    if mutexes.iter().any(|mutex| mutex.entrance().is(Mutant::AnyOrder)) {
        ranked.sort_by_key(|(_, given, _)| *given);
    }
    Ok(ranked.into_iter().map(|(_, given, mutex)| (given, mutex.clone())).collect())
}

/// Sorts by store and name, and refuses a lock that is there twice.
fn sort<S: Ord>(mut ranked: Vec<Ranked<'_, S>>) -> Result<Vec<Ranked<'_, S>>> {
    let line = |mutex: &Mutex| mutex.entrance().line.clone();
    ranked.sort_by(|(a, _, x), (b, _, y)| a.cmp(b).then_with(|| line(x).key().cmp(line(y).key())));
    let twice = ranked.windows(2).find_map(|pair| match pair {
        [(a, _, x), (b, _, y)] if a == b && line(x) == line(y) => Some(line(x)),
        _ => None,
    });
    twice.map_or(Ok(ranked), |line| {
        let message = format!("{line} is there twice, and would wait for itself");
        Err(Error::new(ErrorKind::InvalidOption, message))
    })
}

impl Entrance {
    /// Whether it is of the same coordinator.
    fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// What the store is known by, below this namespace, to everybody who uses it: a random number in a cell,
    /// put there by whoever asks first.
    async fn store_id(&self, operation: &'static str) -> Result<u64> {
        if let Some(id) = self.shared.store_id.get() {
            return Ok(*id);
        }
        let here = Self::new(self.shared.clone(), LineId::new(Kind::Store, "id".parse()?));
        // Everybody looks who does not know it yet: who is not polled keeps nobody else waiting.
        let id = here.amend_cell(operation, None, |cell, _| here.id_in(cell)).await?;
        Ok(*self.shared.store_id.get_or_init(|| id))
    }

    fn id_in(&self, cell: &Cell) -> Result<Amendment<u64>> {
        let text = |id: u64| format!("{id:016x}").into_bytes();
        if cell.version == CellVersion::ABSENT {
            let id = self.shared.runtime.random_u64();
            return Ok(Amendment::Write(text(id), id));
        }
        let id = str::from_utf8(&cell.bytes).ok().and_then(|id| u64::from_str_radix(id, 16).ok());
        let id = id.filter(|id| text(*id) == *cell.bytes);
        let garbled = || Error::new(ErrorKind::Garbled, "the cell holds no id of a store");
        id.map(Amendment::Stands).ok_or_else(garbled)
    }
}
