//! `headroom explain`: why did it do that?

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;

use serde_json::json;

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use crate::journal::{self, ExplainError};
use crate::model::printable;

/// Explain a decision, an intervention or a minute: findings, proposal, decision, change and effect.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom explain d-1764018000-3
  headroom explain 14:03
  headroom explain d-1764018000-3 --journal /var/lib/headroom/journal.jsonl
  headroom explain d-1764018000-3 --json | jq .decision

Exit codes: 0 explained; 1 the journal has no such id; 2 usage or input error.")]
pub struct Args {
    /// Id of a decision or an intervention, or a time in UTC: 14:03, 14:03:07, 2026-11-24T14:03
    id: String,
    /// Read this journal rather than ask a running server
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let (document, text) = match &args.journal {
        Some(path) => {
            let file = File::open(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let journal =
                journal::read(BufReader::new(file)).map_err(|source| Error::Journal { path: path.clone(), source })?;
            match journal::explain(&journal.entries, &args.id) {
                Ok(explanation) => (json!(explanation), explanation.to_string()),
                Err(error @ ExplainError::Question(_)) => return Err(error.into()),
                Err(error) => return unknown(&error.to_string(), args.json, out),
            }
        }
        None => {
            let mut document = match args.server.get(&["explain", &args.id]) {
                Err(Error::Refused { status: 404, error, .. }) => return unknown(&error, args.json, out),
                answer => answer?,
            };
            let text = document.as_object_mut().and_then(|document| document.remove("text")).unwrap_or_default();
            let text = text.as_str().unwrap_or_default().to_owned();
            (document, text)
        }
    };
    if args.json {
        writeln!(out, "{document:#}")?
    } else {
        for line in text.lines() {
            writeln!(out, "{}", printable(line))?;
        }
    }
    Ok(Answer::Yes)
}

/// The question was understood, and the journal has no answer.
fn unknown(error: &str, json: bool, out: &mut dyn Write) -> Result<Answer, Error> {
    if json {
        writeln!(out, "{}", json!({"error": error}))?;
    } else {
        writeln!(out, "{error}")?;
    }
    Ok(Answer::No)
}
