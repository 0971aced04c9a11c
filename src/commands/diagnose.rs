//! `headroom diagnose`: which service is at fault in recorded spans.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Error;
use super::traces::Traces;
use crate::analyse::change::{
    self, Diagnosis, EXPLAINED_MAX, Moment, Parameters, Profile, calm_stretch, localise, slowest,
};
use crate::analyse::findings::MissedObjective;
use crate::analyse::{Suspect, Verdict};

/// Find the service at fault in recorded spans, best guess first.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom diagnose --baseline yesterday.jsonl.zst incident.jsonl.zst
  headroom diagnose incident.jsonl --json | jq '.suspects[0]'

A suspect's score is the probability that the fault lies there; what the scores
leave of 1 is `no suspect here`. Without --baseline the calmest stretch of time in
the files is the baseline; if none is clearly calmer, all traces but the slowest
hundredth of each endpoint (root span) are.

Files are OTLP JSON lines (plain, gzip, zstd), the Collector's length-prefixed
form, headroom's Parquet, or - for standard input.

Exit codes: 0 diagnosed; 2 usage or input error.")]
pub struct Args {
    /// Files of spans, read as one
    #[arg(required = true)]
    file: Vec<String>,
    /// Spans of healthy time of the same system
    #[arg(long, value_name = "FILE")]
    baseline: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Suspects that people are shown, of those at least this likely beside the first.
const SHOWN_MAX: usize = 5;
const SHOWN_SCORE_MIN: f64 = 0.01;

/// Where healthy time came from.
enum Source {
    File(String),
    CalmStretch,
    AllButSlowest,
}

impl Source {
    fn as_str(&self) -> &'static str {
        match self {
            Source::File(_) => "file",
            Source::CalmStretch => "calm_stretch",
            Source::AllButSlowest => "all_but_slowest",
        }
    }
}

struct Report {
    spans: usize,
    traces: usize,
    baseline: Source,
    baseline_traces: u64,
    missed: Vec<MissedObjective>,
    diagnosis: Diagnosis,
    /// What the files hold that is not as it was sent.
    notes: Vec<String>,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let traces = Traces::read(&args.file)?;
    let mut notes = traces.notes().to_vec();
    let (source, baseline, incident) = match args.baseline {
        Some(file) => {
            let healthy = Traces::read(&[&file])?;
            notes.extend_from_slice(healthy.notes());
            let (baseline, incident) = (healthy.profile(|_| true), traces.profile(|_| true));
            if incident.known_share(&baseline) == 0.0 {
                return Err(Error::NothingShared { baseline: file });
            }
            (Source::File(file), baseline, incident)
        }
        None => split(&traces),
    };
    // Where the slowest traces stand against the rest, objectives are asked of all of them together.
    let mut asked = incident.clone();
    if matches!(source, Source::AllButSlowest) {
        asked.merge(&baseline);
    }
    let report = Report {
        spans: traces.spans(),
        traces: traces.len(),
        baseline: source,
        baseline_traces: baseline.traces(),
        missed: change::missed(&asked, &change::objectives(&baseline)),
        diagnosis: localise(&baseline, &incident, &Parameters::default()),
        notes,
    };
    if args.json {
        writeln!(out, "{}", report.document())?;
    } else {
        report.write(out)?;
    }
    Ok(Answer::Yes)
}

/// A baseline out of the data itself, and the rest.
fn split(traces: &Traces) -> (Source, Profile, Profile) {
    let (indices, moments): (Vec<usize>, Vec<Moment>) = traces.moments().into_iter().unzip();
    let chosen = |positions: Vec<usize>| positions.into_iter().map(|p| indices[p]).collect::<BTreeSet<usize>>();
    match calm_stretch(&moments) {
        Some(calm) => {
            let calm = chosen(calm);
            let (baseline, rest) = (traces.profile(|i| calm.contains(&i)), traces.profile(|i| !calm.contains(&i)));
            (Source::CalmStretch, baseline, rest)
        }
        None => {
            let slow = chosen(slowest(&moments));
            let (baseline, rest) = (traces.profile(|i| !slow.contains(&i)), traces.profile(|i| slow.contains(&i)));
            (Source::AllButSlowest, baseline, rest)
        }
    }
}

