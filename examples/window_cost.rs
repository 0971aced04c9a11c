//! What spans cost once they are decoded: bytes in the window, memory of the process, time of a tick.
//!
//! Fills an engine in process with the spans of a made-up shop (60 services of 5 pods and 20 operations, 10 spans a
//! trace, each request of one pod) and prints one JSON line: nanoseconds a span that `ingest` and `tick` take,
//! quantiles of the tick, Arrow bytes and resident bytes a span. No socket and no decoding: `make accept-speed`
//! measures those.
//!
//!     cargo run --release --example window_cost -- --held 5000000 --rate 100000 --services 60

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use headroom::clock::Stopwatch;
use headroom::decide;
use headroom::engine::{Engine, Settings};
use headroom::model::{Kind, SpanBatch, SpanBuilder, SpanId, SpanRow, Status, Time, TraceId};
use headroom::window;

// The program's own.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS_A_TRACE: u64 = 10;
const OPERATIONS: u64 = 20;
const PODS: u64 = 5;
/// Parts of a second in which requests come; each carries the spans of the traces that ended in it.
const ROUNDS: u64 = 10;
const START: Time = Time::from_secs(1_790_000_000);

/// Numbers given on the command line.
struct Args(BTreeMap<String, u64>);

impl Args {
    fn read() -> Args {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let pair = |pair: &[String]| Some((pair.first()?.strip_prefix("--")?.to_owned(), pair.get(1)?.parse().ok()?));
        Args(words.chunks(2).filter_map(pair).collect())
    }

    fn get(&self, name: &str, default: u64) -> u64 {
        self.0.get(name).copied().unwrap_or(default)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): cheap, and the same spans on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The names of the shop, made once: making them is no part of what is measured.
struct Shop {
    services: Vec<Service>,
    numbers: Numbers,
}

struct Service {
    name: String,
    operations: Vec<String>,
    calls: Vec<String>,
    pods: Vec<String>,
    /// Requests to come: spans of this service's pods, ten pods' worth together.
    spans: SpanBuilder,
}

impl Shop {
    fn new(services: u64) -> Shop {
        let service = |s: u64| Service {
            name: format!("service-{s:02}"),
            operations: (0..OPERATIONS).map(|o| format!("GET /service-{s:02}/resource/{o:02}")).collect(),
            calls: (0..OPERATIONS).map(|o| format!("call /service-{s:02}/resource/{o:02}")).collect(),
            pods: (0..PODS).map(|p| format!("service-{s:02}-7d9c6b5f4-{p:05}")).collect(),
            spans: SpanBuilder::new(),
        };
        Shop { services: (0..services).map(service).collect(), numbers: Numbers(1) }
    }

    /// One trace of five services in a chain: a server's span each, and the caller's span between two.
    fn trace(&mut self, end: Time) {
        let n = &mut self.numbers;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.next().to_be_bytes());
        id[8..].copy_from_slice(&n.next().to_be_bytes());
        let (choice, first) = (n.next(), n.next());
        let services = self.services.len() as u64;
        // Few services are entered from outside.
        let mut service = (choice % (services / 10).max(1)) as usize;
        let mut parent = None;
        let mut duration_ns = 40_000_000 + (choice >> 20) as i64 % 20_000_000;
        let mut start = Time(end.0 - duration_ns);
        for depth in 0..SPANS_A_TRACE {
            let span_id = SpanId((first.wrapping_add(depth) | 1).to_be_bytes());
            let called = depth % 2 == 1;
            let at = &mut self.services[service];
            let operation = ((choice >> 8) % OPERATIONS) as usize;
            let (names, kind) = if called { (&at.calls, Kind::Client) } else { (&at.operations, Kind::Server) };
            at.spans.append(&SpanRow {
                trace_id: TraceId(id),
                span_id,
                parent_span_id: parent,
                start,
                duration_ns,
                kind,
                status: Status::Unset,
                service: &at.name,
                operation: &names[operation],
                namespace: "shop",
                pod: &at.pods[((choice >> 16) % PODS) as usize],
                workload: &at.name,
                version: "1.4.2",
                promoted: [if called { "" } else { "/resource" }, "200", ""],
                sampled_weight: Some(1.0),
                ..SpanRow::default()
            });
            parent = Some(span_id);
            start = Time(start.0 + 500_000);
            duration_ns -= 2_000_000 + (choice >> (24 + depth)) as i64 % 1_000_000;
            if called {
                service = (service * 7 + 1 + (choice >> 40) as usize % 3) % self.services.len();
            }
        }
    }

