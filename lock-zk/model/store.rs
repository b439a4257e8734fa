//! A small ZooKeeper: the nodes of one line, as they are after some commit.

pub(crate) type Claim = u8;
pub(crate) type Session = u8;
/// The number at the end of a node's name. They are dense, and start at 0 in each queue.
pub(crate) type Seq = i8;

/// A node `q/<queue>/c-<seq>`. Their order is that of their czxids: a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub queue: u8,
    pub seq: Seq,
}

/// Whether somebody may hold behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Held {
    /// A fresh queue: nobody has written it yet.
    Unknown,
    No,
    Yes,
}

/// The data of a queue: every node up to `upto` is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Floor {
    pub upto: Seq,
    pub held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Path {
    Queue(Place),
    /// `h/<claim>`.
    Holder(Claim),
    /// The children of `h`.
    Holders,
}

/// One operation of a multi.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Op {
    Delete(Path),
    Hold(Claim),
    SetFloor(u8, Floor),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    pub id: u8,
    pub floor: Floor,
    /// In their order.
    pub nodes: Vec<(Seq, Claim)>,
    /// The number of the next node.
    next: Seq,
    /// The last change of its children was the creation of this one: its czxid is the queue's pzxid.
    pub last_created: Option<Seq>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub queue: Option<Queue>,
    /// The children of `h`.
    pub holders: Vec<Claim>,
    /// `h` is there.
    pub gate: bool,
    /// The number of queues that there have been.
    made: u8,
    /// A mutant: a queue that is made again has the name of the one before.
    one_name: bool,
}

impl Store {
    /// A queue in which all have passed up to now, exclusive claims last.
    pub(crate) fn new(one_name: bool) -> Store {
        let mut store = Store { queue: None, holders: Vec::new(), gate: true, made: 0, one_name };
        store.make();
        if let Some(queue) = &mut store.queue {
            queue.floor.held = Held::No;
        }
        store
    }

    /// The queue, if it goes by this name.
    pub(crate) fn queue(&self, id: u8) -> Option<&Queue> {
        self.queue.as_ref().filter(|queue| queue.id == id || self.one_name)
    }

    fn queue_mut(&mut self, id: u8) -> Option<&mut Queue> {
        let one_name = self.one_name;
        self.queue.as_mut().filter(|queue| queue.id == id || one_name)
    }

    /// Whose node this is, if it is there.
    pub(crate) fn owner(&self, path: Path) -> Option<Claim> {
        match path {
            Path::Queue(place) => {
                let nodes = &self.queue(place.queue)?.nodes;
                nodes.iter().find(|(seq, _)| *seq == place.seq).map(|(_, claim)| *claim)
            }
            Path::Holder(claim) => self.holders.contains(&claim).then_some(claim),
            Path::Holders => None,
        }
    }

    pub(crate) fn place_of(&self, claim: Claim) -> Option<Place> {
        let queue = self.queue.as_ref()?;
        let (seq, _) = queue.nodes.iter().find(|(_, owner)| *owner == claim)?;
        Some(Place { queue: queue.id, seq: *seq })
    }

    pub(crate) fn has(&self, claim: Claim) -> bool {
        self.place_of(claim).is_some() || self.holders.contains(&claim)
    }

    pub(crate) fn first(&self) -> Option<(Seq, Claim)> {
        self.queue.as_ref()?.nodes.first().copied()
    }

    /// Whether a watch that was set in this state fires in that one.
    pub(crate) fn fires(&self, path: Path, later: &Store) -> bool {
        match path {
            Path::Holders => self.holders != later.holders,
            node => self.owner(node).is_some() && later.owner(node).is_none(),
        }
    }

    /// A queue, if there is none: one transaction, which fails when there is one.
    pub(crate) fn make(&mut self) -> u8 {
        if let Some(queue) = &self.queue {
            return queue.id;
        }
        let (id, floor) = (self.made, Floor { upto: -1, held: Held::Unknown });
        self.made += 1;
        self.queue = Some(Queue { id, floor, nodes: Vec::new(), next: 0, last_created: None });
        id
    }

    /// `create2`, ephemeral and sequential.
    pub(crate) fn join(&mut self, queue: u8, claim: Claim) -> Option<Place> {
        let queue = self.queue_mut(queue)?;
        let seq = queue.next;
        queue.next += 1;
        queue.nodes.push((seq, claim));
        queue.last_created = Some(seq);
        Some(Place { queue: queue.id, seq })
    }

    /// All of it or, when a node is missing, nothing. Returns whose nodes it has deleted.
    pub(crate) fn multi(&mut self, operations: &[Op]) -> Option<Vec<Claim>> {
        let before = self.clone();
        let deleted = operations.iter().map(|operation| self.perform(*operation)).collect::<Option<Vec<_>>>();
        if deleted.is_none() {
            *self = before;
        }
        deleted.map(|deleted| deleted.into_iter().flatten().collect())
    }

    fn perform(&mut self, operation: Op) -> Option<Option<Claim>> {
        match operation {
            Op::Delete(path) => {
                let owner = self.owner(path)?;
                self.delete(path);
                return Some(Some(owner));
            }
            Op::Hold(_) if !self.gate => return None,
            Op::Hold(claim) => {
                self.holders.push(claim);
                self.holders.sort_unstable();
            }
            Op::SetFloor(queue, floor) => self.queue_mut(queue)?.floor = floor,
        }
        Some(None)
    }

    fn delete(&mut self, path: Path) {
        match path {
            Path::Queue(place) => {
                if let Some(queue) = self.queue_mut(place.queue) {
                    queue.nodes.retain(|(seq, _)| *seq != place.seq);
                    queue.last_created = None;
                }
            }
            Path::Holder(claim) => self.holders.retain(|holder| *holder != claim),
            Path::Holders => {}
        }
    }

    /// A session ends: its nodes vanish in one transaction.
    pub(crate) fn expire(&mut self, gone: impl Fn(Claim) -> bool) {
        if let Some(queue) = &mut self.queue {
            let before = queue.nodes.len();
            queue.nodes.retain(|(_, claim)| !gone(*claim));
            if queue.nodes.len() < before {
                queue.last_created = None;
            }
        }
        self.holders.retain(|claim| !gone(*claim));
    }

    /// A container that has had children, and has none.
    pub(crate) fn queue_is_reapable(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.next > 0 && queue.nodes.is_empty())
    }

    pub(crate) fn gate_is_reapable(&self) -> bool {
        self.gate && self.holders.is_empty()
    }
}
