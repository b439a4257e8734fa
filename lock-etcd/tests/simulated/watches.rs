//! A stream of watches, as etcd serves them: each watch is told of whole transactions, in order and at its
//! own pace; several may come in one message.

use std::collections::{BTreeMap, VecDeque};

use etcd_client::proto::{PbEvent, PbResponseHeader, PbWatchRequest, PbWatchRequestUnion, PbWatchResponse};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use lock_core::{Moment, runtime::Runtime};
use tonic::{Status, Streaming};

use crate::{
    flaw::Flaw,
    link::{Link, Open},
    mvcc::Keys,
    wire::{Streams, Talk},
};

type Answer = Result<PbWatchResponse, Status>;

/// What etcd answers to a watch that it does not open.
const NO_WATCH: i64 = -1;

pub(crate) fn watches(link: Link, asked: Streaming<PbWatchRequest>) -> BoxStream<'static, Answer> {
    let (talk, open) = (link.wire.talk(), link.stream(Streams::Watches));
    let (requests, replies, watches) = (VecDeque::new(), VecDeque::new(), BTreeMap::new());
    let watching = Watching { link, asked, talk, requests, replies, watches, _open: open };
    stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        let answer = watching.next().await?;
        watching.link.machine.running().await;
        let goes_on = answer.is_ok();
        Some((answer, goes_on.then_some(watching)))
    })
    .boxed()
}

struct Watching {
    link: Link,
    asked: Streaming<PbWatchRequest>,
    talk: Talk,
    /// When they reach the member.
    requests: VecDeque<(Moment, PbWatchRequest)>,
    /// When they reach the client.
    replies: VecDeque<(Moment, PbWatchResponse)>,
    watches: BTreeMap<i64, Watch>,
    _open: Open,
}

struct Watch {
    keys: Keys,
    /// The first revision that it has not been told of.
    next: i64,
    /// It is told of nothing before.
    held: Option<Moment>,
    was_held: bool,
}

