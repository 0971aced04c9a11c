//! The daemon's log, on standard error: for people on a terminal, JSON lines otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::commands::error::Error;

pub fn start(filter: &str) -> Result<(), Error> {
    let wrong = |cause: String| Error::Log { filter: filter.to_owned(), cause };
    let parsed = EnvFilter::try_new(filter).map_err(|error| wrong(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(io::stderr);
    let started = if io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    started.map_err(|error| wrong(error.to_string()))
}
