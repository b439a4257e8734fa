//! The way of one client to the cluster: what is sent over it comes late, is lost, or takes effect though the
//! sender is told that it did not.

use std::{sync::Arc, time::Duration};

use lock_core::{Moment, runtime::SimulatedRuntime};
use tokio::sync::oneshot;
use tonic::{Code, Response, Status};

use crate::{
    cluster::{Cluster, MEMBERS, Member},
    flaw::Flaw,
    mvcc::Mvcc,
    wire::{Fate, Streams, Talk, Wire},
};

#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) machine: SimulatedRuntime,
    /// Nothing goes wrong on it.
    smooth: bool,
}

impl Link {
    pub(crate) fn new(cluster: Arc<Cluster>, wire: Arc<Wire>, machine: SimulatedRuntime) -> Self {
        Self { cluster, wire, machine, smooth: false }
    }

    pub(crate) fn smooth(cluster: Arc<Cluster>) -> Self {
        let (wire, machine) = (Arc::new(Wire::to(MEMBERS)), cluster.chronicle.clock().clone());
        Self { cluster, wire, machine, smooth: true }
    }

    pub(crate) fn member(&self, talk: Talk) -> &Member {
        &self.cluster.members[talk.member]
    }

    pub(crate) fn note(&self, what: &'static str) {
        self.cluster.chronicle.note(what);
    }

    pub(crate) fn is_rough(&self) -> bool {
        !self.smooth && !self.cluster.chronicle.is_calm()
    }

    /// Whether that is wrong with the store.
    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.cluster.look(|mvcc| mvcc.flaw) == Some(flaw)
    }

    /// Whether something goes wrong that does so many times out of a thousand.
    pub(crate) fn chance(&self, thousandths: u64) -> bool {
        self.is_rough() && self.cluster.dice.below(1000) < thousandths
    }

    pub(crate) fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        self.cluster.dice.millis(range)
    }

    /// How long a message is under way.
    pub(crate) fn latency(&self) -> Duration {
        if self.chance(100) {
            self.note("messages late");
            return self.millis(20..120);
        }
        // Never none: what happens at one instant is heard at a later one.
        self.millis(0..2).max(Duration::from_micros(1))
    }

    pub(crate) fn now(&self) -> Moment {
        self.cluster.now()
    }

    pub(crate) async fn pause(&self, duration: Duration) {
        self.cluster.chronicle.sleep(duration).await;
    }

    /// Opens a stream.
    pub(crate) async fn open(&self) -> Result<(), Status> {
        self.machine.running().await;
        self.pause(self.latency()).await;
        if self.chance(30) {
            self.note("streams refused");
            return Err(self.failure());
        }
        Ok(())
    }

    pub(crate) async fn renewals_pass(&self) {
        while self.is_rough() && self.wire.holds_renewals(self.now()) {
            self.pause(self.millis(1..50)).await;
        }
    }

    /// The term in which the member leads that this leads to, if it has been deposed and does not know it.
    pub(crate) fn leads_no_more(&self) -> Option<u64> {
        self.cluster.leads_no_more(self.wire.talk().member).filter(|_| self.is_rough())
    }

    /// Makes a request. It is on its way even when nobody waits for the answer any more.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        request: impl Fn(&mut Mvcc) -> Result<T, Status> + Send + Sync + 'static,
    ) -> Result<Response<T>, Status> {
        self.machine.running().await;
        let (link, talk, fate) = (self.clone(), self.wire.talk(), self.fate());
        let (answers, answer) = oneshot::channel();
        self.cluster.chronicle.spawn(async move {
            let _nobody_may_wait = answers.send(link.deliver(fate, talk, Arc::new(request)).await);
        });
        let answer = tokio::select! { biased;
            answer = answer => answer.unwrap(),
            () = self.wire.disconnected(talk) => Err(self.failure()),
        };
        self.machine.running().await;
        answer.map(Response::new)
    }

    fn fate(&self) -> Fate {
        if let Some(planned) = self.wire.next_request() {
            return planned;
        }
        if !self.is_rough() {
            return Fate::Answered;
        }
        let (fate, what) = match self.cluster.dice.below(100) {
            0..2 => (Fate::RequestLost, "requests lost"),
            2..4 => (Fate::ReplyLost, "replies lost"),
            4..6 => (Fate::RefusedButApplied, "requests refused but applied"),
            6..8 => (Fate::AppliedLater, "requests applied after they were given up"),
            8..10 => (Fate::AppliedTwice, "requests given up and applied twice"),
            _ => return Fate::Answered,
        };
        self.note(what);
        fate
    }

    async fn deliver<T: Send + 'static>(
        &self,
        fate: Fate,
        talk: Talk,
        request: Arc<impl Fn(&mut Mvcc) -> Result<T, Status> + Send + Sync + 'static>,
    ) -> Result<T, Status> {
        self.pause(self.latency()).await;
        if self.is_rough() && self.cluster.leads_no_more(talk.member).is_some() {
            self.note("requests to a deposed leader");
            self.cluster.is_up_to_date(talk.member).await;
            if self.chance(500) {
                return Err(self.failure());
            }
            // It passes it on to who leads now.
        }
        let answer = match fate {
            Fate::RequestLost | Fate::AppliedLater => None,
            _ => Some(self.cluster.change(&*request)),
        };
        let repeated = self.has(Flaw::AnsweredRequestsRepeated) && self.chance(50);
        if matches!(fate, Fate::AppliedLater | Fate::AppliedTwice) || repeated {
            self.apply_later(request);
        }
        let outcome = match (fate, answer) {
            (Fate::Answered, Some((answer, revision))) => {
                let applied = &self.member(talk).applied;
                applied.wait(|applied| (*applied >= revision).then_some(())).await;
                answer
            }
            (Fate::RequestLost | Fate::ReplyLost, _) => {
                // Until a ping finds out.
                self.pause(self.millis(0..250)).await;
                Err(self.failure())
            }
            _ => Err(self.failure()),
        };
        self.pause(self.latency()).await;
        outcome
    }

    fn apply_later<T: Send + 'static>(
        &self,
        request: Arc<impl Fn(&mut Mvcc) -> Result<T, Status> + Send + Sync + 'static>,
    ) {
        let (cluster, much) = (self.cluster.clone(), self.cluster.dice.percent(20));
        let later = self.millis(if much { 300..3000 } else { 0..300 });
        self.cluster.chronicle.spawn(async move {
            cluster.chronicle.sleep(later).await;
            let _nobody_hears_it = cluster.change(&*request);
        });
    }

    /// As etcd and gRPC say that they do not know.
    pub(crate) fn failure(&self) -> Status {
        let failures = [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to connection lost"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unknown, "transport error"),
            (Code::DeadlineExceeded, "context deadline exceeded"),
        ];
        let (code, message) = *self.cluster.dice.pick(&failures);
        Status::new(code, message)
    }

    /// A stream of this kind is open as long as this is there.
    pub(crate) fn stream(&self, of: Streams) -> Open {
        self.wire.opened(of);
        Open { wire: self.wire.clone(), of }
    }
}

/// A stream that can break.
pub(crate) struct Open {
    wire: Arc<Wire>,
    of: Streams,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.wire.closed(self.of);
    }
}
