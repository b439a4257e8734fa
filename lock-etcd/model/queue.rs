//! The transactions of the queue, as functions of what the client knows.

use crate::{
    claim::{Eviction, Exit, Mode, Reply, Request, Seen},
    mutant::Mutant,
    properties::owner,
    store::{Claim, Compare, Event, Key, News, Operation, Range, Refused, Revision, Store, Txn, Value},
    world::Setup,
};

impl Setup {
    /// The request reaches the store.
    pub(crate) fn execute(
        &self,
        store: &mut Store,
        me: Claim,
        request: Request,
    ) -> Result<(Reply, Vec<Event>), Refused> {
        let Some(txn) = self.transaction(me, request) else {
            return Ok((Reply::Seen(self.look(store, me, request)), Vec::new()));
        };
        let there = store.get(Key::Queue(me)).is_some();
        let outcome = store.apply(&txn)?;
        let (at, tail) = (store.revision, outcome.replaced);
        let reply = match (request, outcome.succeeded) {
            (Request::Follow(_), true) => Reply::Followed(at),
            (Request::Follow(_), false) if outcome.nested => self.queued(store, me, tail),
            (Request::Leave(_), false) if outcome.nested => Reply::HandedOn,
            (_, false) => Reply::Seen(self.look(store, me, request)),
            (Request::Try(_), true) if self.mode(me) != Mode::Exclusive => Reply::Done(at),
            (Request::Try(_) | Request::Again(_), _) => {
                Reply::Joined { at, tail, straight: true, admits: true }
            }
            (Request::Join, _) => {
                Reply::Joined { at, tail, straight: outcome.nested, admits: outcome.nested }
            }
            (Request::Queue, _) => self.queued(store, me, tail),
            (Request::Enter(_), _) if !outcome.nested => {
                Reply::Joined { at, tail, straight: false, admits: false }
            }
            (Request::Drop, _) => Reply::Dropped(there, tail.claim()),
            _ => Reply::Done(at),
        };
        Ok((reply, outcome.events))
    }

    /// The answer to somebody who has a place in the queue, and has read who holds behind the gate.
    fn queued(&self, store: &Store, me: Claim, tail: Value) -> Reply {
        let admits = self.admits(store, me) || self.mutated(Mutant::QueueIgnoresHolders);
        Reply::Joined { at: store.revision, tail, straight: false, admits }
    }

    /// The transaction behind a request; None where it only reads.
    fn transaction(&self, me: Claim, request: Request) -> Option<Txn> {
        match request {
            Request::Again(left_behind) => Some(self.again(me, left_behind)),
            Request::Join => Some(self.join(me)),
            Request::Follow(pred) => Some(self.follow(me, pred)),
            Request::Queue => {
                let (compares, then) = (self.guards(me), self.join_operations(me));
                Some(Txn { compares, then, otherwise: Vec::new() })
            }
            Request::Enter(bound) => Some(self.enter(me, bound)),
            Request::Try(stale_tail) => Some(self.try_join(me, stale_tail)),
            Request::Void => Some(self.void(me)),
            Request::Link(pred) => Some(self.link(me, pred)),
            Request::Leave(exit) => Some(self.leave(me, exit)),
            Request::Admit(exit) => Some(self.admit(me, exit)),
            Request::Release(created, void) => Some(self.release(me, created, void)),
            Request::Drop => Some(Txn {
                then: vec![Operation::Delete(Key::Queue(me)), Operation::Delete(Key::Next(me))],
                ..Txn::default()
            }),
            Request::Tell(news) => Some(self.tell(news)),
            Request::ReadHolders
            | Request::Find(_)
            | Request::After(_)
            | Request::WatchSession(_)
            | Request::WatchHolders => None,
        }
    }

    /// What makes a join happen at most once.
    pub(crate) fn guards(&self, me: Claim) -> Vec<Compare> {
        let mut guards = vec![Compare::Absent(Key::Queue(me))];
        if !self.mutated(Mutant::JoinWithoutVoidGuard) {
            guards.push(Compare::Absent(Key::Void(me)));
        }
        if !self.mutated(Mutant::EnterWithoutLife) {
            guards.push(Compare::Lives(self.session(me)));
        }
        if self.mode(me) != Mode::Exclusive && !self.mutated(Mutant::EnterWithoutHolderGuard) {
            guards.push(Compare::Absent(self.holder_key(me)));
        }
        guards
    }

    /// The FIFO point: swap `tail`, and put my node.
    pub(crate) fn join_operations(&self, me: Claim) -> Vec<Operation> {
        self.place(me, if self.mutated(Mutant::EveryTailIsHead) { Value::Head(me) } else { Value::Claim(me) })
    }

