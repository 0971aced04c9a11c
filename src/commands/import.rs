//! `headroom import`: access logs to requests a minute, for forecasts: into a file, or into a history.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use serde_json::json;
use tokio::runtime::Builder;

use super::answer::Answer;
use super::error::Error;
use super::table::aligned;
use crate::disk;
use crate::history::{self, Imported, Store, is_cluster_name};
use crate::import::{Counts, Format, Pattern, Reader, Stamps, Unread};
use crate::model::{Declared, Names, Time, printable};

/// Count the requests of access logs: by minute and entry operation, as a series that `headroom forecast` and `backtest` read.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom import access.log --to counts.csv
  headroom import access.log.*.gz --to counts.csv --route 'GET /exam/*'
  headroom import lb.json.zst --format json --to counts.csv --json
  zcat access.log.gz | headroom import - --to counts.csv --zone Europe/Berlin
  headroom import app.log --to counts.csv --pattern '{_} | {time} | {method} {path} | {status}'
  headroom import access.log.*.gz --to history/ --service ingress        into a history, such as that of `headroom serve`

What a file is compressed with (gzip, zstd), its first bytes tell. The file is written whole or not at all, and the same again;
where not one line could be read, what is there stays. A history is filled where it knows nothing yet: the same logs again change nothing,
and what headroom saw by itself stays. A minute without a line is written as 0, a stretch of more than a day as unknown.
Fields of a pattern: time, method, path, request (GET /path HTTP/1.1), status; any other name is passed over.

Exit codes: 0 counted; 1 not one line could be read; 2 usage or input error.")]
pub struct Args {
    /// Files of lines, in the order of their time; - for standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<String>,
    /// Write the counts here, as CSV; or into the history that this folder is, where it is one or ends with /
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Of a history: whose logs they are, as its traces name the service; their operations are told apart from those of others by it
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Of a history: the cluster, as `history.cluster` names it
    #[arg(long, value_name = "NAME", default_value = "main", value_parser = cluster)]
    cluster: String,
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
    /// An object a line, under the names that nginx, Envoy, Caddy, the Elastic Common Schema and their like give
    Json,
    Envoy,
    /// AWS' Application Load Balancer
    Alb,
}

/// Bytes of a line: servers bound a request line to some kilobytes, and what is longer is no line of a log.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Lines between two looks at how far it is.
const PROGRESS_LINES: u64 = 1 << 18;

/// Lines that are kept to say which format they have.
const SAMPLES_MAX: usize = 20;

/// What is shown of a line.
const SHOWN_CHARS: usize = 120;

/// All requests of a log are of one service, whatever it is called.
const SERVICE: &str = "log";

/// What came of the lines.
#[derive(Default)]
struct Report {
    lines: u64,
    bytes: u64,
    unread: BTreeMap<Unread, Lines>,
    samples: Vec<Vec<u8>>,
}

/// Those that could not be read for one reason.
struct Lines {
    times: u64,
    /// Number and text of the first.
    first: u64,
    text: String,
}

impl Report {
    fn unread(&mut self, why: Unread, line: &[u8]) {
        let first = self.lines;
        let shown = || String::from_utf8_lossy(line).trim_end().chars().take(SHOWN_CHARS).collect::<String>();
        self.unread.entry(why).or_insert_with(|| Lines { times: 0, first, text: shown() }).times += 1;
        if self.samples.len() < SAMPLES_MAX && line.len() <= LINE_BYTES_MAX {
            self.samples.push(line.trim_ascii_end().to_vec());
        }
    }

    /// The format that fits, where most lines could not be read by the one that was said.
    fn fits(&self, requests: u64) -> Option<Format> {
        let unread: u64 = self.unread.values().map(|lines| lines.times).sum();
        let fits = (unread > requests).then(|| Format::guess(self.samples.iter().map(Vec::as_slice)));
        fits.flatten()
    }
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let format = match (&args.pattern, args.format) {
        (Some(pattern), _) => Format::Custom(pattern.clone()),
        (None, Named::Combined) => Format::Combined,
        (None, Named::Json) => Format::Json,
        (None, Named::Envoy) => Format::Envoy,
        (None, Named::Alb) => Format::Alb,
    };
    let standard_input = Path::new("/dev/stdin");
    let mut logs = args.logs.iter().map(|log| if log == "-" { standard_input } else { Path::new(log) });
    if logs.any(|log| disk::is_same_file(log, &args.to)) {
        return Err(Error::OntoItself { path: args.to });
    }
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
    // What was there is worth more than nothing.
    let imported = match args.history() {
        _ if counts.requests == 0 => None,
        Some(place) => Some(fill(place, &args, &counts)?),
        None => {
            write(&args.to, &counts).map_err(|source| Error::Write { path: args.to.clone(), source })?;
            None
        }
    };
    tell(&args, &counts, &report, imported, out)?;
    Ok(if counts.requests > 0 { Answer::Yes } else { Answer::No })
}

