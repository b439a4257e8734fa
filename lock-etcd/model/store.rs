//! The etcd of the model: revisions, leases, transactions as data, and what a watch would be told.
//!
//! Revisions are only compared, never computed with, so the model renumbers them after each step
//! (`Store::each_revision`): states that differ only in the gaps between revisions are one state.

/// A claim, by its index. Its order means nothing.
pub(crate) type Claim = u8;
/// A session, and its lease.
pub(crate) type Session = u8;
/// A revision of the store; 0 is "never".
pub(crate) type Revision = u8;

/// The keys of the line. Nobody reads the value of `bell/<S>` and `live/<S>`: of the one only the events are kept, of
/// the other whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Tail,
    /// Who left while somebody stood behind it that had not linked yet.
    Mark,
    Queue(Claim),
    /// `q/<claim>/next`
    Next(Claim),
    Void(Claim),
    /// `h/s/<claim>`: a shared holder, behind the gate.
    Shared(Claim),
    /// `h/p/<claim>`: a holder of permits, behind the gate.
    Permits(Claim),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Range {
    Queue,
    Holders,
    Permits,
}

impl Range {
    pub(crate) fn contains(self, key: Key) -> bool {
        match self {
            Range::Queue => matches!(key, Key::Queue(_)),
            Range::Holders => matches!(key, Key::Shared(_) | Key::Permits(_)),
            Range::Permits => matches!(key, Key::Permits(_)),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    #[default]
    Nothing,
    /// The claim that `tail` names, or the next one behind another.
    Claim(Claim),
    /// On the tail: this claim came straight in. On the mark: it left as the head.
    Head(Claim),
    /// On the mark: the first one left, and stood behind the second.
    Behind(Claim, Claim),
}

impl Value {
    /// The claim that it names first.
    pub(crate) fn claim(self) -> Option<Claim> {
        match self {
            Value::Nothing => None,
            Value::Claim(claim) | Value::Head(claim) | Value::Behind(claim, _) => Some(claim),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub key: Key,
    pub value: Value,
    pub created: Revision,
    pub modified: Revision,
    pub lease: Option<Session>,
}

/// What is written on a bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum News {
    /// You are the head, and nobody holds behind the gate.
    Turn(Claim),
    /// You are the head: look at the holders yourself.
    Head(Claim),
    /// Your predecessor is now the second one.
    Pred(Claim, Claim),
    /// The second one has linked itself behind you.
    Next(Claim, Claim),
    Evicted(Claim),
}

impl News {
    /// For whom it is.
    pub(crate) fn to(self) -> Claim {
        match self {
            News::Turn(me) | News::Head(me) | News::Pred(me, _) | News::Next(me, _) | News::Evicted(me) => me,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Absent(Key),
    Present(Key),
    Created(Key, Revision),
    Modified(Key, Revision),
    Names(Key, Claim),
    Empty(Range),
    /// `live/<S>` is there.
    Lives(Session),
    /// Every key of the range was created at this revision or before.
    NoneSince(Range, Revision),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Creates or overwrites, and attaches to this lease.
    Put(Key, Value, Option<Session>),
    /// A put on the bell of this session.
    Ring(Session, Vec<News>),
    Delete(Key),
    Nested(Txn),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Txn {
    pub compares: Vec<Compare>,
    pub then: Vec<Operation>,
    pub otherwise: Vec<Operation>,
}

/// What a transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub succeeded: bool,
    /// Whether the nested transaction succeeded.
    pub nested: bool,
    /// The value of `tail` that a put replaced, or that of `next` that a delete removed.
    pub replaced: Value,
    pub events: Vec<Event>,
}

/// What watches are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Somebody wrote on the bell of this session.
    Bell(Session, News, Revision),
    /// `live/<S>` was deleted.
    Gone(Session),
    /// A key in `h/` was deleted.
    Freed,
}

impl Event {
    pub(crate) fn watch(self) -> Watch {
        match self {
            Event::Bell(..) => Watch::Bell,
            Event::Gone(_) => Watch::Ends,
            Event::Freed => Watch::Gate,
        }
    }
}

/// What a session watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Watch {
    /// Its own bell.
    Bell,
    /// The ends of other sessions.
    Ends,
    /// The holders behind the gate.
    Gate,
}

/// The store answers with an error, and nothing has happened: a lease is gone, or a key is written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub revision: Revision,
    /// In the order of their keys.
    nodes: Vec<Node>,
    leases: Vec<bool>,
    /// Of which sessions there is `live/<S>`.
    live: Vec<bool>,
}

impl Store {
    pub(crate) fn new(sessions: usize) -> Store {
        let all = vec![true; sessions];
        Store { revision: 0, nodes: Vec::new(), leases: all.clone(), live: all }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Node> {
        self.nodes.iter().find(|node| node.key == key)
    }

    pub(crate) fn range(&self, range: Range) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| range.contains(node.key))
    }

    /// Whether the session has not ended.
    pub(crate) fn lives(&self, session: Session) -> bool {
        self.live[session as usize]
    }

    /// The lease of a session that has ended was granted once more, by a request that came late.
    pub(crate) fn haunts(&self, session: Session) -> bool {
        self.leases[session as usize] && !self.lives(session)
    }

    pub(crate) fn grant_again(&mut self, session: Session) {
        self.leases[session as usize] = true;
    }

    pub(crate) fn each_revision(&mut self, visit: &mut dyn FnMut(&mut Revision)) {
        visit(&mut self.revision);
        for node in &mut self.nodes {
            visit(&mut node.created);
            visit(&mut node.modified);
        }
    }

    /// One transaction. As in etcd, all compares, nested ones too, look at the store before any operation.
    pub(crate) fn apply(&mut self, txn: &Txn) -> Result<Outcome, Refused> {
        let mut outcome = Outcome::default();
        let mut path = Vec::new();
        outcome.succeeded = self.walk(txn, &mut path, &mut outcome);
        self.check(&path)?;
        self.revision += u8::from(!path.is_empty());
        for operation in path {
            self.perform(operation, &mut outcome);
        }
        Ok(outcome)
    }

    /// The lease ends: all that is attached to it vanishes in one revision.
    pub(crate) fn expire(&mut self, session: Session) -> Vec<Event> {
        self.leases[session as usize] = false;
        self.revision += 1;
        let attached = |node: &Node| node.lease == Some(session);
        let had_life = std::mem::take(&mut self.live[session as usize]);
        let mut events: Vec<Event> = had_life.then_some(Event::Gone(session)).into_iter().collect();
        let freed = self.range(Range::Holders).filter(|node| attached(node)).count();
        events.extend(std::iter::repeat_n(Event::Freed, freed));
        self.nodes.retain(|node| !attached(node));
        events
    }

    fn walk<'a>(&self, txn: &'a Txn, path: &mut Vec<&'a Operation>, outcome: &mut Outcome) -> bool {
        let succeeded = txn.compares.iter().all(|compare| self.holds(*compare));
        for operation in if succeeded { &txn.then } else { &txn.otherwise } {
            match operation {
                Operation::Nested(inner) => outcome.nested = self.walk(inner, path, outcome),
                plain => path.push(plain),
            }
        }
        succeeded
    }

