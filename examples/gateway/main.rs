//! What an answer to a gateway costs, and what it is measured against.
//!
//!     cargo run --release --features gateway --example gateway -- serve --listen 127.0.0.1:8182
//!     cargo run --release --features gateway --example gateway -- load --gateway 127.0.0.1:8182 --pid PID
//!
//! `serve` answers every question with OK, unread. `load` asks as the rate limit filter of many Envoys does, about
//! a thousand routes by a hundred classes of clients; its last line is JSON: answers, their latency from the instant at which each question
//! was due, and with `--pid` the CPU time and the memory of who answers. With `--teach` it sends traces of those routes to a headroom
//! first, and a few each second while it asks.

mod ask;
#[path = "../load/codec.rs"]
mod codec;
#[path = "../load/latency.rs"]
mod latency;
mod questions;
mod serve;
mod teach;
#[path = "../load/usage.rs"]
mod usage;

use clap::Parser;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Ask gateways' questions, or answer them unread.
#[derive(Parser)]
enum Command {
    Serve(serve::Args),
    Load(ask::Args),
}

fn main() -> Result<(), Error> {
    match Command::parse() {
        // As many threads as headroom has.
        Command::Serve(args) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve::serve(&args))
        }
        Command::Load(args) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask::load(args))
        }
    }
}
