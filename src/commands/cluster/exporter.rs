//! Sends spans as a Collector's `otlp` exporter does: in order, and whatever headroom could not take is kept and
//! tried again, so that one killed and started anew gets what was under way.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::hosted::Hosted;
use crate::clock::Stopwatch;
use crate::commands::error::Error;
use crate::commands::recording::Recording;
use crate::simulate::Delivery;

/// What waits is sent together up to this, as the Collector's batch processor does.
const BATCH_SPANS_MAX: usize = 8192;

/// The Collector waits 5 s at first; a demo has no patience, least of all one that runs faster than time.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Then the batch is given up (the Collector's `max_elapsed_time`).
const RETRY_MAX: Duration = Duration::from_secs(300);

/// One attempt (the Collector's `timeout`).
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

pub struct Exporter {
    client: TraceServiceClient<Channel>,
    recording: Recording,
    hosted: Arc<Hosted>,
}

impl Exporter {
    pub fn new(url: &str, recording: Recording, hosted: Arc<Hosted>) -> Result<Exporter, Error> {
        let unusable = |error: tonic::transport::Error| Error::Unreachable {
            server: url.to_owned(),
            cause: error.source().map_or_else(|| error.to_string(), ToString::to_string),
        };
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(unusable)?;
        let channel = endpoint.timeout(ATTEMPT_MAX).connect_timeout(ATTEMPT_MAX).connect_lazy();
        Ok(Exporter { client: TraceServiceClient::new(channel), recording, hosted })
    }

    /// Runs until the queue is closed and empty.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Delivery>) {
        while let Some(first) = queue.recv().await {
            let (mut request, mut merged) = (first.request, 1);
            while spans(&request) < BATCH_SPANS_MAX
                && let Ok(next) = queue.try_recv()
            {
                request.resource_spans.extend(next.request.resource_spans);
                merged += 1;
            }
            let kept = self.deliver(&request).await && self.recording.spans(&request).is_ok();
            if !kept {
                self.hosted.dropped.fetch_add(merged, Ordering::Relaxed);
            }
            self.hosted.waiting.fetch_sub(merged, Ordering::Relaxed);
        }
        // A full disk has shown before; there is nobody left to tell.
        let _ = self.recording.finish();
    }

    async fn deliver(&mut self, request: &ExportTraceServiceRequest) -> bool {
        let (since, mut backoff) = (Stopwatch::start(), BACKOFF_MIN);
        loop {
            match self.client.export(request.clone()).await {
                Ok(_) => return true,
                Err(status) if !retryable(&status) || since.elapsed() > RETRY_MAX => return false,
                Err(_) => tokio::time::sleep(backoff).await,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}

fn spans(request: &ExportTraceServiceRequest) -> usize {
    request.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum()
}

/// By the OTLP specification ("OTLP/gRPC Response", retryable codes); and where there was no answer at all.
fn retryable(status: &Status) -> bool {
    let unanswered = status.source().is_some();
    unanswered
        || matches!(
            status.code(),
            Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
        )
}
