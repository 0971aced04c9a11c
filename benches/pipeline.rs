//! What a span costs after it was decoded: kept, assembled into its trace, walked for the critical path; and what one
//! tick costs with 10 thousand to 10 million spans in the window, at the same rate of new ones.
//!
//! `--figures` prints the figures a span and a tick alone; `--spans N` bounds the windows that are filled.

#[path = "../examples/load/payload.rs"]
mod payload;
mod per_span;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use headroom::analyse::trace::{Tree, critical_path};
use headroom::clock::Stopwatch;
use headroom::decide;
use headroom::engine::{Engine, Settings};
use headroom::model::{SpanBatch, Time};
use headroom::receive::Encoding;
use headroom::receive::decode::{Options, decode};
use headroom::window::{self, Beginning, Window};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Spans in the window when a tick is measured.
const WINDOWS: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

/// Spans that arrive each second while ticks are measured, whatever the window holds.
const SPANS_PER_SECOND: usize = 10_000;

/// Seconds over which a window is filled before.
const FILLING_S: usize = 100;

/// Ticks that are measured for a figure, after those that still close traces of the filling.
const TICKS: usize = 50;
const TICKS_BEFORE: usize = 5;

/// A minute after the payload's epoch; any time will do.
const START: Time = Time(payload::EPOCH_NS as i64 + 60_000_000_000);

/// An endless stream of batches, each with its own ids.
struct Stream(payload::Stream);

impl Stream {
    fn new(requests: Vec<payload::Request>) -> Stream {
        Stream(payload::Stream::new(requests, 1))
    }

    /// The next batch, its spans just ended.
    fn next(&mut self, now: Time) -> SpanBatch {
        let (body, _) = self.0.next(now.0 as u64);
        decode(Encoding::Protobuf, &body, &Options::default()).expect("our own request").batch
    }

    fn take(&mut self, spans: usize, now: Time) -> Vec<SpanBatch> {
        let mut batches = Vec::new();
        let mut taken = 0;
        while taken < spans {
            let batch = self.next(now);
            taken += batch.len();
            batches.push(batch);
        }
        batches
    }
}

fn loads() -> [(&'static str, Stream); 2] {
    [("narrow", Stream::new(payload::narrow())), ("wide", Stream::new(payload::wide()))]
}

fn roomy() -> window::Config {
    // Nothing is to be evicted: it is the window's size that is varied.
    window::Config { duration: Duration::from_secs(86_400), bytes_max: 1 << 40, ..window::Config::default() }
}

fn keep(batches: &[SpanBatch]) {
    let mut window = Window::new(roomy());
    batches.iter().for_each(|batch| window.keep(START, batch.clone()));
    black_box(window.bytes());
}

fn append(batches: &[SpanBatch]) -> Window {
    let mut window = Window::new(roomy());
    batches.iter().for_each(|batch| window.ingest(START, batch.clone()));
    window
}

fn assemble_and_walk(batches: &[SpanBatch]) {
    let mut window = append(batches);
    // Long enough after the last span that every trace is closed.
    let traces = window.close(Time(START.0 + 60_000_000_000), |_, _| Beginning::Elsewhere);
    let mut tree = Tree::default();
    for trace in &traces {
        tree.rebuild(&trace.spans);
        if let Some(root) = tree.root {
            black_box(critical_path(&tree, root));
        }
    }
}

/// An engine with so many spans in its window.
struct Filled {
    engine: Engine,
    stream: Stream,
    now: Time,
}

impl Filled {
    fn new(spans: usize) -> Filled {
        let settings = Settings { window: roomy(), ..Settings::default() };
        let engine = Engine::new(START, settings, &decide::shipped()).expect("the shipped queries and rules");
        let mut filled = Filled { engine, stream: Stream::new(payload::wide()), now: START };
        for _ in 0..FILLING_S {
            filled.second(spans / FILLING_S);
        }
        for _ in 0..TICKS_BEFORE {
            filled.second(SPANS_PER_SECOND);
        }
        filled
    }

    /// A second of spans and the tick after it, whose time is returned.
    fn second(&mut self, spans: usize) -> Duration {
        self.now = Time(self.now.0 + 1_000_000_000);
        for batch in self.stream.take(spans, self.now) {
            self.engine.ingest(self.now, batch);
        }
        let began = Stopwatch::start();
        black_box(self.engine.tick(self.now));
        began.elapsed()
    }
}

fn benches(criterion: &mut Criterion, windows: &[usize]) {
    for (name, mut stream) in loads() {
        let batches = stream.take(80_000, START);
        let spans: usize = batches.iter().map(SpanBatch::len).sum();
        let mut group = criterion.benchmark_group(format!("window {name}"));
        group.throughput(Throughput::Elements(spans as u64)).sample_size(20);
        group.bench_function("keep", |b| b.iter(|| keep(&batches)));
        group.bench_function("append", |b| b.iter(|| append(&batches)));
        group.bench_function("assembly and critical path", |b| b.iter(|| assemble_and_walk(&batches)));
        group.finish();
    }
    let mut group = criterion.benchmark_group("tick");
    group.sample_size(10).warm_up_time(Duration::from_millis(100));
    for spans in windows {
        let mut filled = Filled::new(*spans);
        group.bench_function(format!("{spans} spans in the window"), |b| {
            b.iter_custom(|ticks| (0..ticks).map(|_| filled.second(SPANS_PER_SECOND)).sum());
        });
    }
    group.finish();
}

fn figures(windows: &[usize]) {
    for (name, mut stream) in loads() {
        let batches = stream.take(80_000, START);
        let spans = batches.iter().map(SpanBatch::len).sum();
        let [kept, appended, walked] = per_span::interleaved(
            spans,
            [&mut || keep(&batches), &mut || drop(append(&batches)), &mut || assemble_and_walk(&batches)],
        );
        per_span::say(&format!("window.{name}.keep"), kept);
        per_span::say(&format!("window.{name}.append"), appended);
        per_span::say(&format!("window.{name}.assembly_and_critical_path"), walked);
    }
    for spans in windows {
        let mut filled = Filled::new(*spans);
        let mut ticks: Vec<Duration> = (0..TICKS).map(|_| filled.second(SPANS_PER_SECOND)).collect();
        ticks.sort_unstable();
        let ms = |at: usize| ticks[at].as_secs_f64() * 1e3;
        let per_span_ns = ms(TICKS / 2) * 1e6 / SPANS_PER_SECOND as f64;
        per_span::figure(&format!("tick.{spans}.p50"), ms(TICKS / 2), "ms");
        per_span::figure(&format!("tick.{spans}.p99"), ms(TICKS - 1), "ms");
        per_span::figure(&format!("tick.{spans}.per_span"), per_span_ns, "ns a span that arrived");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let bound = arguments.iter().position(|argument| argument == "--spans").and_then(|at| arguments.get(at + 1));
    let bound = bound.and_then(|bound| bound.parse().ok()).unwrap_or(usize::MAX);
    let windows: Vec<usize> = WINDOWS.into_iter().filter(|spans| *spans <= bound).collect();
    if !arguments.iter().any(|argument| argument == "--figures") {
        let mut criterion = Criterion::default();
        benches(&mut criterion, &windows);
        criterion.final_summary();
    }
    figures(&windows);
}