impl Args {
    /// The place of a history, where it is to go into one: no other folder is taken for one.
    fn history(&self) -> Option<&str> {
        let place = self.to.to_str()?;
        (place.ends_with('/') || place.contains("://") || Store::is_history(place)).then_some(place)
    }
}

fn fill(place: &str, args: &Args, counts: &Counts) -> Result<Imported, Error> {
    let store = Store::make(place)?;
    let named: BTreeMap<&str, String> = match &args.service {
        Some(service) => counts.entries().into_iter().map(|(entry, _)| (entry, format!("{service} {entry}"))).collect(),
        None => BTreeMap::new(),
    };
    let name = |entry| named.get(entry).map_or(entry, String::as_str);
    let minutes = counts
        .by_minute()
        .map(|(minute, row)| (minute, row.into_iter().map(|(entry, requests)| (name(entry), requests)).collect()));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    Ok(runtime.block_on(history::import(&store, &args.cluster, minutes))?)
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
            report.unread(why, &line);
        }
    }
    if is_watched {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    Ok(())
}

fn write(path: &Path, counts: &Counts) -> io::Result<()> {
    disk::replace(path, |file| {
        let mut file = BufWriter::new(file);
        for row in counts.rows() {
            file.write_all(super::table::csv(&[row]).as_bytes())?;
        }
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        // A device and a pipe have nothing to be synced.
        if file.metadata()?.is_file() { file.sync_all() } else { Ok(()) }
    })
}

fn tell(
    args: &Args,
    counts: &Counts,
    report: &Report,
    imported: Option<Imported>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let entries = counts.entries();
    let is_written = counts.requests > 0;
    let fits = report.fits(counts.requests);
    let holes: Vec<_> = counts.holes().map(|hole| (Time::from_secs(hole.start), Time::from_secs(hole.end))).collect();
    if args.json {
        let unread = report.unread.iter().map(|(why, lines)| {
            let Lines { times, first, text } = lines;
            json!({ "lines": times, "first_line": first, "first": text, "why": why.to_string() })
        });
        let holes = holes.iter().map(|(from, until)| json!({ "from": from.to_string(), "until": until.to_string() }));
        let by_entry = entries.iter().map(|(entry, requests)| ((*entry).to_owned(), json!(requests)));
        let document = json!({
            "to": args.to.display().to_string(),
            "written": is_written,
            "minutes_added": imported.map(|of| of.minutes),
            "minutes_known_before": imported.map(|of| of.known),
            "lines": report.lines,
            "bytes": report.bytes,
            "requests": counts.requests,
            "left_out": counts.left_out,
            "minutes": counts.minutes(),
            "empty_minutes": counts.empty_minutes(),
            "holes": holes.collect::<Vec<_>>(),
            "unread": unread.collect::<Vec<_>>(),
            "fits": fits.as_ref().and_then(Format::name),
            "entries": by_entry.collect::<serde_json::Map<_, _>>(),
        });
        return writeln!(out, "{document:#}");
    }
    let to = args.to.display();
    if is_written {
        writeln!(out, "{} requests of {} lines in {to}", counts.requests, report.lines)?;
    } else {
        writeln!(out, "no request in {} lines; {to} is not written", report.lines)?;
    }
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
    if counts.empty_minutes() > 0 {
        writeln!(
            out,
            "{} minutes had requests; {} between them had none: 0",
            counts.minutes(),
            counts.empty_minutes()
        )?;
    }
    if let Some(Imported { minutes, known }) = imported {
        writeln!(out, "{minutes} minutes were added to the history; {known} it knew already: they stay as they are")?;
    }
    for (from, until) in holes.iter().take(SHOWN) {
        writeln!(
            out,
            "nothing from {from} to {until}: left unknown, as if a log were missing; if nothing came, give --absent zero to forecast"
        )?;
    }
    if holes.len() > SHOWN {
        writeln!(out, "and {} more such stretches", holes.len() - SHOWN)?;
    }
    for (why, Lines { times, first, text }) in &report.unread {
        let lines = if *times == 1 { "line" } else { "lines" };
        writeln!(out, "{times} {lines}: {why}; the first is line {first}: {}", printable(text))?;
    }
    if let Some(name) = fits.as_ref().and_then(Format::name) {
        writeln!(out, "they are read by --format {name}")?;
    }
    if counts.left_out > 0 {
        writeln!(out, "{} requests were left out: there are minutes of more than four years", counts.left_out)?;
    }
    Ok(())
}

fn cluster(text: &str) -> Result<String, String> {
    let is_one = is_cluster_name(text);
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| "no name of a cluster; write letters, digits, `-`, `_` and `.`".to_owned())
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "no time zone; write a name of the IANA database, such as Europe/Berlin".to_owned())
}
