//! A stream of renewals: each is answered when it is due, until the stream breaks.

use etcd_client::proto::{PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use lock_check::sim::TTL;
use tonic::{Status, Streaming};

use crate::{link::Link, wire::Streams};

type Answer = Result<PbLeaseKeepAliveResponse, Status>;

pub(crate) fn renewals(link: Link, asked: Streaming<PbLeaseKeepAliveRequest>) -> BoxStream<'static, Answer> {
    let (talk, open) = (link.wire.talk(), link.stream(Streams::Renewals));
    stream::unfold(Some((link, asked, open)), move |state| async move {
        let (link, mut asked, open) = state?;
        let answer = tokio::select! { biased;
            () = link.wire.stream_broken(Streams::Renewals, talk) => Err(link.failure()),
            answer = renew(&link, &mut asked) => Ok(answer?),
        };
        link.machine.running().await;
        let goes_on = answer.is_ok();
        Some((answer, goes_on.then_some((link, asked, open))))
    })
    .boxed()
}

/// Nothing when the client has ended the stream.
async fn renew(
    link: &Link,
    asked: &mut Streaming<PbLeaseKeepAliveRequest>,
) -> Option<PbLeaseKeepAliveResponse> {
    let id = asked.message().await.ok()??.id;
    link.machine.running().await;
    link.pause(link.latency()).await;
    link.renewals_pass().await;
    let mut header = link.cluster.look(|mvcc| mvcc.header());
    let ttl = match link.wire.renewed_in().or_else(|| link.leads_no_more()) {
        Some(term) => {
            link.note("renewals by a deposed leader");
            header.as_mut()?.raft_term = term;
            i64::try_from(TTL.as_secs()).unwrap()
        }
        None => link.cluster.renew(id).await,
    };
    link.pause(link.latency()).await;
    Some(PbLeaseKeepAliveResponse { header, id, ttl })
}
