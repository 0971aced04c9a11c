//! `headroom report`: what was or would have been done over days, and how right it looks now.

mod html;
mod markdown;
mod picture;
#[cfg(test)]
mod tests;
mod words;

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use super::answer::Answer;
use super::error::Error;
use crate::config::parse_duration;
use crate::journal::hindsight::{self, Hindsight};
use crate::journal::{self, Entry};
use crate::model::Time;

/// Look back over a journal: each outage, what headroom did or would have done, and how right that looks in hindsight.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom report --journal /var/lib/headroom/journal.jsonl
  headroom report --since 7d --journal journal.jsonl -o html > week.html
  headroom report --since 2026-11-23T00:00 --journal journal.jsonl -o json | jq .incidents

The journal's predecessor (FILE.1) is read too, where there is one. Shares between
two findings of the journal are taken to hold, so that counts of requests are estimates.

Exit codes: 0 reported; 1 the journal has nothing of that time; 2 usage or input error.")]
pub struct Args {
    /// The journal; given more than once, the oldest first
    #[arg(long, required = true, value_name = "FILE")]
    journal: Vec<PathBuf>,
    /// How far back from the journal's end, such as 7d or 12h, or a time in UTC
    #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = parse_since)]
    since: Since,
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t = Format::Markdown)]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Text for people and for a wiki
    Markdown,
    /// One page with pictures, nothing loaded from elsewhere
    Html,
    /// One JSON document
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Since {
    Before(Duration),
    At(Time),
}

fn parse_since(text: &str) -> Result<Since, String> {
    let before = parse_duration(text).map(Since::Before);
    before
        .or_else(|| Time::parse(text).map(Since::At))
        .ok_or_else(|| "write a duration such as 7d or 12h, or a time such as 2026-11-23T00:00".to_owned())
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let mut entries = Vec::new();
    for path in with_predecessor(&args.journal) {
        entries.append(&mut read(&path)?);
    }
    let end = entries.last().map_or(Time::MIN, |entry| entry.at);
    let from = match args.since {
        Since::Before(before) => end - before,
        Since::At(at) => at,
    };
    if from > end || entries.is_empty() {
        writeln!(out, "the journal has nothing from {from} on; it ends at {end}")?;
        return Ok(Answer::No);
    }
    write_report(&hindsight::look_back(&entries, from), args.output, out)?;
    Ok(Answer::Yes)
}

fn write_report(report: &Hindsight, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    match format {
        Format::Markdown => markdown::write(report, out)?,
        Format::Html => html::write(report, out)?,
        Format::Json => writeln!(out, "{:#}", serde_json::json!(report))?,
    }
    Ok(())
}

/// One file alone is preceded by `FILE.1`, which it became when it was full.
fn with_predecessor(paths: &[PathBuf]) -> Vec<PathBuf> {
    let [path] = paths else { return paths.to_vec() };
    let mut older = path.clone().into_os_string();
    older.push(".1");
    let older = PathBuf::from(older);
    if older.is_file() { vec![older, path.clone()] } else { vec![path.clone()] }
}

fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let journal =
        journal::read(BufReader::new(file)).map_err(|source| Error::Journal { path: path.to_owned(), source })?;
    Ok(journal.entries)
}
