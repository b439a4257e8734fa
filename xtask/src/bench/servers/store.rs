//! What a store is to this benchmark, and what a peer is.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::goals::Goal;
use crate::cargo::Result;

/// A store with servers.
pub(crate) struct Store {
    /// As the page's marks and the files of figures call it.
    pub(super) name: &'static str,
    /// The program of `lock-testkit` that runs its servers.
    pub(super) cluster: &'static str,
    pub(super) scheme: &'static str,
    /// What follows the namespace in the URI. Sessions last as long as those of the peers.
    pub(super) parameters: &'static str,
    /// Which servers these are.
    pub(super) version: fn() -> Result<String>,
    /// For how many seconds new servers are used before anybody is measured.
    pub(super) warm_up: u64,
    /// Whether they get slower the longer they are used. Then nobody is measured on servers that others than those
    /// beside it have used.
    pub(super) ages: bool,
    /// Many of the small writes that turns are compared with.
    pub(super) yardstick: &'static str,
    pub(super) peers: &'static [Peer],
    pub(super) goals: &'static [Goal],
}

/// Another project's lock, which a program of its own drives. That one takes the servers, the mode, the
/// seconds and the clients as arguments, and prints what [`Measures::of_peer`](super::figures::Measures)
/// reads.
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Where its program is, in the folder of the peers' programs.
    pub(super) folder: &'static str,
    /// How its clients share sessions, in words.
    pub(super) sessions: &'static str,
    /// Makes the program from what is in this folder and puts what it needs into that one.
    pub(super) build: fn(&Path, &Path) -> Result<Built>,
}

/// A peer's program.
pub(super) struct Built {
    pub(super) program: PathBuf,
    /// Before those that all have.
    pub(super) arguments: Vec<OsString>,
    /// Of what it measures.
    pub(super) version: String,
}
