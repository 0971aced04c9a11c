//! A rate limit service in tonic that says OK to everything: what an answer costs at least.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;

use crate::Error;
use crate::codec::RawCodec;

/// Answer OK to every question
#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    listen: SocketAddr,
    /// Read each question, as tonic's generated code does, and answer OK all the same
    #[arg(long)]
    decode: bool,
}

/// Those of headroom's gateway server.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const FRAME_BYTES_MAX: u32 = 64 << 10;
const STREAMS_MAX: u32 = 1024;

/// A RateLimitResponse whose `overall_code` (field 1) is OK (1).
const OK: &[u8] = &[0x08, 0x01];

#[derive(Clone, Copy)]
struct Unread;

impl UnaryService<Bytes> for Unread {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, question: Request<Bytes>) -> Self::Future {
        drop(question);
        ready(Ok(Response::new(Bytes::from_static(OK))))
    }
}

#[tonic::async_trait]
impl RateLimitService for Unread {
    async fn should_rate_limit(&self, _: Request<RateLimitRequest>) -> Result<Response<RateLimitResponse>, Status> {
        Ok(Response::new(RateLimitResponse { overall_code: Code::Ok.into(), ..RateLimitResponse::default() }))
    }
}

pub async fn serve(args: &Args) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    let decode = args.decode;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request: http::Request<Incoming>| answer(decode, request));
        let mut builder = Builder::new(TokioExecutor::new()).http2_only();
        builder
            .http2()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .max_frame_size(FRAME_BYTES_MAX);
        tokio::spawn(async move {
            // A gateway that goes away is no news.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    decode: bool,
    request: http::Request<Incoming>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    if decode {
        return RateLimitServiceServer::new(Unread).call(request).await;
    }
    Ok(Grpc::new(RawCodec).unary(Unread, request).await)
}
