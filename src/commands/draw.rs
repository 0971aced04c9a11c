//! `headroom draw`: systems that nobody drew by hand, each with one fault.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Error;
use super::recorded::{Part, Recorded, part_of};
use super::recording::Recording;
use crate::model::TraceId;
use crate::simulate::draw::{self, Kind, Terms};

/// Draw a system by a seed, with one fault: as a scenario, or as labelled recordings.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom draw degraded --seed 7 > degraded-7.yaml
  headroom demo --scenario degraded-7.yaml
  headroom draw refused black_hole --seeds 20 --recordings refused/
  headroom score refused/

The same kind and seed give the same system. A recording is a minute of healthy time
and forty seconds of the incident, beside it the label that `score` reads.

Exit codes: 0 drawn; 2 usage or input error.")]
pub struct Args {
    /// What goes wrong; all fifteen kinds for recordings when none is given
    #[arg(value_parser = kind)]
    kinds: Vec<Kind>,
    /// The seed, or the first of several
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write healthy time, incident and label of each into this directory, rather than print a scenario
    #[arg(long, value_name = "DIR")]
    recordings: Option<PathBuf>,
    /// How many seeds of each kind are recorded
    #[arg(long, value_name = "N", default_value_t = 1, requires = "recordings")]
    seeds: u64,
    #[command(flatten)]
    drawn: DrawnArgs,
}

/// What is drawn beside kind and seed.
#[derive(Clone, Copy, clap::Args)]
pub struct DrawnArgs {
    /// Lose this share of all spans, at random
    #[arg(long, value_name = "SHARE", value_parser = share)]
    lose: Option<f64>,
}

impl DrawnArgs {
    pub fn terms(self) -> Terms {
        Terms { lost: self.lose }
    }
}

pub fn kind(name: &str) -> Result<Kind, String> {
    let known = || Kind::FAULTS.map(Kind::as_str).join(", ");
    Kind::by_name(name).ok_or_else(|| format!("there is no such kind; choose one of {}, none", known()))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "write a share from 0 to below 1, such as 0.5".to_owned())
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let terms = args.drawn.terms();
    let Some(directory) = args.recordings else {
        let [kind] = args.kinds[..] else { return Err(Error::OneKind) };
        let (_, text) = draw::draw(kind, args.seed, terms)?;
        write!(out, "{text}")?;
        return Ok(Answer::Yes);
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    std::fs::create_dir_all(&directory).map_err(failed(&directory))?;
    let kinds = if args.kinds.is_empty() { Kind::FAULTS.to_vec() } else { args.kinds };
    let mut labels = BTreeMap::new();
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        for &kind in &kinds {
            let (name, label) = record(&directory, kind, seed, terms)?;
            writeln!(out, "{name}")?;
            labels.insert(name, label);
        }
    }
    let path = directory.join("labels.json");
    let file = File::create(&path).map_err(failed(&path))?;
    serde_json::to_writer_pretty(BufWriter::new(file), &labels).map_err(|e| failed(&path)(e.into()))?;
    Ok(Answer::Yes)
}

/// Writes the two files of one system; its name and label.
fn record(directory: &Path, kind: Kind, seed: u64, terms: Terms) -> Result<(String, Value), Error> {
    let recorded = Recorded::of(kind, seed, terms)?;
    let name = format!("drawn{seed}-{}", kind.as_str());
    let traces = recorded.traces()?;
    let starts = traces.starts().into_iter();
    let parts: BTreeMap<TraceId, Part> = starts.filter_map(|(trace, start)| Some((trace, part_of(start)?))).collect();
    let mut label = label(&recorded, kind);
    for (key, part) in [("normal", Part::Normal), ("incident", Part::Incident)] {
        let file = format!("{name}-{key}.jsonl");
        let mut recording = Recording::create(Some(&directory.join(&file)), None)?;
        for request in &recorded.requests {
            recording.spans(&only(request, |trace| parts.get(&trace) == Some(&part)))?;
        }
        recording.finish()?;
        label[key] = Value::String(file);
    }
    Ok((name, label))
}

fn label(recorded: &Recorded, kind: Kind) -> Value {
    let places = recorded.scenario.expected_places();
    json!({
        "service": places.first(),
        "places": places,
        "fault": kind.as_str(),
        "verdict": recorded.scenario.truth.verdict,
        "felt": recorded.is_felt,
    })
}

/// A request with the spans of some traces.
fn only(request: &ExportTraceServiceRequest, keep: impl Fn(TraceId) -> bool) -> ExportTraceServiceRequest {
    let mut request = request.clone();
    for scope in request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans) {
        scope.spans.retain(|span| span.trace_id[..].try_into().is_ok_and(|id| keep(TraceId(id))));
    }
    request
}
