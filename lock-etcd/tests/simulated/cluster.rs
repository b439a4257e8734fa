//! The simulated cluster: one history that is committed, and members that learn of it a little later, each at
//! its own pace.
//!
//! A member answers a request only when it has applied what the answer says, so answers are linearizable;
//! watches are told what the member has applied. (Stale reads are what etcd gives to those who ask for
//! serializable ones. `lock-etcd` never does, so there are none here.)

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lock_check::sim::{Chronicle, Dice, TTL};
use lock_core::{
    Moment, SessionId,
    runtime::Runtime,
    sync::{Signal, locked},
};

use crate::{
    flaw::Flaw,
    mvcc::{Mvcc, Renewed},
    wire::Wire,
};

/// How many members clients move between; the operator has one more to itself.
pub(crate) const MEMBERS: usize = 3;

/// etcd looks for leases that have run out twice a second.
const LOOKS_FOR_LEASES: Duration = Duration::from_millis(500);

pub(crate) struct Cluster {
    pub(crate) chronicle: Arc<Chronicle>,
    pub(crate) dice: Dice,
    mvcc: Mutex<Mvcc>,
    committed: Signal<i64>,
    pub(crate) members: Vec<Member>,
    /// Who led in the last term, and does not know yet that another does.
    deposed: Mutex<Option<Deposed>>,
    /// How many leases have ended.
    ended: Signal<u64>,
    /// Those of the clients.
    pub(crate) wires: Mutex<Vec<Arc<Wire>>>,
}

/// A leader whose disk stands still, or that is cut off from the others: it goes on answering renewals by itself, in
/// its own term, as etcd's did before 3.4.31 and 3.5.13. Nothing else that it is asked is answered.
struct Deposed {
    member: usize,
    term: u64,
    until: Moment,
}

#[derive(Default)]
pub(crate) struct Member {
    /// Up to which revision it knows what was committed.
    pub(crate) applied: Signal<i64>,
    lags_until: Mutex<Option<Moment>>,
}

impl Cluster {
    pub(crate) fn start(chronicle: &Arc<Chronicle>, flaw: Option<Flaw>) -> Arc<Self> {
        let this = Arc::new(Self {
            chronicle: chronicle.clone(),
            dice: Dice(chronicle.clock().clone()),
            mvcc: Mutex::new(Mvcc::new(flaw)),
            committed: Signal::new(0),
            members: (0..=MEMBERS).map(|_| Member::default()).collect(),
            deposed: Mutex::default(),
            ended: Signal::new(0),
            wires: Mutex::default(),
        });
        for member in 0..=MEMBERS {
            let cluster = this.clone();
            chronicle.spawn(async move { cluster.follow(member).await });
        }
        let cluster = this.clone();
        chronicle.spawn(async move { cluster.end_leases().await });
        this
    }

    pub(crate) fn now(&self) -> Moment {
        self.chronicle.clock().now()
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Mvcc) -> T) -> T {
        look(&locked(&self.mvcc))
    }

    /// Carries a request out; says at which revision the store is then.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Mvcc) -> T) -> (T, i64) {
        let (outcome, revision, leases) = {
            let mut mvcc = locked(&self.mvcc);
            let before = mvcc.leases().count();
            let outcome = change(&mut mvcc);
            (outcome, mvcc.revision(), before > mvcc.leases().count())
        };
        if leases {
            self.ended.update(|count| *count += 1);
        }
        if self.committed.read(|committed| *committed < revision) {
            self.committed.update(|committed| *committed = revision);
        }
        (outcome, revision)
    }

    /// For so many seconds; 0 when the lease has ended.
    pub(crate) async fn renew(&self, lease: i64) -> i64 {
        loop {
            let ended = self.ended.read(|count| *count);
            let renewed = locked(&self.mvcc).renew(lease, self.now());
            match renewed {
                Renewed::For(ttl) => return i64::try_from(ttl.as_secs()).unwrap(),
                Renewed::Gone => return 0,
                Renewed::RunOut => self.ended.wait(|count| (*count != ended).then_some(())).await,
            }
        }
    }

    /// A member applies what is committed.
    async fn follow(&self, number: usize) {
        let member = &self.members[number];
        loop {
            let applied = member.applied.read(|applied| *applied);
            self.committed.wait(|committed| (*committed > applied).then_some(())).await;
            let lags = locked(&member.lags_until).is_some_and(|until| self.now() < until);
            let delay = if lags && !self.chronicle.is_calm() { 50..300 } else { 0..2 };
            self.chronicle.sleep(self.dice.millis(delay)).await;
            self.is_up_to_date(number).await;
            let committed = self.committed.read(|committed| *committed);
            member.applied.update(|applied| *applied = committed);
        }
    }

    async fn end_leases(&self) {
        self.chronicle.sleep(self.dice.millis(0..500)).await;
        loop {
            for lease in self.look(|mvcc| mvcc.run_out(self.now())) {
                // Otherwise the session was still being opened, and may be granted a lease once more.
                let opened = self.look(|mvcc| mvcc.is_used(lease));
                self.change(|mvcc| mvcc.revoke(lease)).0.unwrap();
                if opened {
                    self.chronicle.session_ended(SessionId::new(lease.cast_unsigned()));
                }
                self.chronicle.note("leases that ran out");
            }
            self.chronicle.sleep(LOOKS_FOR_LEASES).await;
        }
    }

    /// Another leader takes the place of this member. Tells whether that could be. (etcd grants every lease its full ttl
    /// once more then. Here they go on, so that those who trust the old one are found out sooner.)
    pub(crate) fn depose(&self, member: usize) -> bool {
        let now = self.now();
        let mut deposed = locked(&self.deposed);
        if deposed.as_ref().is_some_and(|it| now < it.until) {
            return false;
        }
        let until = now + self.dice.millis(500..4000);
        let term = self.change_leader();
        *deposed = Some(Deposed { member, term, until });
        true
    }

    /// Another leader is elected; says in which term the one before has led.
    pub(crate) fn change_leader(&self) -> u64 {
        locked(&self.mvcc).change_leader()
    }

    /// The term in which a member leads that has been deposed and does not know it.
    pub(crate) fn leads_no_more(&self, member: usize) -> Option<u64> {
        let deposed = locked(&self.deposed);
        let term = deposed.as_ref().filter(|it| it.member == member && self.now() < it.until)?.term;
        (!self.chronicle.is_calm()).then_some(term)
    }

    /// Waits until the member knows who leads.
    pub(crate) async fn is_up_to_date(&self, member: usize) {
        while self.leads_no_more(member).is_some() {
            self.chronicle.sleep(self.dice.millis(50..150)).await;
        }
    }

    /// The member learns late for a while.
    pub(crate) fn lag(&self, member: usize) {
        *locked(&self.members[member].lags_until) = Some(self.now() + self.dice.millis(300..2000));
    }

    /// Tells whether there was anything to forget.
    pub(crate) fn compact(&self) -> bool {
        let (from, to) = self.look(|mvcc| (mvcc.compacted(), mvcc.revision()));
        // Mostly all of it.
        let left = if self.dice.percent(30) { self.dice.below((to - from).cast_unsigned()) } else { 0 };
        let until = to - left.cast_signed();
        self.change(|mvcc| mvcc.compact(until));
        until > from
    }
}

/// After how long the session of somebody who was killed has ended: its ttl, the next look for leases, and a
/// renewal that was late.
pub(crate) const RECOVERY: Duration = TTL.saturating_add(Duration::from_millis(750));
