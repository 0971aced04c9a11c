//! `headroom explain`: why did it do that?

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;

use serde_json::json;

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use super::output::Output;
use crate::journal::{self, ExplainError};
use crate::model::{Time, printable};

/// Explain a decision, an intervention, a time or a service: findings, proposal, decision, change and effect.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom explain d-1764018000-3
  headroom explain last
  headroom explain 14:03            the state as it began, and every change within it
  headroom explain auth             a service: its state now, and its last decisions
  headroom explain now --journal /var/lib/headroom/journal.jsonl
  headroom explain d-1764018000-3 --json | jq '.stories[].decision'

Exit codes: 0 explained; 1 the journal has nothing on it; 2 usage or input error.")]
pub struct Args {
    /// Id of a decision or an intervention; a time in UTC: 14:03, 14:03:07, 2026-11-24T14:03, now; a service; or last
    #[arg(value_name = "WHAT")]
    asked: String,
    /// Read this journal rather than ask a running server
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let (document, text) = match &args.journal {
        Some(path) => {
            let file = File::open(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let journal =
                journal::read(BufReader::new(file)).map_err(|source| Error::Journal { path: path.clone(), source })?;
            let now = journal.entries.last().map_or(Time::MIN, |entry| entry.at);
            match journal::explain(&journal.entries, &args.asked, now) {
                Ok(explanation) => (json!(explanation), explanation.to_string()),
                Err(error @ ExplainError::Question { .. }) => return Err(error.into()),
                Err(error) => return unknown(&error.to_string(), &args.output, out),
            }
        }
        None => {
            let mut document = match args.server.get(&["explain", &args.asked]) {
                Err(Error::Refused { status: 404, error, .. }) => return unknown(&error, &args.output, out),
                answer => answer?,
            };
            let text = document.as_object_mut().and_then(|document| document.remove("text")).unwrap_or_default();
            let text = text.as_str().unwrap_or_default().to_owned();
            (document, text)
        }
    };
    if !args.output.document(&document, out)? {
        for line in text.lines() {
            writeln!(out, "{}", printable(line))?;
        }
    }
    Ok(Answer::Yes)
}

/// The question was understood, and the journal has no answer.
fn unknown(error: &str, output: &Output, out: &mut dyn Write) -> Result<Answer, Error> {
    if !output.document(&json!({"error": error}), out)? {
        writeln!(out, "{error}")?;
    }
    Ok(Answer::No)
}
