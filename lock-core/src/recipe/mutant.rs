//! Recipes that are broken on purpose, one way at a time, chosen when a coordinator is opened. The conformance
//! suite must find each of them out, on the clause that it breaks. In a build without the feature `testkit`
//! there is none.

/// What is wrong with a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// Readers do not queue behind a writer who waits.
    ReaderOvertakes,
    /// Each client goes by the number of permits that it was told itself.
    AnyLimit,
    /// A member whose session was lost does not come back to its group.
    NotAgain,
    /// Takes several locks in the order in which they were given.
    AnyOrder,
    /// Gives a re-entrant turn back with the first of its guards.
    ForgetsDepth,
    /// A round of a barrier that is complete is not written down before those who saw it leave.
    NotReady,
    /// Who leaves a double barrier does not wait for the others.
    LeavesAlone,
    /// A participant that counts down again counts again.
    CountsTwice,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ReaderOvertakes,
        Self::AnyLimit,
        Self::NotAgain,
        Self::AnyOrder,
        Self::ForgetsDepth,
        Self::NotReady,
        Self::LeavesAlone,
        Self::CountsTwice,
    ];
}
