//! Whether every run ends, whatever the schedule: nobody asks for ever.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use stateright::Model;

use crate::world::{Setup, State};

/// Every run ends when the graph of the states has no cycle: then they can be taken away one by one, each
/// after all that lead to it.
pub(crate) fn every_run_ends(setup: &Setup) -> bool {
    let mut incoming = HashMap::new();
    let mut found = setup.init_states();
    while let Some(state) = found.pop() {
        for next in setup.next_states(&state) {
            let count = incoming.entry(key(&next)).or_insert(0);
            *count += 1;
            if *count == 1 {
                found.push(next);
            }
        }
    }
    let mut left = incoming.len();
    let mut free = setup.init_states();
    while let Some(state) = free.pop() {
        for next in setup.next_states(&state) {
            let Some(count) = incoming.get_mut(&key(&next)) else { return false };
            *count -= 1;
            if *count == 0 {
                left -= 1;
                free.push(next);
            }
        }
    }
    left == 0
}

fn key(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