    fn requests(&mut self) -> Vec<SpanBatch> {
        let full = |service: &mut Service| std::mem::take(&mut service.spans).finish();
        self.services.iter_mut().map(full).filter(|batch| !batch.is_empty()).collect()
    }
}

/// Resident bytes of this process (proc(5)); 0 where there is no procfs.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn milliseconds(sorted: &[Duration], quantile: f64) -> f64 {
    let at = ((sorted.len() as f64 * quantile).ceil() as usize).clamp(1, sorted.len());
    sorted[at - 1].as_secs_f64() * 1e3
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::read();
    let (held, rate) = (args.get("held", 1_000_000), args.get("rate", 100_000));
    let ticks = args.get("ticks", 30);
    // The window is as long as it takes to hold so many spans, so that full it stays at that number.
    let seconds = held.div_ceil(rate);
    let window = Duration::from_secs(seconds);
    let settings = Settings {
        window: window::Config { duration: window, bytes_max: usize::MAX, ..window::Config::default() },
        analyse: headroom::analyse::Config { keep: window, ..Default::default() },
        ..Settings::default()
    };
    let mut engine = Engine::new(START, settings, &decide::shipped())?;
    let mut shop = Shop::new(args.get("services", 60));
    let resident_before = resident_bytes();
    let (mut ingest, mut ingested) = (Duration::ZERO, 0);
    let mut took = Vec::new();
    // Two seconds more than the window, for the lag; then the ticks that count.
    for second in 0..(seconds + 2 + ticks) as i64 {
        for round in 0..ROUNDS {
            let traces = rate / ROUNDS / SPANS_A_TRACE;
            let from = START.0 + second * 1_000_000_000 + round as i64 * 100_000_000;
            (0..traces).for_each(|n| shop.trace(Time(from + n as i64 * 100_000_000 / traces as i64)));
            for batch in shop.requests() {
                let spans = batch.len() as u64;
                let stopwatch = Stopwatch::start();
                engine.ingest(Time(from + 100_000_000), batch);
                let _ = engine.take_records();
                ingest += stopwatch.elapsed();
                ingested += spans;
            }
        }
        let stopwatch = Stopwatch::start();
        let effects = engine.tick(Time(START.0 + (second + 1) * 1_000_000_000));
        took.push(stopwatch.elapsed());
        drop(effects);
    }
    let total: Duration = took.iter().sum();
    let mut last = took.split_off(took.len() - ticks as usize);
    last.sort_unstable();
    let spans = engine.window_spans();
    writeln!(
        std::io::stdout(),
        "{}",
        serde_json::json!({
            "spans_held": spans,
            "ingested": ingested,
            "ingest_ns_per_span": ingest.as_nanos() as f64 / ingested as f64,
            "tick_ns_per_span": total.as_nanos() as f64 / ingested as f64,
            "tick_p50_ms": milliseconds(&last, 0.5),
            "tick_p99_ms": milliseconds(&last, 0.99),
            "tick_max_ms": milliseconds(&last, 1.0),
            "table_bytes_per_span": engine.window_bytes() as f64 / spans as f64,
            "resident_bytes_per_span": resident_bytes().saturating_sub(resident_before) as f64 / spans as f64,
        })
    )?;
    Ok(())
}