impl Watching {
    /// Nothing when the client has ended the stream.
    async fn next(&mut self) -> Option<Answer> {
        loop {
            let (now, applied) =
                (self.link.now(), self.link.member(self.talk).applied.read(|applied| *applied));
            while let Some((_, request)) = self.requests.pop_front_if(|(at, _)| *at <= now) {
                self.serve(request, applied)?;
            }
            self.tell_all(applied);
            if let Some((_, reply)) = self.replies.pop_front_if(|(at, _)| *at <= now) {
                return Some(Ok(reply));
            }
            let (due, clock) = (self.due(), self.link.cluster.chronicle.clock());
            tokio::select! { biased;
                () = self.link.wire.stream_broken(Streams::Watches, self.talk) => return Some(Err(self.link.failure())),
                asked = self.asked.message() => {
                    let at = behind(&self.requests, now + self.link.latency());
                    self.requests.push_back((at, asked.ok()??));
                }
                () = self.link.member(self.talk).applied.wait(|now| (*now > applied).then_some(())) => {}
                () = clock.sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
        }
    }

    /// When there is something to do.
    fn due(&self) -> Option<Moment> {
        let (request, reply) =
            (self.requests.front().map(|(at, _)| *at), self.replies.front().map(|(at, _)| *at));
        let held = self.watches.values().filter_map(|watch| watch.held).min();
        [request, reply, held].into_iter().flatten().min()
    }

    fn reply(&mut self, revision: i64, reply: PbWatchResponse) {
        let header = Some(PbResponseHeader { revision, ..PbResponseHeader::default() });
        let at = behind(&self.replies, self.link.now() + self.link.latency());
        self.replies.push_back((at, PbWatchResponse { header, ..reply }));
    }

    fn serve(&mut self, request: PbWatchRequest, applied: i64) -> Option<()> {
        match request.request_union? {
            PbWatchRequestUnion::CreateRequest(asked) => {
                let keys = Keys::new(&asked.key, &asked.range_end);
                self.create(asked.watch_id, keys, asked.start_revision, applied);
            }
            PbWatchRequestUnion::CancelRequest(asked) => {
                if self.watches.remove(&asked.watch_id).is_some() {
                    self.reply(applied, canceled(asked.watch_id, ""));
                }
            }
            PbWatchRequestUnion::ProgressRequest(_) => {
                self.reply(applied, PbWatchResponse { watch_id: NO_WATCH, ..PbWatchResponse::default() });
            }
        }
        Some(())
    }

    fn create(&mut self, watch_id: i64, keys: Keys, start: i64, applied: i64) {
        let refused = self.link.chance(30);
        if refused || self.watches.contains_key(&watch_id) {
            if refused {
                self.link.note("watches refused");
            }
            let why = "etcdserver: it is not opened";
            return self.reply(applied, PbWatchResponse { created: true, ..canceled(NO_WATCH, why) });
        }
        let mut watch =
            Watch { keys, next: if start > 0 { start } else { applied + 1 }, held: None, was_held: false };
        if start > 0 {
            // etcd before 3.6 parks what does not begin now.
            watch.held = Some(self.link.now() + self.link.millis(0..100));
            let missed = self.link.cluster.look(|mvcc| mvcc.events(&watch.keys, start..=applied));
            if !missed.is_empty() && self.link.chance(300) {
                // As some releases do (etcd #19249 and others).
                self.link.note("events lost where a watch was resumed");
                watch.next = applied + 1;
            }
        }
        self.watches.insert(watch_id, watch);
        self.reply(applied, PbWatchResponse { watch_id, created: true, ..PbWatchResponse::default() });
    }

    /// Tells each watch what it has not been told.
    fn tell_all(&mut self, applied: i64) {
        let now = self.link.now();
        let compacted = self.link.cluster.look(|mvcc| mvcc.compacted());
        let ids: Vec<i64> = self.watches.keys().copied().collect();
        for id in ids {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            if watch.held.is_some_and(|until| now < until) {
                continue;
            }
            watch.held = None;
            if compacted <= applied && watch.next < compacted {
                self.link.note("watches cancelled by a compaction");
                self.watches.remove(&id);
                let gone = "etcdserver: mvcc: required revision has been compacted";
                let cancel = PbWatchResponse { compact_revision: compacted, ..canceled(id, gone) };
                self.reply(applied, cancel);
            } else if watch.next <= applied {
                self.tell(id, applied);
            }
        }
    }

    fn tell(&mut self, id: i64, applied: i64) {
        let (link, Some(watch)) = (&self.link, self.watches.get_mut(&id)) else { return };
        let mut events = link.cluster.look(|mvcc| mvcc.events(&watch.keys, watch.next..=applied));
        if !events.is_empty() && !watch.was_held && link.chance(100) {
            link.note("watches told late");
            (watch.held, watch.was_held) = (Some(link.now() + link.millis(20..150)), true);
            return;
        }
        (watch.next, watch.was_held) = (applied + 1, false);
        if events.is_empty() {
            return;
        }
        if link.chance(30) {
            link.note("watches cancelled");
            self.watches.remove(&id);
            return self.reply(applied, canceled(id, "etcdserver: it is of no use any more"));
        }
        if several(&events) {
            link.note("messages of several transactions");
        }
        // To the operator as well, who observes: a client gets over it when its stream breaks for another reason.
        if link.has(Flaw::EventsDropped) && link.cluster.dice.percent(5) {
            events.pop();
        }
        self.reply(applied, PbWatchResponse { watch_id: id, events, ..PbWatchResponse::default() });
    }
}

/// When something arrives that does not overtake what was sent before.
fn behind<T>(sent: &VecDeque<(Moment, T)>, at: Moment) -> Moment {
    sent.back().map_or(at, |(last, _)| at.max(*last))
}

fn canceled(watch_id: i64, why: &str) -> PbWatchResponse {
    PbWatchResponse { watch_id, canceled: true, cancel_reason: why.to_owned(), ..PbWatchResponse::default() }
}

fn several(events: &[PbEvent]) -> bool {
    let revision = |event: &PbEvent| event.kv.as_ref().map(|kv| kv.mod_revision);
    events.first().map(revision) != events.last().map(revision)
}
