//! `headroom explain`: why did it do that?

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::client::Server;
use super::{Answer, Error};
use crate::api::{Explanation, explain};
use crate::journal::Entry;

/// Tell the story of a decision or an intervention: what was found, wanted, permitted, done, and whether it helped.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom explain d-1764018000-3
  headroom explain d-1764018000-3 --journal /var/lib/headroom/journal.jsonl
  headroom explain d-1764018000-3 --json | jq .decision

Exit codes: 0 told; 1 the journal knows no such id; 2 usage or input error.")]
pub struct Args {
    /// Id of a decision or an intervention, as in /api/v1/decisions and the journal
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
    let explanation = match &args.journal {
        Some(journal) => match explain(&args.id, read(journal)?.iter()) {
            Some(explanation) => explanation,
            None => {
                let error = format!("{} knows no {}", journal.display(), args.id);
                if args.json {
                    writeln!(out, "{}", serde_json::json!({"error": error}))?;
                } else {
                    writeln!(out, "{error}")?;
                }
                return Ok(Answer::No);
            }
        },
        None => serde_json::from_value::<Explanation>(args.server.get(&["explain", &args.id])?).map_err(|error| {
            let server = args.server.server.to_string();
            Error::Unreachable { server, cause: format!("it answered something else ({error})") }
        })?,
    };
    if args.json {
        writeln!(out, "{:#}", serde_json::json!(explanation))?;
    } else {
        write!(out, "{explanation}")?;
    }
    Ok(Answer::Yes)
}

/// The steps of a journal file. A last line that was cut off by a crash is left out.
fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut entries = Vec::new();
    let mut lines = file.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let line = line.map_err(unreadable)?;
        match serde_json::from_str::<Entry>(&line) {
            Ok(entry) => entries.push(entry),
            Err(_) if lines.peek().is_none() => {}
            Err(error) => {
                return Err(Error::Journal { path: path.to_owned(), line: index + 1, cause: error.to_string() });
            }
        }
    }
    Ok(entries)
}
