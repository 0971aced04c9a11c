//! `headroom check-config`: is this file a configuration?

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Error;
use super::query_files;
use crate::analyse::rollup::sql::QueryError;
use crate::config::{self, Config};

/// Check a configuration and the queries it names: every problem at once, each with its path and a remedy.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom check-config headroom.yaml
  headroom check-config headroom.yaml --json | jq '.problems[].path'

Exit codes: 0 no problem; 1 problems were found; 2 the file cannot be read.")]
pub struct Args {
    /// The file, YAML
    file: PathBuf,
    /// Print one JSON document, with the configuration that would be in force
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let checked = Config::load(&args.file);
    if let Err(error @ config::Error::Read { .. }) = checked {
        return Err(error.into());
    }
    let queries = match &checked {
        Ok(config) => wrong_queries(&config.analyse)?,
        Err(_) => Vec::new(),
    };
    let answer = if checked.is_ok() && queries.is_empty() { Answer::Yes } else { Answer::No };
    if args.json {
        let document = match &checked {
            Ok(config) if queries.is_empty() => json!({"ok": true, "problems": [], "config": config}),
            Ok(_) => json!({"ok": false, "problems": queries.iter().map(as_problem).collect::<Vec<_>>()}),
            Err(config::Error::Invalid { problems, .. }) => json!({"ok": false, "problems": problems}),
            Err(error) => json!({"ok": false, "problems": [{"path": "", "cause": error.to_string()}]}),
        };
        writeln!(out, "{document:#}")?;
    } else {
        match checked {
            Ok(_) if queries.is_empty() => writeln!(out, "{}: no problem", args.file.display())?,
            Ok(_) => queries.iter().try_for_each(|error| writeln!(out, "{error}"))?,
            Err(error) => writeln!(out, "{error}")?,
        }
    }
    Ok(answer)
}

/// What is wrong with the queries of the configured directory.
fn wrong_queries(analyse: &config::Analyse) -> Result<Vec<QueryError>, Error> {
    match query_files::load(analyse) {
        Ok(_) => Ok(Vec::new()),
        Err(Error::Queries { errors }) => Ok(errors),
        Err(error) => Err(error),
    }
}

fn as_problem(error: &QueryError) -> Value {
    let QueryError { file, place, cause, remedy } = error;
    let (line, column) = place.as_ref().map(|place| (place.line, place.column)).unzip();
    json!({"path": "analyse.queries", "file": file, "line": line, "column": column, "cause": cause, "remedy": remedy})
}