    fn place(&self, me: Claim, tail: Value) -> Vec<Operation> {
        let session = self.session(me);
        let tail_lease = self.mutated(Mutant::LeasedTail).then_some(session);
        vec![
            Operation::Put(Key::Tail, tail, tail_lease),
            Operation::Put(Key::Queue(me), Value::Nothing, Some(session)),
        ]
    }

    /// Straight in over the tail that a claim of my session has left behind. An earlier attempt that has
    /// landed has written another.
    fn again(&self, me: Claim, left_behind: Revision) -> Txn {
        let mut compares = self.nobody(me, left_behind, Mutant::AgainTrustsItsTail);
        if !self.mutated(Mutant::AgainWithoutVoidGuard) {
            compares.push(Compare::Absent(Key::Void(me)));
        }
        if !self.mutated(Mutant::AgainWithoutLife) {
            compares.push(Compare::Lives(self.session(me)));
        }
        Txn { compares, then: self.place(me, Value::Head(me)), otherwise: Vec::new() }
    }

    /// Straight in when nobody is in the way.
    fn join(&self, me: Claim) -> Txn {
        if self.mode(me) != Mode::Exclusive {
            return Txn { compares: self.guards(me), then: self.join_operations(me), otherwise: Vec::new() };
        }
        let compares = self.nobody(me, 0, Mutant::AgainTrustsItsTail);
        let (then, otherwise) = (self.place(me, Value::Head(me)), self.join_operations(me));
        let nested = Operation::Nested(Txn { compares, then, otherwise });
        Txn { compares: self.guards(me), then: vec![nested], otherwise: Vec::new() }
    }

    /// `tail` is a dead claim's since this revision; 0: there is none.
    fn nobody(&self, me: Claim, tail: Revision, careless: Mutant) -> Vec<Compare> {
        let mut compares = Vec::new();
        if tail == 0 || !self.mutated(careless) {
            compares.push(Compare::Modified(Key::Tail, tail));
        }
        if !self.mutated(Mutant::TryIgnoresHolders) {
            compares.push(Compare::Empty(self.barred_by(me)));
        }
        compares
    }

    /// The holders behind the gate that keep somebody out who does not wait.
    fn barred_by(&self, me: Claim) -> Range {
        if self.mode(me) == Mode::Shared { Range::Permits } else { Range::Holders }
    }

    fn try_join(&self, me: Claim, stale_tail: Option<Revision>) -> Txn {
        let nobody = self.nobody(me, stale_tail.unwrap_or_default(), Mutant::SecondTryWithoutTail);
        let compares = [self.guards(me), nobody].concat();
        let then = match self.mode(me) {
            Mode::Exclusive => self.place(me, Value::Head(me)),
            Mode::Shared | Mode::Permits(_) => vec![self.put_holder(me)],
        };
        Txn { compares, then, otherwise: Vec::new() }
    }

    /// Makes a join whose outcome is unknown impossible.
    fn void(&self, me: Claim) -> Txn {
        let mut compares = vec![Compare::Absent(Key::Queue(me))];
        if self.mode(me) != Mode::Exclusive && !self.mutated(Mutant::VoidWithoutHolderGuard) {
            compares.push(Compare::Absent(self.holder_key(me)));
        }
        Txn { compares, then: vec![self.put_void(me)], otherwise: Vec::new() }
    }

    pub(crate) fn put_void(&self, me: Claim) -> Operation {
        Operation::Put(Key::Void(me), Value::Nothing, Some(self.session(me)))
    }

    /// A join and a link in one, if the predecessor is the last; otherwise a place in the queue.
    fn follow(&self, me: Claim, pred: Claim) -> Txn {
        let queue = Txn { compares: self.guards(me), then: self.join_operations(me), otherwise: Vec::new() };
        let mut compares = self.guards(me);
        if !self.mutated(Mutant::FollowWithoutTail) {
            compares.push(Compare::Names(Key::Tail, pred));
        }
        if !self.mutated(Mutant::FollowWithoutNode) {
            compares.push(Compare::Present(Key::Queue(pred)));
        }
        let then = [self.join_operations(me), self.link(me, pred).then].concat();
        Txn { compares, then, otherwise: vec![Operation::Nested(queue)] }
    }

    /// Tells the predecessor who comes next, while both exist.
    fn link(&self, me: Claim, pred: Claim) -> Txn {
        let mut compares = Vec::new();
        if !self.mutated(Mutant::LinkWithoutPredNode) {
            compares.push(Compare::Present(Key::Queue(pred)));
        }
        if !self.mutated(Mutant::LinkWithoutOwnNode) {
            compares.push(Compare::Present(Key::Queue(me)));
        }
        let next = Operation::Put(Key::Next(pred), Value::Claim(me), Some(self.session(pred)));
        let ring = Operation::Ring(self.session(pred), vec![News::Next(pred, me)]);
        Txn { compares, then: vec![next, ring], otherwise: Vec::new() }
    }

