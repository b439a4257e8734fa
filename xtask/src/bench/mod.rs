//! Runs benchmarks and writes their figures, with the machine that they come from, into
//! `docs/performance.md`.

pub(crate) mod memory;
pub(crate) mod servers;

use crate::page::Page;

const PAGE: Page = Page("performance.md");
