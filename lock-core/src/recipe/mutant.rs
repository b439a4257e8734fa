//! Recipes that are broken on purpose, one way at a time, chosen when a coordinator is opened. The conformance
//! suite must find each of them out, on the clause that it breaks. In a build without the feature `testkit`
//! there is none.

/// What is wrong with a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// A member whose session was lost does not come back to its group.
    NotAgain,
    /// A round of a barrier that is complete is not written down before those who saw it leave.
    NotReady,
    /// Who leaves a double barrier does not wait for the others.
    LeavesAlone,
    /// A participant that counts down again counts again.
    CountsTwice,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NotAgain, Self::NotReady, Self::LeavesAlone, Self::CountsTwice];
}
