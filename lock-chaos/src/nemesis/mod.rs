//! Who breaks things: which faults there are, when each comes, and how it is done.

mod run;
mod schedule;

use clap::ValueEnum;

pub(crate) use self::{
    run::Nemesis,
    schedule::{Terms, schedule},
};
use crate::cli::Backend;

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Kind {
    /// SIGKILL of a client.
    Kill,
    /// SIGSTOP of a client, and SIGCONT; mostly beyond its ttl.
    Stop,
    /// SIGKILL of a server, which is started again.
    ServerKill,
    /// SIGSTOP of a server, and SIGCONT.
    ServerPause,
    /// SIGKILL of the server that leads.
    LeaderKill,
    /// SIGSTOP of the server that leads, and SIGCONT.
    LeaderPause,
    /// The server that leads is cut off from the others; its clients still reach it.
    LeaderCut,
    /// No byte between a client and all servers.
    Cut,
    /// No byte between a client and one server.
    CutServer,
    /// No byte one way between a client and all servers.
    OneWay,
    /// A server is cut off from the others.
    PeerCut,
    /// No byte between two servers; the others reach both.
    PeerSplit,
    /// No byte from one server to another; the other way passes.
    PeerOneWay,
    /// Connections of a client are reset.
    Reset,
    /// Nobody listens at one server, for a client.
    Refuse,
    /// Each byte between a client and all servers is late.
    Delay,
    /// Each byte between two servers is late.
    PeerDelay,
    /// A client's bytes stop and go.
    Slow,
    /// A reply is swallowed, and its connection reset.
    LoseReply,
    /// The history is forgotten.
    Compact,
    /// A member gives back room, and stands still meanwhile.
    Defragment,
    /// The store has no room, for a while.
    Full,
}

impl Kind {
    /// As it is written on the command line and in reports.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it can be had there.
    pub(crate) fn applies_to(self, backend: Backend, nodes: usize) -> bool {
        let of_peers = matches!(
            self,
            Self::LeaderCut | Self::PeerCut | Self::PeerSplit | Self::PeerOneWay | Self::PeerDelay
        );
        match backend {
            Backend::Memory => self == Self::Kill,
            Backend::Zookeeper if matches!(self, Self::Compact | Self::Defragment | Self::Full) => false,
            _ => nodes > 1 || !of_peers,
        }
    }
}
