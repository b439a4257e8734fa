//! One client's connection to the cluster, of which everything can break.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use lock_core::{
    Moment,
    sync::{Signal, locked},
};

#[derive(Default)]
pub(crate) struct Wire {
    talk: Signal<Talk>,
    renewals_held_until: Mutex<Option<Moment>>,
    /// The term in which whoever answers renewals has led.
    renewed_in: Mutex<Option<u64>>,
    open: [AtomicUsize; 2],
    /// What becomes of the next requests, whatever chance says.
    fates: Mutex<VecDeque<Fate>>,
    asked: AtomicU64,
}

/// What becomes of a request. All but the first end in an error that leaves open whether it took effect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Answered,
    RequestLost,
    ReplyLost,
    RefusedButApplied,
    AppliedLater,
    /// Once at once, and once more later. Never when it is answered: gRPC sends nothing twice, and etcd
    /// proposes nothing twice.
    AppliedTwice,
}

/// What a client says belongs to one of these, and ends with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Talk {
    /// To whom it is connected.
    pub(crate) member: usize,
    connection: u64,
    /// How often its streams of a kind have been broken.
    breaks: [u64; 2],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Streams {
    Watches,
    Renewals,
}

impl Wire {
    pub(crate) fn to(member: usize) -> Self {
        Self { talk: Signal::new(Talk { member, ..Talk::default() }), ..Self::default() }
    }

    pub(crate) fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        locked(&self.fates).extend(fates);
    }

    /// Counts a request, and tells what becomes of it, if that is planned.
    pub(crate) fn next_request(&self) -> Option<Fate> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        locked(&self.fates).pop_front()
    }

    /// How many requests were made.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn talk(&self) -> Talk {
        self.talk.read(|talk| *talk)
    }

    /// Everything that is under way breaks; what comes next goes to another member.
    pub(crate) fn move_on(&self, members: usize) -> usize {
        self.talk.update(|talk| {
            talk.connection += 1;
            talk.member = (talk.member + 1) % members;
            talk.member
        })
    }

    /// Tells whether there was a stream to break.
    pub(crate) fn break_streams(&self, of: Streams) -> bool {
        self.talk.update(|talk| talk.breaks[of as usize] += 1);
        self.open[of as usize].load(Ordering::Relaxed) > 0
    }

    /// Waits until the connection is broken on which this was said.
    pub(crate) async fn disconnected(&self, since: Talk) {
        self.talk.wait(|now| (now.connection != since.connection).then_some(())).await;
    }

    pub(crate) async fn stream_broken(&self, of: Streams, since: Talk) {
        let broken = |now: &Talk| {
            now.connection != since.connection || now.breaks[of as usize] != since.breaks[of as usize]
        };
        self.talk.wait(|now| broken(now).then_some(())).await;
    }

    pub(crate) fn hold_renewals(&self, until: Moment) {
        *locked(&self.renewals_held_until) = Some(until);
    }

    pub(crate) fn holds_renewals(&self, now: Moment) -> bool {
        locked(&self.renewals_held_until).is_some_and(|until| now < until)
    }

    /// Renewals go to a leader who has been deposed since this term, whoever answers everything else.
    pub(crate) fn renew_in(&self, term: u64) {
        *locked(&self.renewed_in) = Some(term);
    }

    pub(crate) fn renewed_in(&self) -> Option<u64> {
        *locked(&self.renewed_in)
    }

    pub(crate) fn opened(&self, of: Streams) {
        self.open[of as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, of: Streams) {
        self.open[of as usize].fetch_sub(1, Ordering::Relaxed);
    }
}
