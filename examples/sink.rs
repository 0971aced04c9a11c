//! What headroom's receiver is measured against: an OTLP/gRPC server that throws spans away.
//!
//!     cargo run --release --example sink -- --listen 127.0.0.1:4417             tonic and prost, as most receivers do it
//!     cargo run --release --example sink -- --listen 127.0.0.1:4417 --raw       the transport alone: bodies unread
//!
//! It has headroom's allocator, windows and socket options, so that the difference is in what is done with a request.

#[path = "load/codec.rs"]
mod codec;

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use clap::Parser;
use codec::RawCodec;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Receive OTLP/gRPC and throw it away.
#[derive(Parser)]
struct Args {
    #[arg(long)]
    listen: SocketAddr,
    /// Do not decode: the cost of the transport alone
    #[arg(long)]
    raw: bool,
}

/// Those of headroom's receiver.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 17;

/// A Collector's largest batches.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Copy)]
struct Sink;

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        drop(request);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl UnaryService<Bytes> for Sink {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        drop(request);
        // An empty message is an ExportTraceServiceResponse.
        Box::pin(async { Ok(Response::new(Bytes::new())) })
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request: http::Request<Incoming>| answer(args.raw, request));
        let mut builder = Builder::new(TokioExecutor::new()).http2_only();
        builder
            .http2()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX);
        tokio::spawn(async move {
            // A sender that goes away is no news.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(raw: bool, request: http::Request<Incoming>) -> Result<http::Response<tonic::body::Body>, Infallible> {
    if raw {
        let mut grpc = Grpc::new(RawCodec).max_decoding_message_size(MESSAGE_BYTES_MAX);
        return Ok(grpc.unary(Sink, request).await);
    }
    TraceServiceServer::new(Sink).max_decoding_message_size(MESSAGE_BYTES_MAX).call(request).await
}
