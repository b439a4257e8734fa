//! Lists the bugs that can be seeded: a line for each, with its name, the part that it is in, and what is wrong.
#![forbid(unsafe_code)]

use lock_core::bug::Bug;

fn main() {
    for bug in Bug::ALL {
        println!("{bug}\t{:?}\t{}", bug.part(), bug.explanation());
    }
}