impl Report {
    fn document(&self) -> Value {
        json!({
            "spans": self.spans,
            "traces": self.traces,
            "baseline": {"from": self.baseline.as_str(), "traces": self.baseline_traces},
            "objectives_missed": self.missed,
            "suspects": self.diagnosis.suspects.iter().take(EXPLAINED_MAX).collect::<Vec<&Suspect>>(),
            "no_suspect": self.diagnosis.nothing_probability,
            "runner_up": self.diagnosis.runner_up,
            "notes": self.notes,
        })
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        let against = match &self.baseline {
            Source::File(file) => format!("{} traces of {file}", self.baseline_traces),
            Source::CalmStretch => format!("their calmest stretch of time ({} traces)", self.baseline_traces),
            Source::AllButSlowest => {
                "all but the slowest hundredth: no stretch of time is clearly calmer, so scores say what makes slow \
                 traces slow, not that there is a fault"
                    .to_owned()
            }
        };
        writeln!(out, "{} traces ({} spans) against {against}", self.traces, self.spans)?;
        self.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
        writeln!(out)?;
        if self.missed.is_empty() {
            writeln!(out, "No endpoint (root span) is slower or fails more often than in healthy time.\n")?;
        } else {
            for missed in &self.missed {
                writeln!(out, "{}", missed.summary())?;
            }
            writeln!(out)?;
        }
        writeln!(out, "{:>4} {:>6}  {:<15}  suspect", "rank", "score", "verdict")?;
        for suspect in self.diagnosis.suspects.iter().take(SHOWN_MAX) {
            if suspect.rank == 1 || suspect.score >= SHOWN_SCORE_MIN {
                write_suspect(out, suspect)?;
            }
        }
        writeln!(out, "{:>4} {:>6.3}  no suspect here", "", self.diagnosis.nothing_probability)?;
        self.write_runner_up(out)
    }
}

impl Report {
    /// Why the second is not the first, where the first is anything.
    fn write_runner_up(&self, out: &mut dyn Write) -> Result<(), Error> {
        let first = self.diagnosis.suspects.first().filter(|first| first.score >= SHOWN_SCORE_MIN);
        let Some((first, second)) = first.zip(self.diagnosis.runner_up.as_ref()) else { return Ok(()) };
        let [for_it, why] = second.sentences(&first.service);
        writeln!(out, "\n{for_it}.\n{why}.")?;
        Ok(())
    }
}

fn write_suspect(out: &mut dyn Write, suspect: &Suspect) -> Result<(), Error> {
    let (rank, score, verdict) = (suspect.rank, suspect.score, suspect.verdict.as_str());
    let peer = if suspect.peer { " (sends no spans)" } else { "" };
    writeln!(out, "{rank:>4} {score:>6.3}  {verdict:<15}  {}{peer}", suspect.service)?;
    let mut detail = |name: &str, text: &str| writeln!(out, "{:12} {name:<12} {text}", "");
    detail("operation", &suspect.operation)?;
    if let Some(pod) = &suspect.pod {
        detail(if suspect.verdict == Verdict::BadInstance { "only pod" } else { "pod" }, pod)?;
    }
    for evidence in suspect.evidence.iter().filter(|evidence| evidence.is_telling()) {
        detail("evidence", &evidence.sentence())?;
    }
    let exemplars: Vec<String> = suspect.exemplars.iter().take(2).map(ToString::to_string).collect();
    if !exemplars.is_empty() {
        detail("slowest", &exemplars.join(" "))?;
    }
    Ok(())
}