    fn holds(&self, compare: Compare) -> bool {
        let node = |key| self.get(key);
        match compare {
            Compare::Absent(key) => node(key).is_none(),
            Compare::Present(key) => node(key).is_some(),
            Compare::Created(key, at) => node(key).is_some_and(|node| node.created == at),
            Compare::Modified(key, at) => node(key).map_or(0, |node| node.modified) == at,
            Compare::Names(key, claim) => node(key).is_some_and(|node| node.value.claim() == Some(claim)),
            Compare::Lives(session) => self.lives(session),
            Compare::Empty(range) => self.range(range).next().is_none(),
            Compare::NoneSince(range, bound) => self.range(range).all(|node| node.created <= bound),
        }
    }

    /// What etcd refuses: dead leases, one key written twice.
    fn check(&self, path: &[&Operation]) -> Result<(), Refused> {
        let fine = |operation: &&Operation| match operation {
            Operation::Put(_, _, Some(lease)) => self.leases[*lease as usize],
            Operation::Ring(session, _) => self.leases[*session as usize],
            _ => true,
        };
        let written = |operation: &Operation| match operation {
            Operation::Put(key, ..) | Operation::Delete(key) => (Some(*key), None),
            Operation::Ring(session, _) => (None, Some(*session)),
            Operation::Nested(_) => (None, None),
        };
        let twice = path
            .iter()
            .enumerate()
            .any(|(index, operation)| path[..index].iter().any(|other| written(other) == written(operation)));
        if twice || !path.iter().all(fine) { Err(Refused) } else { Ok(()) }
    }

    fn perform(&mut self, operation: &Operation, outcome: &mut Outcome) {
        match operation {
            Operation::Put(key, value, lease) => {
                let replaced = self.put(*key, *value, *lease);
                if *key == Key::Tail {
                    outcome.replaced = replaced;
                }
            }
            Operation::Ring(session, news) => {
                outcome.events.extend(news.iter().map(|news| Event::Bell(*session, *news, self.revision)));
            }
            Operation::Delete(key) => {
                let before = self.nodes.len();
                if let Some(next) = self.get(*key).filter(|_| matches!(key, Key::Next(_))) {
                    outcome.replaced = next.value;
                }
                self.nodes.retain(|node| node.key != *key);
                if Range::Holders.contains(*key) && self.nodes.len() < before {
                    outcome.events.push(Event::Freed);
                }
            }
            Operation::Nested(_) => {}
        }
    }

    /// Writes one key. Returns the value before.
    fn put(&mut self, key: Key, value: Value, lease: Option<Session>) -> Value {
        let modified = self.revision;
        match self.nodes.binary_search_by_key(&key, |node| node.key) {
            Ok(index) => {
                let node = &mut self.nodes[index];
                node.modified = modified;
                node.lease = lease;
                std::mem::replace(&mut node.value, value)
            }
            Err(index) => {
                self.nodes.insert(index, Node { key, value, created: modified, modified, lease });
                Value::Nothing
            }
        }
    }
}