    /// To whoever stands behind a claim that has dropped its node.
    fn tell(&self, news: News) -> Txn {
        let next = news.to();
        let ring = Operation::Ring(self.session(next), vec![news]);
        let compares = match self.mutated(Mutant::TellWithoutNextNode) {
            true => Vec::new(),
            false => vec![Compare::Present(Key::Queue(next))],
        };
        Txn { compares, then: vec![ring], otherwise: Vec::new() }
    }

    /// Takes away the tail that a claim has left behind.
    pub(crate) fn sweep(&self, gone: Claim) -> Txn {
        let mine = Compare::Names(Key::Tail, gone);
        let compares = if self.mutated(Mutant::SweepWithoutTail) { Vec::new() } else { vec![mine] };
        Txn { compares, then: self.delete_tail(), otherwise: Vec::new() }
    }

    fn delete_tail(&self) -> Vec<Operation> {
        let mark = (!self.mutated(Mutant::MarkIsKept)).then_some(Operation::Delete(Key::Mark));
        [Operation::Delete(Key::Tail)].into_iter().chain(mark).collect()
    }

    /// Release, withdrawal and, with what `admit` adds, the admission.
    pub(crate) fn leave(&self, me: Claim, exit: Exit) -> Txn {
        let mut compares = vec![Compare::Present(Key::Queue(me))];
        if !self.mutated(Mutant::LeaveWithoutModCompare) {
            compares.push(Compare::Modified(Key::Next(me), exit.modified));
        }
        if let Some(pred) = exit.pred.filter(|_| !self.mutated(Mutant::WithdrawWithoutPredNode)) {
            compares.push(Compare::Present(Key::Queue(pred)));
        }
        if let Some(next) = exit.next.filter(|_| !self.mutated(Mutant::RingWithoutNextNode)) {
            compares.push(Compare::Present(Key::Queue(next)));
        }
        let handed_on = exit.expected.map(|next| Operation::Nested(self.hand_on(me, next, exit)));
        Txn { compares, then: self.leave_operations(me, exit), otherwise: handed_on.into_iter().collect() }
    }

    /// The claim that was expected has linked meanwhile, and is there: it is told, as if it had been known.
    fn hand_on(&self, me: Claim, next: Claim, exit: Exit) -> Txn {
        let mut compares = Vec::new();
        if !self.mutated(Mutant::HandOnWithoutLink) {
            compares.push(Compare::Names(Key::Next(me), next));
        }
        if !self.mutated(Mutant::HandOnWithoutNextNode) {
            compares.push(Compare::Present(Key::Queue(next)));
        }
        let then = self.leave_operations(me, Exit { next: Some(next), ..exit });
        Txn { compares, then, otherwise: Vec::new() }
    }

    fn leave_operations(&self, me: Claim, exit: Exit) -> Vec<Operation> {
        let mut then = vec![Operation::Delete(Key::Queue(me)), Operation::Delete(Key::Next(me))];
        if exit.void {
            then.push(self.put_void(me));
        }
        match exit.next {
            Some(_) if exit.tells_here => {}
            Some(next) => {
                let news = self.parting_news(next, exit);
                then.extend(news.map(|news| Operation::Ring(self.session(next), vec![news])));
            }
            None => then.extend(self.hand_back_tail(me, exit.pred)),
        }
        then
    }

    /// What the next one is told.
    pub(crate) fn parting_news(&self, next: Claim, exit: Exit) -> Option<News> {
        match exit.pred {
            Some(_) if self.mutated(Mutant::WithdrawWithoutRing) => None,
            Some(_) if self.mutated(Mutant::WithdrawRingsTurn) => Some(News::Turn(next)),
            Some(pred) => Some(News::Pred(next, pred)),
            None if exit.holds => Some(News::Turn(next)),
            None => Some(News::Head(next)),
        }
    }

    /// Nobody has linked behind me: if I am the tail still, my predecessor is from now on. Otherwise somebody
    /// is about to link: the mark tells it where it stands.
    fn hand_back_tail(&self, me: Claim, pred: Option<Claim>) -> Option<Operation> {
        let then = match pred {
            Some(_) if self.mutated(Mutant::WithdrawKeepsTail) => return None,
            Some(pred) if !self.mutated(Mutant::WithdrawDeletesTail) => {
                vec![Operation::Put(Key::Tail, Value::Claim(pred), None), Operation::Delete(Key::Next(pred))]
            }
            _ => self.delete_tail(),
        };
        let left = match pred {
            Some(pred) if !self.mutated(Mutant::WithdrawMarksHead) => Value::Behind(me, pred),
            _ => Value::Head(me),
        };
        let compares = vec![Compare::Names(Key::Tail, me)];
        let otherwise = vec![Operation::Put(Key::Mark, left, None)];
        Some(Operation::Nested(Txn { compares, then, otherwise }))
    }

