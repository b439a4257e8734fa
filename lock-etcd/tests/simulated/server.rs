//! The simulated etcd behind the generated servers of its protocol, which are called in process: no sockets,
//! no HTTP/2.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use etcd_client::{
    Channel, Client,
    proto::{
        PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbKvServer,
        PbKvService, PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest,
        PbLeaseKeepAliveResponse, PbLeaseLeasesRequest, PbLeaseLeasesResponse, PbLeaseRevokeRequest,
        PbLeaseRevokeResponse, PbLeaseServer, PbLeaseService, PbLeaseTimeToLiveRequest,
        PbLeaseTimeToLiveResponse, PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse,
        PbRangeStreamResponse, PbTxnRequest, PbTxnResponse, PbWatchRequest, PbWatchResponse, PbWatchServer,
        PbWatchService,
    },
};
use futures_core::stream::BoxStream;
use lock_core::runtime::Runtime;
use tonic::{Request, Response, Status, Streaming, body::Body};
use tower::{BoxError, Service, util::BoxCloneSyncService};

use crate::{link::Link, renewals::renewals, txn, watches::watches};

/// A client at this end of the link.
pub(crate) async fn client(link: Link) -> Client {
    let router = Router {
        kv: PbKvServer::new(link.clone()),
        leases: PbLeaseServer::new(link.clone()),
        watches: PbWatchServer::new(link),
    };
    Client::from_channel(Channel::Custom(BoxCloneSyncService::new(router)), None).await.unwrap()
}

#[derive(Clone)]
struct Router {
    kv: PbKvServer<Link>,
    leases: PbLeaseServer<Link>,
    watches: PbWatchServer<Link>,
}

impl Service<http::Request<Body>> for Router {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let served = match request.uri().path().split('/').nth(1) {
            Some("etcdserverpb.KV") => self.kv.call(request),
            Some("etcdserverpb.Lease") => self.leases.call(request),
            Some("etcdserverpb.Watch") => self.watches.call(request),
            _ => Box::pin(async { Ok(not_simulated().into_http()) }),
        };
        Box::pin(async move { Ok(served.await?) })
    }
}

fn not_simulated() -> Status {
    Status::unimplemented("not simulated")
}

#[async_trait]
impl PbKvService for Link {
    type RangeStreamStream = BoxStream<'static, Result<PbRangeStreamResponse, Status>>;

    async fn range(&self, asked: Request<PbRangeRequest>) -> Result<Response<PbRangeResponse>, Status> {
        let asked = asked.into_inner();
        self.call(move |store| {
            let kvs = store.get(&asked)?;
            Ok(PbRangeResponse { header: store.header(), kvs, ..PbRangeResponse::default() })
        })
        .await
    }

    async fn range_stream(
        &self,
        _: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(not_simulated())
    }

    async fn put(&self, _: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        Err(not_simulated())
    }

    async fn delete_range(
        &self,
        asked: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        let asked = asked.into_inner();
        self.call(move |store| {
            let deleted = store.delete(&asked);
            store.commit();
            Ok(PbDeleteResponse { header: store.header(), deleted, ..PbDeleteResponse::default() })
        })
        .await
    }

    async fn txn(&self, asked: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        let asked = asked.into_inner();
        self.call(move |store| txn::apply(store, &asked)).await
    }

    async fn compact(
        &self,
        _: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        Err(not_simulated())
    }
}

#[async_trait]
impl PbLeaseService for Link {
    type LeaseKeepAliveStream = BoxStream<'static, Result<PbLeaseKeepAliveResponse, Status>>;

    async fn lease_grant(
        &self,
        asked: Request<PbLeaseGrantRequest>,
    ) -> Result<Response<PbLeaseGrantResponse>, Status> {
        let PbLeaseGrantRequest { ttl, id } = asked.into_inner();
        let clock = self.cluster.chronicle.clock().clone();
        self.call(move |store| {
            store.grant(id, Duration::from_secs(ttl.cast_unsigned()), clock.now())?;
            Ok(PbLeaseGrantResponse { header: store.header(), id, ttl, ..PbLeaseGrantResponse::default() })
        })
        .await
    }

    async fn lease_revoke(
        &self,
        asked: Request<PbLeaseRevokeRequest>,
    ) -> Result<Response<PbLeaseRevokeResponse>, Status> {
        let id = asked.into_inner().id;
        self.call(move |store| {
            store.revoke(id)?;
            Ok(PbLeaseRevokeResponse { header: store.header() })
        })
        .await
    }

    async fn lease_keep_alive(
        &self,
        asked: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.open().await?;
        Ok(Response::new(renewals(self.clone(), asked.into_inner())))
    }

    async fn lease_time_to_live(
        &self,
        asked: Request<PbLeaseTimeToLiveRequest>,
    ) -> Result<Response<PbLeaseTimeToLiveResponse>, Status> {
        let id = asked.into_inner().id;
        let clock = self.cluster.chronicle.clock().clone();
        self.call(move |store| {
            let header = store.header();
            let (ttl, granted_ttl) = store.time_to_live(id, clock.now());
            Ok(PbLeaseTimeToLiveResponse { header, id, ttl, granted_ttl, keys: Vec::new() })
        })
        .await
    }

    async fn lease_leases(
        &self,
        _: Request<PbLeaseLeasesRequest>,
    ) -> Result<Response<PbLeaseLeasesResponse>, Status> {
        Err(not_simulated())
    }
}

#[async_trait]
impl PbWatchService for Link {
    type WatchStream = BoxStream<'static, Result<PbWatchResponse, Status>>;

    async fn watch(
        &self,
        asked: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.open().await?;
        Ok(Response::new(watches(self.clone(), asked.into_inner())))
    }
}
