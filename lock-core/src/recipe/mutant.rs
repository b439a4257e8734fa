//! Recipes that are broken on purpose, one way at a time, chosen when a coordinator is opened. The conformance
//! suite must find each of them out, on the clause that it breaks. In a build without the feature `testkit`
//! there is none.

/// What is wrong with a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// Takes several locks in the order in which they were given.
    AnyOrder,
    /// Gives a re-entrant turn back with the first of its guards.
    ForgetsDepth,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::AnyOrder, Self::ForgetsDepth];
}