    /// An operator leaves on behalf of `target`, and tells it so. The void keeps the target's own join, if a
    /// request of it is still on its way, from landing in a line that it has been removed from.
    pub(crate) fn evict(&self, target: Claim, eviction: Eviction) -> Txn {
        let mut txn = match eviction {
            Eviction::FromQueue(exit) => self.leave(target, exit),
            Eviction::FromHolders(created) => {
                self.release(target, created, !self.mutated(Mutant::EvictWithoutVoid))
            }
        };
        let (session, news) = (self.session(target), News::Evicted(target));
        let same_bell = txn.then.iter_mut().find_map(|operation| match operation {
            Operation::Ring(other, both) if *other == session => Some(both),
            _ => None,
        });
        match same_bell {
            Some(both) => both.push(news),
            None => txn.then.push(Operation::Ring(session, vec![news])),
        }
        txn
    }

    /// What an operator reads before it evicts; None: there is nothing to evict.
    pub(crate) fn read_line(&self, store: &Store, target: Claim) -> Option<Eviction> {
        if let Some(node) = store.get(self.holder_key(target)) {
            return Some(Eviction::FromHolders(node.created));
        }
        let node = store.get(Key::Queue(target))?;
        let pred = last_before(store, node.created);
        // Whom the value names may have left again: then its compare would fail for ever.
        let in_line =
            |next: &Claim| store.get(Key::Queue(*next)).is_some() || self.mutated(Mutant::EvictTrustsNext);
        let next = store.get(Key::Next(target));
        Some(Eviction::FromQueue(Exit {
            modified: next.map_or(0, |next| next.modified),
            pred,
            next: next.and_then(|next| next.value.claim()).filter(in_line),
            tells_here: false,
            holds: pred.is_none() && self.mutated(Mutant::EvictRingsTurn),
            expected: None,
            void: !self.mutated(Mutant::EvictWithoutVoid),
        }))
    }

    /// The reads of a request: of a read-only one, or of its Else branch.
    fn look(&self, store: &Store, me: Claim, request: Request) -> Seen {
        let exists = |claim: Option<Claim>| claim.is_some_and(|claim| store.get(Key::Queue(claim)).is_some());
        let next = store.get(Key::Next(me)).map_or((0, None), |next| (next.modified, next.value.claim()));
        let node = store.get(Key::Queue(me)).map(|node| (node.created, next.0, next.1));
        let held = store.get(self.holder_key(me)).map(|node| node.created);
        let seen = Seen { node, held, ..Seen::default() };
        let admits = self.admits(store, me);
        match request {
            Request::ReadHolders => Seen { revision: store.revision, admits, ..Seen::default() },
            Request::Try(_) => {
                let tail = store.get(Key::Tail).map_or(0, |node| node.modified);
                let holders = Some(self.barred_by(me)).filter(|_| !self.mutated(Mutant::TryIgnoresHolders));
                let ranges = [Some(Range::Queue), holders];
                let empty = ranges.into_iter().flatten().all(|range| store.range(range).next().is_none());
                let voided = store.get(Key::Void(me)).is_some();
                Seen { tail, empty, voided, ..seen }
            }
            Request::Link(pred) => {
                let mark = store.get(Key::Mark).map_or(Value::Nothing, |node| node.value);
                Seen { mark, admits, pred_lives: exists(Some(pred)), ..seen }
            }
            Request::After(place) => {
                let later = store.range(Range::Queue).filter(|node| node.created > place);
                let after = later.min_by_key(|node| node.created).map(owner);
                Seen { after, ..seen }
            }
            Request::Find(place) => {
                let below = last_before(store, place);
                Seen { below, admits: below.is_none() && admits, ..seen }
            }
            Request::Leave(exit) | Request::Admit(exit) => {
                let (pred_lives, next_lives) = (exists(exit.pred), exists(exit.next));
                Seen { pred_lives, next_lives, admits: exit.pred.is_none() && admits, ..seen }
            }
            _ => seen,
        }
    }
}

/// The claim with the greatest create revision below `place`.
fn last_before(store: &Store, place: Revision) -> Option<Claim> {
    let lower = store.range(Range::Queue).filter(|node| node.created < place);
    lower.max_by_key(|node| node.created).map(owner)
}
