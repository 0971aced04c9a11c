//! `headroom doctor`: what hinders seeing, how much of the traffic it concerns, and how to mend it.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use super::replay::{self, Stream};
use crate::analyse::sentences::percent;
use crate::analyse::{Findings, Hindrance, HindranceKind, SightLevel};
use crate::model::printable;

/// Say what hinders headroom from seeing what happens, worst first, and how to mend it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom doctor
  headroom doctor spans.jsonl.zst
  headroom doctor --json | jq '.hindrances[0]'

Without a file it asks a running server. Of files it tells what was so for longest;
when spans were received is not in them, so late spans cannot be told.

Exit codes: 0 nothing hinders; 1 something does; 2 usage or input error.")]
pub struct Args {
    /// Spans to look at: OTLP JSON lines (plain, gzip, zstd), length-prefixed OTLP, Parquet, or -
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What is told.
#[derive(Default)]
struct Report {
    verdict: String,
    seen_share: f64,
    endpoints: usize,
    services: usize,
    hindrances: Vec<Hindrance>,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let report = if args.files.is_empty() { Report::of_server(&args.server)? } else { Report::of_files(&args.files)? };
    if args.json {
        let Report { verdict, seen_share, endpoints, services, hindrances } = &report;
        let document = json!({
            "verdict": verdict, "seen_share": seen_share, "endpoints": endpoints, "services": services,
            "hindrances": hindrances,
        });
        writeln!(out, "{document:#}")?;
    } else {
        report.write(out)?;
    }
    Ok(if report.hindrances.is_empty() { Answer::Yes } else { Answer::No })
}

impl Report {
    fn of_server(server: &Server) -> Result<Report, Error> {
        let answer = server.get(&["sight"])?;
        let list = |name: &str| answer["sight"][name].as_array().map_or(0, Vec::len);
        let hindrances = answer["hindrances"].as_array().cloned().unwrap_or_default();
        Ok(Report {
            verdict: answer["verdict"].as_str().unwrap_or_default().to_owned(),
            seen_share: answer["sight"]["share"].as_f64().unwrap_or_default(),
            endpoints: list("entries"),
            services: list("services"),
            // One that a newer server knows of is left out.
            hindrances: hindrances.into_iter().filter_map(|one: Value| serde_json::from_value(one).ok()).collect(),
        })
    }

    fn of_files(files: &[String]) -> Result<Report, Error> {
        let mut course = Course::default();
        replay::watch(files, &mut |findings, stream| course.see(findings, stream))?;
        Ok(course.report())
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        let Report { seen_share, endpoints, services, .. } = self;
        let plural = |is_one: bool| if is_one { "" } else { "s" };
        writeln!(
            out,
            "{} of traces seen whole; {endpoints} endpoint{}, {services} service{}; verdict {}",
            percent(*seen_share),
            plural(*endpoints == 1),
            plural(*services == 1),
            self.verdict
        )?;
        if self.hindrances.is_empty() {
            writeln!(out, "nothing hinders")?;
        }
        for (place, hindrance) in self.hindrances.iter().enumerate() {
            let share = percent(hindrance.share);
            writeln!(out, "\n{}. {} ({share} of traffic)", place + 1, printable(&hindrance.what))?;
            writeln!(out, "   {}", hindrance.remedy)?;
        }
        Ok(())
    }
}

/// A recording of so many seconds tells enough before its end.
const LONG_TICKS: usize = 20;

/// The ticks of a recording.
#[derive(Default)]
struct Course {
    /// What hindered in each.
    ticks: Vec<Vec<Hindrance>>,
    /// As it was in the last in which requests were followed.
    last: Report,
}

impl Course {
    fn see(&mut self, findings: &Findings, stream: Stream) {
        let sight = &findings.sight;
        // After its last span a recording is no stream: traces that its end cuts are no fault of who sent them. Of one that is short
        // there is nothing else to see.
        let is_over = stream == Stream::HasEnded && self.ticks.len() > LONG_TICKS;
        if is_over || !findings.spans_arrive || sight.spans.received == 0 {
            return;
        }
        self.ticks.push(findings.hindrances());
        if !sight.entries.is_empty() || self.last.verdict.is_empty() {
            self.last = Report {
                verdict: findings.verdict().as_str().to_owned(),
                seen_share: if sight.level == SightLevel::Blind { 0.0 } else { sight.share },
                endpoints: sight.entries.len(),
                services: sight.services.len(),
                hindrances: Vec::new(),
            };
        }
    }

    /// What was so for a quarter of the second half, at least: in the first it is learnt where traces begin, and which clocks
    /// are off. Each as it was worst.
    fn report(self) -> Report {
        let half = self.ticks.len() / 2;
        let settled = &self.ticks[half..];
        let mut found: BTreeMap<(HindranceKind, &str), (usize, &Hindrance)> = BTreeMap::new();
        for hindrance in settled.iter().flatten() {
            let (times, worst) = found.entry((hindrance.kind, &hindrance.subject)).or_insert((0, hindrance));
            *times += 1;
            if hindrance.share > worst.share {
                *worst = hindrance;
            }
        }
        let lasting = found.into_values().filter(|(times, _)| 4 * times >= settled.len());
        let mut hindrances: Vec<Hindrance> = lasting.map(|(_, hindrance)| hindrance.clone()).collect();
        hindrances.sort_by(|a, b| {
            b.effect().total_cmp(&a.effect()).then_with(|| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)))
        });
        Report { hindrances, ..self.last }
    }
}
