//! What is run, and where.

use std::{fmt, path::Path};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A cluster, and where it keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Environment {
    Tmpfs1,
    Disk1,
    Tmpfs3,
    Disk3,
}

impl Environment {
    pub(super) const ALL: [Self; 4] = [Self::Tmpfs1, Self::Disk1, Self::Tmpfs3, Self::Disk3];

    pub(super) const fn members(self) -> usize {
        match self {
            Self::Tmpfs1 | Self::Disk1 => 1,
            Self::Tmpfs3 | Self::Disk3 => 3,
        }
    }

    /// Below which folder the data is; none when this system has no such place.
    pub(super) fn folder(self, disk: &Path) -> Option<&Path> {
        match self {
            Self::Disk1 | Self::Disk3 => Some(disk),
            Self::Tmpfs1 | Self::Tmpfs3 => Some(Path::new("/dev/shm")).filter(|folder| folder.is_dir()),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tmpfs1 => "one member, tmpfs",
            Self::Disk1 => "one member, disk",
            Self::Tmpfs3 => "three members, tmpfs",
            Self::Disk3 => "three members, disk",
        })
    }
}

/// As `lock-bench` and the peers call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Uncontended,
    Spread,
    Contended,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uncontended => "uncontended",
            Self::Spread => "spread",
            Self::Contended => "contended",
        })
    }
}

/// So many clients in each other's way, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) mode: Mode,
    pub(super) clients: usize,
}

pub(super) const UNCONTENDED: Case = Case { mode: Mode::Uncontended, clients: 1 };
pub(super) const SPREAD: Case = Case { mode: Mode::Spread, clients: 64 };
/// How many wait for one lock.
pub(super) const WAITERS: [usize; 6] = [2, 16, 256, 1_000, 4_000, 10_000];
/// The most sessions of ours that clients share.
pub(super) const SESSIONS: usize = 64;

pub(super) const fn contended(clients: usize) -> Case {
    Case { mode: Mode::Contended, clients }
}

impl Case {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [UNCONTENDED, SPREAD].into_iter().chain(WAITERS.map(contended))
    }

    /// How many sessions the clients of ours share, few and many.
    pub(super) fn sessions(self) -> Vec<usize> {
        let mut sessions = vec![1, self.clients.min(SESSIONS)];
        sessions.dedup();
        sessions
    }
}
