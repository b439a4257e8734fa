//! The links among the servers of a cluster.

use std::{collections::BTreeMap, io, net::SocketAddr};

use super::socks::Routes;
use crate::proxy::{Fault, Proxy};

/// Where a server listens for others, and the address by which they all know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    pub(super) known: SocketAddr,
    pub(super) real: SocketAddr,
}

/// A link from each server to each door of each server, and a way out for each that leads through its own.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    /// By the server that connects, then by the one that it connects to, then by the door.
    links: Vec<Vec<Vec<Proxy>>>,
    ways_out: Vec<Routes>,
}

impl Mesh {
    /// Links servers with these doors.
    pub(super) async fn start(servers: &[Vec<Door>]) -> io::Result<Self> {
        let mut mesh = Self::default();
        for _ in servers {
            let (mut from_here, mut routes) = (Vec::new(), BTreeMap::new());
            for doors in servers {
                let mut links = Vec::new();
                for door in doors {
                    let link = Proxy::start(door.real).await?;
                    routes.insert(door.known, link.entrance());
                    links.push(link);
                }
                from_here.push(links);
            }
            mesh.links.push(from_here);
            mesh.ways_out.push(Routes::start(routes).await?);
        }
        Ok(mesh)
    }

    /// The SOCKS5 proxy that leads this server's connections through its links; none in an empty mesh.
    pub(super) fn way_out(&self, server: usize) -> Option<SocketAddr> {
        self.ways_out.get(server).map(Routes::address)
    }

    /// The links on which one server connects to another's doors.
    pub(super) fn links(&self, from: usize, to: usize) -> Option<&[Proxy]> {
        if from == to { None } else { Some(self.links.get(from)?.get(to)?) }
    }

    /// Sets a fault on all links between two servers.
    pub(super) fn separate(&self, one: usize, other: usize, fault: Fault) -> Result<(), String> {
        for (from, to) in [(one, other), (other, one)] {
            let links = self.links(from, to).ok_or(format!("no proxy between servers {from} and {to}"))?;
            for link in links {
                link.set(fault);
            }
        }
        Ok(())
    }

    /// Sets a fault on all links between a server and the others.
    pub(super) fn isolate(&self, server: usize, fault: Fault) -> Result<(), String> {
        self.links.get(server).ok_or(format!("no proxies around server {server}"))?;
        for other in (0..self.links.len()).filter(|other| *other != server) {
            self.separate(server, other, fault)?;
        }
        Ok(())
    }

    /// Ends all faults.
    pub(super) fn heal(&self) {
        for link in self.links.iter().flatten().flatten() {
            link.set(Fault::Pass);
        }
    }
}
