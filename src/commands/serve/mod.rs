//! `headroom serve`: the daemon. Everything is checked before a socket is opened, and everything is drained
//! before it ends.

mod adapter;
mod core;
mod delay;
mod feeds;
mod gateways;
mod history;
mod journal_thread;
mod kubernetes;
mod learnt;
mod log;
mod memory;
mod panics;
mod rule_thread;
mod running;
mod shutdown;
mod tasks;

use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Handle, Runtime};
use tracing::warn;

use crate::clock::Clock;
use crate::commands::answer::Answer;
use crate::commands::error::Error;
use crate::commands::stations;
use crate::config::Config;
use running::Running;
use shutdown::Signals;

/// Receive traces, find the bottleneck, and act on it (by default: only report what it would do).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom serve                             OTLP on 4317 and 4318, API on 8080
  headroom serve --config headroom.yaml
  headroom serve --config headroom.yaml --log warn,headroom=debug

Without a configuration it observes, and listens on loopback alone.
SIGTERM and SIGINT drain: senders get their answers, the last tick is made and
the journal written. A second signal leaves at once.

Exit codes: 0 drained after a signal; 2 it could not start, a part of it ended by
itself (its last line says which and why), or it had to leave early.")]
pub struct Args {
    /// Configuration, YAML; without it the defaults hold
    #[arg(long, short, value_name = "FILE", env = "HEADROOM_CONFIG")]
    config: Option<PathBuf>,
    /// What to log: a level, or a filter such as warn,headroom=debug
    #[arg(long, value_name = "FILTER", env = "HEADROOM_LOG", default_value = "info")]
    log: String,
    /// Write the addresses that are listened on as JSON, once they accept
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,
    /// Act on the Kubernetes of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

pub fn run(args: Args) -> Result<Answer, Error> {
    log::start(&args.log)?;
    panics::watch();
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    kubernetes::complete(&mut config, args.context);
    memory::check_address_space(&config)?;
    let runtime = Builder::new_multi_thread().enable_all().thread_name("headroom").build().map_err(Error::Runtime)?;
    // People's queries run in processes of their own; these threads start them and wait for them.
    let queries = Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .thread_name("headroom-sql")
        .build()
        .map_err(Error::Runtime)?;
    let ended = runtime.block_on(async {
        let clock = match stations::clock(&config).await {
            // As later: said, and tried again at each poll.
            Err(Error::Cluster(error)) => {
                warn!("cannot reach the cluster: {error}; starting all the same, blind to it, by this machine's clock");
                Clock::system()
            }
            clock => clock?,
        };
        serve(&config, clock, queries.handle(), args.ports_file.as_deref()).await
    });
    // What still runs has had its deadline.
    [runtime, queries].into_iter().for_each(Runtime::shutdown_background);
    ended.map(|()| Answer::Yes)
}

/// The daemon from its first check to its last tick. `sql` runs people's SQL; the clock may be a scaled one.
pub async fn serve(config: &Config, clock: Clock, sql: &Handle, ports_file: Option<&Path>) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let mut running = Running::start(config, clock, sql, ports_file).await?;
    let failure = running.until_end(&mut signals).await;
    let drained = running.drain(&mut signals).await;
    match failure {
        Some(failure) => Err(failure),
        None => drained,
    }
}
