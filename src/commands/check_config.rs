//! `headroom check-config`: is this file a configuration?

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::answer::Answer;
use super::error::Error;
use crate::config::{self, Config};

/// Check a configuration: every problem at once, each with its path and a remedy.
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
    let answer = if checked.is_ok() { Answer::Yes } else { Answer::No };
    if args.json {
        let document = match &checked {
            Ok(config) => json!({"ok": true, "problems": [], "config": config}),
            Err(config::Error::Invalid { problems, .. }) => json!({"ok": false, "problems": problems}),
            Err(error) => json!({"ok": false, "problems": [{"path": "", "cause": error.to_string()}]}),
        };
        writeln!(out, "{document:#}")?;
    } else {
        match checked {
            Ok(_) => writeln!(out, "{}: no problem", args.file.display())?,
            Err(error) => writeln!(out, "{error}")?,
        }
    }
    Ok(answer)
}
