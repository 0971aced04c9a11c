//! Sends OTLP traces to a receiver on this machine, and says what they cost it.
//!
//!     cargo run --release --example load -- --grpc 127.0.0.1:4317 --payload wide --spans-per-second 300000 --pid PID
//!
//! Every request has new ids and the present time. The last line is JSON: spans sent and acknowledged, latency of a
//! request, and with `--pid` the CPU seconds and the memory of the receiver, read from /proc while it was loaded.
//! A receiver that refuses (UNAVAILABLE, 503) is not asked again: refusals are counted.

mod codec;
mod latency;
mod payload;
mod usage;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use codec::RawCodec;
use flate2::Compression;
use flate2::write::GzEncoder;
use headroom::clock::{Clock, Stopwatch};
use http::uri::PathAndQuery;
use latency::latency_ms;
use tokio::sync::{Mutex, mpsc};
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use usage::{Usage, usage};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, ValueEnum)]
enum Payload {
    /// Three services, ten spans a trace
    Narrow,
    /// 60 services, 1 200 operations, 300 pods; a trace lies scattered over several requests
    Wide,
}

/// Send OTLP traces at a rate and say what they cost the receiver.
#[derive(Parser)]
struct Args {
    /// Send OTLP/gRPC to this address
    #[arg(long, required_unless_present = "http", conflicts_with = "http")]
    grpc: Option<SocketAddr>,
    /// Send OTLP/HTTP to this address
    #[arg(long)]
    http: Option<SocketAddr>,
    #[arg(long, value_enum, default_value = "narrow")]
    payload: Payload,
    /// Zero sends as fast as answers come
    #[arg(long, default_value_t = 0)]
    spans_per_second: u64,
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Seconds of the same load before anything is counted
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    #[arg(long)]
    gzip: bool,
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
    /// The receiver's process, for its CPU time and memory
    #[arg(long)]
    pid: Option<u32>,
}

/// What has been sent since counting began.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    latencies_us: std::sync::Mutex<Vec<u32>>,
}

/// One request on its way.
struct Job {
    body: Bytes,
    spans: u64,
}

enum Answer {
    Accepted,
    Refused,
    Failed,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args = Arc::new(Args::parse());
    let (jobs, waiting) = mpsc::channel::<Job>(2 * args.connections * args.in_flight);
    let waiting = Arc::new(Mutex::new(waiting));
    let tally = Arc::new(std::sync::RwLock::new(Arc::new(Tally::default())));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..args.connections {
        let connection = Connection::open(&args).await?;
        for _ in 0..args.in_flight {
            let (connection, waiting, tally) = (connection.clone(), waiting.clone(), tally.clone());
            senders.spawn(async move {
                loop {
                    let Some(job) = waiting.lock().await.recv().await else { return };
                    let tally = tally.read().map(|tally| tally.clone()).unwrap_or_default();
                    send(&connection, job, &tally).await;
                }
            });
        }
    }
    let mut schedule = Schedule::new(&args);
    schedule.run(&jobs, args.warm_up).await;
    let before = args.pid.map(usage).transpose()?;
    let counted = Arc::<Tally>::default();
    if let Ok(mut tally) = tally.write() {
        *tally = counted.clone();
    }
    let began = Stopwatch::start();
    schedule.run(&jobs, args.seconds).await;
    drop(jobs);
    while senders.join_next().await.is_some() {}
    let wall_s = began.elapsed().as_secs_f64();
    let after = args.pid.map(usage).transpose()?;
    report(&counted, wall_s, before.zip(after))?;
    Ok(())
}

async fn send(connection: &Connection, job: Job, tally: &Tally) {
    let (spans, bytes) = (job.spans, job.body.len() as u64);
    let began = Stopwatch::start();
    let answer = connection.export(job.body).await;
    let took_us = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
    tally.sent.fetch_add(spans, Ordering::Relaxed);
    tally.bytes.fetch_add(bytes, Ordering::Relaxed);
    match answer {
        Answer::Accepted => {
            tally.acknowledged.fetch_add(spans, Ordering::Relaxed);
            if let Ok(mut latencies) = tally.latencies_us.lock() {
                latencies.push(took_us);
            }
        }
        Answer::Refused => drop(tally.refused.fetch_add(spans, Ordering::Relaxed)),
        Answer::Failed => drop(tally.failed.fetch_add(spans, Ordering::Relaxed)),
    }
}

