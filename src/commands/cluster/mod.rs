//! `headroom cluster`: the embedded cluster of a demo at a finite speed. A process of its own, so that it keeps its
//! objects and its clock whatever becomes of headroom: it runs the simulation in scaled wall time, sends real OTLP,
//! and serves what a cluster serves over HTTP on loopback. Demo starts it; people have no need to.

mod exporter;
mod hosted;
mod server;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::clock::Clock;
use crate::commands::answer::Answer;
use crate::commands::error::Error;
use crate::commands::recording::Recording;
use crate::commands::scenario::{self, SCENARIO, SEED, START, Variant, finite_speed};
use crate::model::Time;
use crate::simulate::Simulation;
use hosted::Hosted;
pub use server::Shown;

/// Run a scenario's cluster in scaled wall time, for `headroom demo` or `headroom serve` beside it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom cluster --scenario login-storm --speed 4 --otlp-grpc http://127.0.0.1:4317

Its first line says where it listens: put that URL into `cluster.embedded.url` of
headroom's configuration. It serves GET /state, /clock, /live, /measures and
/changes, POST /apply and /stop, and ends by itself.")]
pub struct Args {
    /// A shipped scenario's name, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = SCENARIO)]
    scenario: String,
    #[command(flatten)]
    variant: Variant,
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Virtual seconds in a second
    #[arg(long, value_name = "X", default_value = "1", value_parser = finite_speed)]
    speed: f64,
    /// When the scenario begins, in seconds since the Unix epoch; a Monday morning in January 2026 unless given
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..=4_102_444_800))]
    start: Option<i64>,
    /// Where to serve; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to send spans
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4317")]
    otlp_grpc: String,
    /// Keep the spans that were delivered, as OTLP JSON lines
    #[arg(long, value_name = "FILE")]
    spans: Option<PathBuf>,
    /// Seconds it stays after the scenario's end, for its last questions
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
}

/// Nobody asked for so long that whoever started it is gone; a restart of headroom takes seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Requests on their way to headroom, as the Collector's `sending_queue` holds by default.
const QUEUE_MAX: usize = 1000;

/// An open connection may not keep it.
const LEAVE_MAX: Duration = Duration::from_secs(1);

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    if !args.listen.ip().is_loopback() {
        return Err(Error::NotLoopback { address: args.listen });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let ended = runtime.block_on(host(&args, out));
    runtime.shutdown_background();
    ended.map(|()| Answer::Yes)
}

async fn host(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let scenario = args.variant.of(scenario::scenario(&args.scenario)?);
    let recording = Recording::create(args.spans.as_deref(), None)?;
    let listen = |source| Error::Listen { what: "the embedded cluster", address: args.listen, source };
    let listener = TcpListener::bind(args.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    let start = args.start.map_or(START, Time::from_secs);
    let clock = Clock::scaled(Clock::system().now(), start, args.speed);
    let horizon = Time(start.0 + (scenario.horizon_s * 1e9) as i64);
    let hosted = Arc::new(Hosted::new(Simulation::new(&scenario, args.seed, start), horizon));

    let (inlet, outlet) = mpsc::channel(QUEUE_MAX);
    let exporter = exporter::Exporter::new(&args.otlp_grpc, recording, hosted.clone())?;
    let exporter = tokio::spawn(exporter.run(outlet));
    let leave = Arc::new(Notify::new());
    let left = leave.clone();
    let server = axum::serve(listener, server::router(hosted.clone(), &clock))
        .with_graceful_shutdown(async move { left.notified().await });
    let server = tokio::spawn(server.into_future());
    writeln!(out, "http://{address}")?;
    out.flush()?;

    let lifetime = async {
        hosted::run(hosted.clone(), clock, inlet).await;
        tokio::time::sleep(Duration::from_secs(args.grace)).await;
    };
    tokio::select! {
        () = lifetime => {}
        () = hosted.stopped() => {}
        () = hosted.forgotten(SILENCE_MAX) => {}
    }
    // Awaited, because its end writes out what it recorded.
    exporter.abort();
    let _ = exporter.await;
    // Whoever asked it to stop hears that it does.
    leave.notify_one();
    let _ = tokio::time::timeout(LEAVE_MAX, server).await;
    Ok(())
}
