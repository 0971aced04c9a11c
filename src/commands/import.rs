//! `headroom import`: access logs to requests a minute, for forecasts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use serde_json::json;

use super::answer::Answer;
use super::error::Error;
use super::table::aligned;
use crate::import::{Counts, Format, Pattern, Reader, Stamps, Unread};
use crate::model::{Declared, Names, printable};

/// Count the requests of access logs: by minute and entry operation, as a series that `headroom forecast` and `backtest` read.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom import access.log --to counts.csv
  headroom import access.log.*.gz --to counts.csv --route 'GET /exam/*'
  headroom import lb.json.zst --format json --to counts.csv --json
  zcat access.log.gz | headroom import - --to counts.csv --zone Europe/Berlin
  headroom import app.log --to counts.csv --pattern '{_} | {time} | {method} {path} | {status}'

What a file is compressed with (gzip, zstd), its first bytes tell. The file is written whole or not at all, and the same again.
Fields of a pattern: time, method, path, request (GET /path HTTP/1.1), status; any other name is passed over.

Exit codes: 0 counted; 1 not one line could be read; 2 usage or input error.")]
pub struct Args {
    /// Files of lines, in the order of their time; - for standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<String>,
    /// Write the counts here, as CSV
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// How lines look; combined is also nginx's default, and its common form
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Named::Combined)]
    format: Named,
    /// How lines look, where no format fits
    #[arg(long, value_name = "PATTERN", conflicts_with = "format", value_parser = |text: &str| Pattern::parse(text))]
    pattern: Option<Pattern>,
    /// Count all that match as one: method and path, * stands for any text; identifiers are grouped by themselves
    #[arg(long = "route", value_name = "PATTERN")]
    routes: Vec<String>,
    /// The time zone of times without one
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    zone: Tz,
    /// Print the report as one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Named {
    Combined,
    /// An object a line, under the names that nginx, Envoy and their like give
    Json,
    Envoy,
    /// AWS' Application Load Balancer
    Alb,
}

/// Bytes of a line: servers bound a request line to some kilobytes, and what is longer is no line of a log.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Lines between two looks at how far it is.
const PROGRESS_LINES: u64 = 1 << 18;

/// All requests of a log are of one service, whatever it is called.
const SERVICE: &str = "log";

/// What came of the lines.
#[derive(Default)]
struct Report {
    lines: u64,
    bytes: u64,
    unread: BTreeMap<Unread, (u64, u64)>,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let format = match (&args.pattern, args.format) {
        (Some(pattern), _) => Format::Custom(pattern.clone()),
        (None, Named::Combined) => Format::Combined,
        (None, Named::Json) => Format::Json,
        (None, Named::Envoy) => Format::Envoy,
        (None, Named::Alb) => Format::Alb,
    };
    let declared = args.routes.iter().map(|route| Declared {
        entry: format!("{SERVICE} {route}"),
        name: Some(route.clone()),
        work: None,
    });
    let mut names = Names::new(declared.collect(), Vec::new());
    let mut reader = Reader::new(format, Stamps::new(args.zone));
    let (mut counts, mut report) = (Counts::default(), Report::default());
    for log in &args.logs {
        let failed = |source| Error::Read { path: PathBuf::from(log), source };
        count(open(log).map_err(failed)?, &mut reader, &mut names, &mut counts, &mut report).map_err(failed)?;
    }
    write(&args.to, &counts).map_err(|source| Error::Write { path: args.to.clone(), source })?;
    tell(&args, &counts, &report, out)?;
    Ok(if counts.requests > 0 { Answer::Yes } else { Answer::No })
}

/// Plain, or decompressed as its first bytes say.
fn open(log: &str) -> io::Result<Box<dyn BufRead>> {
    const BUFFER: usize = 256 << 10;
    let mut source: Box<dyn BufRead> = match log {
        "-" => Box::new(BufReader::with_capacity(BUFFER, io::stdin())),
        path => Box::new(BufReader::with_capacity(BUFFER, File::open(path)?)),
    };
    Ok(match source.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(source))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::with_buffer(source)?)),
        _ => source,
    })
}

fn count(
    mut source: Box<dyn BufRead>,
    reader: &mut Reader,
    names: &mut Names,
    counts: &mut Counts,
    report: &mut Report,
) -> io::Result<()> {
    let (mut line, mut operation) = (Vec::with_capacity(LINE_BYTES_MAX), String::new());
    let is_watched = io::stderr().is_terminal();
    loop {
        line.clear();
        let taken = source.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if taken == 0 {
            break;
        }
        report.lines += 1;
        report.bytes += taken as u64;
        let is_whole = line.last() == Some(&b'\n') || taken <= LINE_BYTES_MAX;
        if is_watched && report.lines.is_multiple_of(PROGRESS_LINES) {
            let mib = report.bytes >> 20;
            // Nobody misses what cannot be shown.
            let _ = write!(io::stderr(), "\r{} lines, {mib} MiB", report.lines);
        }
        let read = if is_whole {
            let text = line.trim_ascii_end();
            if text.is_empty() {
                continue;
            }
            reader.read(text, |request| {
                operation.clear();
                operation.push_str(request.method);
                operation.push(' ');
                // Parameters are no part of a route.
                operation.push_str(request.path.split(['?', ';', '#']).next().unwrap_or_default());
                counts.add(request.second, names.of(SERVICE, &operation).name);
            })
        } else {
            report.bytes += source.skip_until(b'\n')? as u64;
            Err(Unread::TooLong)
        };
        if let Err(why) = read {
            let (times, _) = report.unread.entry(why).or_insert((0, report.lines));
            *times += 1;
        }
    }
    if is_watched {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    Ok(())
}

/// Beside it first, so that whoever reads it, or a kill, finds it whole.
fn write(path: &Path, counts: &Counts) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let mut file = BufWriter::new(File::create(&beside)?);
    for row in counts.rows() {
        file.write_all(super::table::csv(&[row]).as_bytes())?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&beside, path)
}

fn tell(args: &Args, counts: &Counts, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let entries = counts.entries();
    if args.json {
        let unread = report
            .unread
            .iter()
            .map(|(why, (times, first))| json!({ "lines": times, "first_line": first, "why": why.to_string() }));
        let by_entry = entries.iter().map(|(entry, requests)| ((*entry).to_owned(), json!(requests)));
        let document = json!({
            "to": args.to.display().to_string(),
            "lines": report.lines,
            "bytes": report.bytes,
            "requests": counts.requests,
            "left_out": counts.left_out,
            "unread": unread.collect::<Vec<_>>(),
            "entries": by_entry.collect::<serde_json::Map<_, _>>(),
        });
        return writeln!(out, "{document:#}");
    }
    writeln!(out, "{} requests of {} lines in {}", counts.requests, report.lines, args.to.display())?;
    const SHOWN: usize = 20;
    let rows: Vec<Vec<String>> = (entries.iter().take(SHOWN))
        .map(|(entry, requests)| vec![requests.to_string(), printable(entry).to_string()])
        .collect();
    for row in aligned(&rows) {
        writeln!(out, "  {row}")?;
    }
    if entries.len() > SHOWN {
        writeln!(out, "  and {} more", entries.len() - SHOWN)?;
    }
    for (why, (times, first)) in &report.unread {
        writeln!(out, "{times} lines {why}, the first is line {first}")?;
    }
    if counts.left_out > 0 {
        writeln!(out, "{} requests were left out: there are minutes of more than four years", counts.left_out)?;
    }
    Ok(())
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "no time zone; write a name of the IANA database, such as Europe/Berlin".to_owned())
}
