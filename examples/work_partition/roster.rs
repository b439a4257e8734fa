//! Who works on what, by what the workers write: `anna sees anna,bert at 33`, then `anna works on key-7` for
//! each key, then `anna is busy`, and so again with the next change. `anna stops` before she leaves, and
//! `anna dies` is written when she does nothing any more.

use std::collections::{BTreeMap, BTreeSet};

/// Who works on each key.
pub(crate) type Owners = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// How each sees it.
    views: BTreeMap<String, View>,
}

#[derive(Debug)]
struct View {
    members: String,
    revision: u64,
    keys: BTreeSet<String>,
    /// Whether it has all of its keys.
    busy: bool,
}

impl Roster {
    pub(crate) fn note(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [name, "sees", members, "at", revision] => {
                let (members, revision) = ((*members).to_owned(), revision.parse().unwrap_or_default());
                let view = View { members, revision, keys: BTreeSet::new(), busy: false };
                self.views.insert((*name).to_owned(), view);
            }
            [name, "works", "on", key] => {
                if let Some(view) = self.views.get_mut(*name) {
                    view.keys.insert((*key).to_owned());
                }
            }
            [name, "is", "busy"] => {
                if let Some(view) = self.views.get_mut(*name) {
                    view.busy = true;
                }
            }
            [name, "stops" | "dies"] => drop(self.views.remove(*name)),
            _ => {}
        }
    }

    /// Whether these work, nobody else does, and all of them see just that.
    pub(crate) fn agrees_on(&self, names: &[&str]) -> bool {
        let mut sorted = names.to_vec();
        sorted.sort_unstable();
        let members = sorted.join(",");
        self.views.keys().eq(&sorted) && self.views.values().all(|view| view.busy && view.members == members)
    }

    /// Who works on each of so many keys.
    ///
    /// # Errors
    ///
    /// When that is not one for each.
    pub(crate) fn owners(&self, keys: usize) -> Result<Owners, String> {
        let mut owners = Owners::new();
        for (name, view) in &self.views {
            for key in &view.keys {
                if let Some(other) = owners.insert(key.clone(), name.clone()) {
                    let revision = view.revision;
                    return Err(format!("{other} and {name} both work on {key}, at revision {revision}"));
                }
            }
        }
        let busy = owners.len();
        if busy == keys { Ok(owners) } else { Err(format!("of {keys} keys, {busy} are worked on")) }
    }
}

/// How many keys have another owner than before.
///
/// # Errors
///
/// When one was not that of `who`, who came or went, and is not now.
pub(crate) fn moved(before: &Owners, after: &Owners, who: &str) -> Result<usize, String> {
    let mut moved = 0;
    for (key, owner) in after {
        let old = before.get(key).map_or("nobody", String::as_str);
        if old != owner {
            moved += 1;
            if old != who && owner != who {
                return Err(format!("{key} moved from {old} to {owner}, not because of {who}"));
            }
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(lines: &[&str]) -> Roster {
        let mut roster = Roster::default();
        lines.iter().for_each(|line| roster.note(line));
        roster
    }

    const TWO: [&str; 6] =
        ["a sees a,b at 2", "a works on x", "a is busy", "b sees a,b at 2", "b works on y", "b is busy"];

    #[test]
    fn all_agree_when_each_is_busy_and_sees_the_others() {
        assert!(roster(&TWO).agrees_on(&["b", "a"]));
        assert!(!roster(&TWO).agrees_on(&["a"]) && !roster(&TWO).agrees_on(&["a", "b", "c"]));
        assert!(!roster(&TWO[..5]).agrees_on(&["a", "b"]));
        let alone = ["a sees a at 3", "a works on x", "a is busy"];
        assert!(!roster(&[&TWO[..], &alone].concat()).agrees_on(&["a", "b"]));
        assert!(!roster(&[&TWO[..], &alone].concat()).agrees_on(&["a"]));
        assert!(roster(&[&TWO[..], &["b dies"], &alone].concat()).agrees_on(&["a"]));
        assert!(roster(&[&TWO[..], &alone, &["b stops"]].concat()).agrees_on(&["a"]));
    }

    #[test]
    fn each_key_has_one_owner() {
        let owners = roster(&TWO).owners(2).unwrap();
        assert_eq!(owners.into_iter().collect::<Vec<_>>(), [("x", "a"), ("y", "b")].map(owned));
        assert_eq!(roster(&TWO).owners(3), Err("of 3 keys, 2 are worked on".to_owned()));
        let both = roster(&[&TWO[..], &["b works on x"]].concat()).owners(2);
        assert_eq!(both, Err("a and b both work on x, at revision 2".to_owned()));
    }

    #[test]
    fn only_keys_of_who_came_or_went_move() {
        let owners = |all: [(&str, &str); 3]| all.map(owned).into_iter().collect::<Owners>();
        let (three, two) =
            (owners([("x", "a"), ("y", "b"), ("z", "c")]), owners([("x", "a"), ("y", "b"), ("z", "a")]));
        assert_eq!((moved(&three, &two, "c"), moved(&two, &three, "c")), (Ok(1), Ok(1)));
        assert_eq!(moved(&two, &two, "c"), Ok(0));
        let shuffled = owners([("x", "b"), ("y", "b"), ("z", "a")]);
        let error = Err("x moved from a to b, not because of c".to_owned());
        assert_eq!(moved(&three, &shuffled, "c"), error);
    }

    fn owned((key, name): (&str, &str)) -> (String, String) {
        (key.to_owned(), name.to_owned())
    }
}
