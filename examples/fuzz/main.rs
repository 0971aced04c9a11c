//! Feeds what nobody would send to what strangers reach, for so long, and looks at what it costs. Coverage guides nothing
//! here: what is fed is made of a grammar and of pieces, multiplied, so that each input is near to something that works.
//! The decoders and the engine have targets that coverage guides (`make fuzz`).
//!
//!     cargo run --release --example fuzz -- sql --seconds 600          statements, to the processes that answer people
//!     cargo run --release --example fuzz -- http --seconds 600         HTTP requests with JSON, to a receiver and an engine
//!
//! Prints one JSON line. Exit code 1: something was found; the line has what, and the seed brings it back.

mod counted;
mod http;
mod mutate;
mod sql;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use headroom::sql::Program;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: counted::Counted = counted::Counted;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    /// Statements
    Sql(Length),
    /// HTTP requests with JSON in them
    Http(Length),
}

#[derive(clap::Args)]
struct Length {
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Length {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// What a run came to.
struct Outcome {
    report: serde_json::Value,
    findings: Vec<String>,
}

fn main() -> ExitCode {
    // The children that answer SQL are this program too, as they are headroom's.
    if std::env::args().nth(1).is_some_and(|first| first == Program::SUBCOMMAND) {
        return if headroom::sql::child::serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (name, seed, outcome) = match Args::parse().target {
        Target::Sql(length) => ("sql", length.seed, sql::run(length.duration(), length.seed)),
        Target::Http(length) => ("http", length.seed, http::run(length.duration(), length.seed)),
    };
    let line = json!({"target": name, "seed": seed, "report": outcome.report, "findings": outcome.findings});
    // Whoever closed the pipe has the exit code.
    let _ = writeln!(std::io::stdout(), "{line}");
    if outcome.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
