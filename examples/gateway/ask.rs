//! The load: questions on the clock, over a few connections, as a few Envoys' workers have them.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headroom::clock::Stopwatch;
use http::uri::PathAndQuery;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

use crate::Error;
use crate::codec::RawCodec;
use crate::latency::latency_ms;
use crate::questions::Questions;
use crate::teach::Teacher;
use crate::usage::{Usage, usage};

const ASK: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// Questions on the way at once: an answer that takes longer holds up the next ones, and their wait counts.
const UNDER_WAY_MAX: usize = 512;

/// So many times as long as it should take, and the rest is not asked.
const TOO_SLOW: f64 = 1.5;

/// Seconds for which a headroom is shown the routes before it is asked about them.
const TAUGHT_S: u64 = 6;

/// Ask questions at a rate, and say what they cost who answers
#[derive(clap::Args)]
pub struct Args {
    /// Who answers
    #[arg(long)]
    gateway: SocketAddr,
    #[arg(long, default_value_t = 10_000.0)]
    per_second: f64,
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Seconds of the same load before anything is counted
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    #[arg(long, default_value_t = 1_000)]
    routes: usize,
    /// Classes of clients
    #[arg(long, default_value_t = 100)]
    classes: usize,
    /// Each question is by a client that was never heard of
    #[arg(long)]
    strangers: bool,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Show the routes to the OTLP/gRPC receiver there first
    #[arg(long)]
    teach: Option<SocketAddr>,
    /// The process that answers, for its CPU time and memory
    #[arg(long)]
    pid: Option<u32>,
}

/// What was answered since counting began.
#[derive(Default)]
struct Tally {
    admitted: AtomicU64,
    shed: AtomicU64,
    failed: AtomicU64,
    latencies_us: std::sync::Mutex<Vec<u32>>,
}

pub async fn load(args: Args) -> Result<(), Error> {
    let mut channels = Vec::new();
    for _ in 0..args.connections.max(1) {
        let channel = Endpoint::from_shared(format!("http://{}", args.gateway))?.tcp_nodelay(true).connect().await?;
        channels.push(Grpc::new(channel));
    }
    let mut background = JoinSet::new();
    if let Some(receiver) = args.teach {
        let mut teacher = Teacher::new(receiver, args.routes).await?;
        teacher.teach(TAUGHT_S).await?;
        background.spawn(teacher.go_on());
    }
    let mut questions = Questions::new(args.routes, args.classes, args.strangers);
    ask(&channels, &mut questions, args.per_second, args.warm_up).await;
    let before = args.pid.map(usage).transpose()?;
    let began = Stopwatch::start();
    let tally = ask(&channels, &mut questions, args.per_second, args.seconds).await;
    let wall_s = began.elapsed().as_secs_f64();
    let after = args.pid.map(usage).transpose()?;
    background.abort_all();
    report(&tally, wall_s, before.zip(after))?;
    Ok(())
}

/// Asks for so long; returns once all have their answers.
async fn ask(channels: &[Grpc<Channel>], questions: &mut Questions, per_second: f64, seconds: f64) -> Arc<Tally> {
    let (tally, places) = (Arc::<Tally>::default(), Arc::new(Semaphore::new(UNDER_WAY_MAX)));
    let (began, mut asking, mut number) = (Stopwatch::start(), JoinSet::new(), 0_usize);
    loop {
        let due = Duration::from_secs_f64(number as f64 / per_second);
        // Who cannot keep up shows in the answers a second, not in hours.
        if due.as_secs_f64() >= seconds || began.elapsed().as_secs_f64() >= TOO_SLOW * seconds {
            break;
        }
        // The timer is a millisecond coarse: what became due meanwhile goes out together.
        let early = due.saturating_sub(began.elapsed());
        if !early.is_zero() {
            tokio::time::sleep(early).await;
        }
        // It is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let (client, question, tally) = (channels[number % channels.len()].clone(), questions.next(), tally.clone());
        asking.spawn(async move {
            let answer = one(client, question).await;
            let took_us = u32::try_from(began.elapsed().saturating_sub(due).as_micros()).unwrap_or(u32::MAX);
            let count = match answer {
                Some(true) => &tally.admitted,
                Some(false) => &tally.shed,
                None => &tally.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut latencies) = tally.latencies_us.lock() {
                latencies.push(took_us);
            }
            drop(place);
        });
        while asking.try_join_next().is_some() {}
        number += 1;
    }
    while asking.join_next().await.is_some() {}
    tally
}

/// Whether the request is let in; None without an answer.
async fn one(mut client: Grpc<Channel>, question: Bytes) -> Option<bool> {
    client.ready().await.ok()?;
    let path = PathAndQuery::from_static(ASK);
    let answer = client.unary(tonic::Request::new(question), path, RawCodec).await.ok()?.into_inner();
    // `overall_code` is written first (field 1, a varint): 1 is OK, 2 over the limit.
    match answer.get(..2)? {
        [0x08, 1] => Some(true),
        [0x08, 2] => Some(false),
        _ => None,
    }
}

/// One line of JSON.
fn report(tally: &Tally, wall_s: f64, usage: Option<(Usage, Usage)>) -> std::io::Result<()> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let latencies_us = tally.latencies_us.lock().map(|all| all.clone()).unwrap_or_default();
    let answered = read(&tally.admitted) + read(&tally.shed);
    let mut report = serde_json::json!({
        "admitted": read(&tally.admitted),
        "shed": read(&tally.shed),
        "failed": read(&tally.failed),
        "answers_per_s": answered as f64 / wall_s,
        "latency_ms": latency_ms(latencies_us),
    });
    if let Some((before, after)) = usage {
        let cpu_s = after.cpu_s - before.cpu_s;
        report["server"] = serde_json::json!({
            "cpu_s": cpu_s,
            "cpu_us_per_answer": cpu_s * 1e6 / answered.max(1) as f64,
            "resident_bytes_before": before.resident_bytes,
            "resident_bytes": after.resident_bytes,
        });
    }
    writeln!(std::io::stdout(), "{report}")
}
