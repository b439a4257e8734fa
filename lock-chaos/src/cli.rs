//! What a run is told.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, ValueEnum};

use crate::nemesis::Kind;

/// Turns under faults, and a checker that can say no.
#[derive(Clone, Debug, Parser)]
#[command(after_help = list())]
pub(crate) struct Arguments {
    /// Which store; its servers are started for the run.
    #[arg(long, value_enum)]
    pub(crate) backend: Backend,
    /// How many servers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) nodes: u8,
    /// How many processes take turns.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) clients: u16,
    /// How many turns each of them takes at a time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) workers: u8,
    /// How many lines there are; of five, two are mutexes, one a read-write lock, one a semaphore and one an
    /// election.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) locks: u16,
    /// For how long.
    #[arg(long, default_value_t = 1, conflicts_with = "seconds")]
    pub(crate) minutes: u64,
    /// For how long, in seconds; at least one storm and one quiet phase.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// What everything that is left to chance comes from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Which faults, separated by commas: `all` that the store has, `none`, some of them, or `all,-kill,-stop`: all
    /// but some; see the list below.
    #[arg(long, default_value = "all")]
    pub(crate) faults: Faults,
    /// The mean time from one fault to the next, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) every: u64,
    /// How long the store keeps the claims of a process that went silent, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) ttl: u64,
    /// Most holds are long, so that those who are killed or stopped hold something.
    #[arg(long)]
    pub(crate) long_holds: bool,
    /// Where the history, the report and the timeline are written.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// For tests of the checker: one client never looks at its guards, and both registers take what comes.
    #[arg(long, hide = true)]
    pub(crate) broken_client: bool,
}

/// All faults, with what they are.
fn list() -> String {
    let fault = |kind: &Kind| {
        let value = kind.to_possible_value()?;
        Some(format!("\n  {:14} {}", value.get_name(), value.get_help()?))
    };
    let faults: String = Kind::value_variants().iter().filter_map(fault).collect();
    format!("Faults:{faults}")
}

impl Arguments {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(self.minutes * 60))
    }

    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl)
    }

    /// The command that runs this once more.
    pub(crate) fn command(&self) -> String {
        let Self { backend, nodes, clients, workers, locks, seed, faults, every, ttl, .. } = self;
        let long = if self.long_holds { " --long-holds" } else { "" };
        format!(
            "cargo run --release -p lock-chaos -- --backend {} --nodes {nodes} --clients {clients} \
             --workers {workers} --locks {locks} --seconds {} --seed {seed} --faults {faults} \
             --every {every} --ttl {ttl}{long}",
            backend.name(),
            self.time().as_secs(),
        )
    }
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Members of etcd.
    Etcd,
    /// Servers of ZooKeeper.
    Zookeeper,
    /// The store in this process, whose clients are tasks of it: of all faults they can only be dropped.
    Memory,
}

impl Backend {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Zookeeper => "zookeeper",
            Self::Memory => "memory",
        }
    }
}

/// Which faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    All,
    Some(Vec<Kind>),
}

impl Faults {
    /// Those of them that this store has.
    pub(crate) fn of(&self, backend: Backend, nodes: usize) -> Vec<Kind> {
        self.wanted().iter().copied().filter(|kind| kind.applies_to(backend, nodes)).collect()
    }

    /// The names of the others.
    pub(crate) fn not_of(&self, backend: Backend, nodes: usize) -> Vec<String> {
        let others = self.wanted().iter().filter(|kind| !kind.applies_to(backend, nodes));
        others.map(|kind| kind.name()).collect()
    }

    fn wanted(&self) -> &[Kind] {
        match self {
            Self::All => Kind::value_variants(),
            Self::Some(kinds) => kinds,
        }
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::Some(Vec::new())),
            _ => {}
        }
        let known = || Kind::value_variants().iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let kind = |name: &str| {
            Kind::from_str(name, false)
                .map_err(|_| format!("no fault is called {name:?}; there are {}", known()))
        };
        let Some(others) = text.strip_prefix("all,-") else {
            return text.split(',').map(kind).collect::<Result<_, _>>().map(Self::Some);
        };
        let others: Vec<Kind> = others.split(",-").map(kind).collect::<Result<_, _>>()?;
        let rest = Kind::value_variants().iter().filter(|kind| !others.contains(kind));
        Ok(Self::Some(rest.copied().collect()))
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Some(kinds) if kinds.is_empty() => f.write_str("none"),
            Self::Some(kinds) => {
                f.write_str(&kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_and_come_back() {
        for text in ["all", "none", "kill,stop,leader-kill"] {
            assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
        }
        let but_two: Faults = "all,-kill,-leader-pause".parse().unwrap();
        assert_eq!(but_two.wanted().len(), Kind::value_variants().len() - 2);
        assert!(!but_two.wanted().contains(&Kind::Kill));
        assert_eq!(but_two.to_string().parse::<Faults>().unwrap(), but_two);
        "all,-x".parse::<Faults>().unwrap_err();
        let error = "kill,x".parse::<Faults>().unwrap_err();
        assert!(error.contains("\"x\"") && error.contains("leader-kill"), "{error}");
        assert_eq!(Faults::All.of(Backend::Memory, 1), [Kind::Kill]);
        assert_eq!(Faults::All.not_of(Backend::Zookeeper, 3), ["compact", "defragment", "full"]);
    }
}