/// The jobs at their times.
struct Schedule {
    requests: payload::Stream,
    gzip: bool,
    spans_per_second: u64,
}

impl Schedule {
    fn new(args: &Args) -> Schedule {
        let requests = match args.payload {
            Payload::Narrow => payload::narrow(),
            Payload::Wide => payload::wide(),
        };
        // Over gRPC tonic compresses. The time of day seeds the ids, so that two runs share none.
        let gzip = args.gzip && args.http.is_some();
        Schedule { requests: payload::Stream::new(requests, now_ns()), gzip, spans_per_second: args.spans_per_second }
    }

    async fn run(&mut self, jobs: &mpsc::Sender<Job>, seconds: f64) {
        let began = Stopwatch::start();
        let mut spans = 0;
        while began.elapsed().as_secs_f64() < seconds {
            if self.spans_per_second > 0 {
                let due = Duration::from_secs_f64(spans as f64 / self.spans_per_second as f64);
                tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
            }
            let job = self.next();
            spans += job.spans;
            if jobs.send(job).await.is_err() {
                return;
            }
        }
    }

    fn next(&mut self) -> Job {
        let (body, spans) = self.requests.next(now_ns());
        let body = if self.gzip { gzip(&body) } else { body };
        Job { body: body.into(), spans: spans as u64 }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // A vector takes what it is given.
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory")
}

fn now_ns() -> u64 {
    // Not before 1970.
    Clock::system().now().0 as u64
}

#[derive(Clone)]
enum Connection {
    Grpc { client: Grpc<Channel>, gzip: bool },
    Http { client: reqwest::Client, url: String, gzip: bool },
}

impl Connection {
    async fn open(args: &Args) -> Result<Connection, Error> {
        let gzip = args.gzip;
        if let Some(address) = args.grpc {
            let channel = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?;
            return Ok(Connection::Grpc { client: Grpc::new(channel), gzip });
        }
        let address = args.http.ok_or("either --grpc or --http")?;
        let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
        Ok(Connection::Http { client, url: format!("http://{address}/v1/traces"), gzip })
    }

    async fn export(&self, body: Bytes) -> Answer {
        match self {
            Connection::Grpc { client, gzip } => {
                let mut client = client.clone();
                if *gzip {
                    client = client.send_compressed(CompressionEncoding::Gzip);
                }
                if client.ready().await.is_err() {
                    return Answer::Failed;
                }
                let path = PathAndQuery::from_static(EXPORT);
                match client.unary(tonic::Request::new(body), path, RawCodec).await {
                    Ok(_) => Answer::Accepted,
                    Err(status) if status.code() == tonic::Code::Unavailable => Answer::Refused,
                    Err(_) => Answer::Failed,
                }
            }
            Connection::Http { client, url, gzip } => {
                let mut request = client.post(url).header("content-type", "application/x-protobuf").body(body);
                if *gzip {
                    request = request.header("content-encoding", "gzip");
                }
                match request.send().await.map(|response| response.status().as_u16()) {
                    Ok(200) => Answer::Accepted,
                    Ok(429 | 503) => Answer::Refused,
                    _ => Answer::Failed,
                }
            }
        }
    }
}

/// One line of JSON.
fn report(tally: &Tally, wall_s: f64, usage: Option<(Usage, Usage)>) -> std::io::Result<()> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (sent, acknowledged) = (read(&tally.sent), read(&tally.acknowledged));
    let latencies_us = tally.latencies_us.lock().map(|all| all.clone()).unwrap_or_default();
    let mut report = serde_json::json!({
        "spans_sent": sent,
        "spans_acknowledged": acknowledged,
        "spans_refused": read(&tally.refused),
        "spans_failed": read(&tally.failed),
        "bytes_per_span": read(&tally.bytes) as f64 / sent.max(1) as f64,
        "wall_s": wall_s,
        "spans_per_s": acknowledged as f64 / wall_s,
        "latency_ms": latency_ms(latencies_us),
    });
    if let Some((before, after)) = usage {
        let cpu_s = after.cpu_s - before.cpu_s;
        report["server"] = serde_json::json!({
            "cpu_s": cpu_s,
            "cpu_s_per_million_spans": cpu_s * 1e6 / acknowledged.max(1) as f64,
            "spans_per_core_s": acknowledged as f64 / cpu_s.max(f64::MIN_POSITIVE),
            "cores": cpu_s / wall_s,
            "resident_bytes": after.resident_bytes,
        });
    }
    writeln!(std::io::stdout(), "{report}")
}
