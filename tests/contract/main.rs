//! The contract on the in-process store: what a user can rely on, clause by clause (`docs/contract.md`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod barrier;
mod cancellation;
mod cap;
mod deadlock;
mod delay;
mod double_barrier;
mod drops;
mod election;
mod full;
mod group;
mod input;
mod latch;
mod multi;
mod mutex;
mod patience;
mod reentrant;
mod rwlock;
mod seam;
mod semaphore;
mod support;
mod task;
mod threads;
mod unpolled;
