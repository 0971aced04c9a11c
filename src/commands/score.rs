//! `headroom score`: how well `diagnose` does on past incidents whose cause is known.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Error;
use super::traces::Traces;
use crate::analyse::Verdict;
use crate::analyse::change::{Parameters, Profile, localise};
use crate::clock::Stopwatch;
use crate::model::ServiceId;

/// Measure `diagnose` on past incidents whose cause is known.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom score incidents/
  headroom score incidents/ --json | jq .ac1
  headroom score incidents/ --fit shop      the other systems, as shop would have it

incidents/labels.json names each case's files of spans and where the fault was:
  {\"shop-2026-11-02\": {
     \"incident\": \"shop-1.jsonl.zst\", \"normal\": \"shop-0.jsonl.zst\",
     \"service\": \"auth\", \"fault\": \"cpu_contention\"}}
What stands before the first - of a case's name is its system.")]
pub struct Args {
    /// Directory with labels.json and the files it names
    directory: String,
    /// Choose the parameters on the cases of this system, and score the others with them
    #[arg(long, value_name = "SYSTEM")]
    fit: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// One case of labels.json; paths are relative to it.
#[derive(Deserialize)]
struct Label {
    incident: String,
    normal: String,
    service: String,
    fault: String,
}

/// A case that was read.
struct Case {
    name: String,
    system: String,
    label: Label,
    incident: Profile,
}

/// Cases, and the healthy time that the incidents of a system share, by its file.
struct Cases {
    cases: Vec<Case>,
    baselines: BTreeMap<String, Profile>,
}

/// What diagnosis made of one case.
#[derive(Serialize)]
struct CaseResult {
    case: String,
    system: String,
    fault: String,
    service: String,
    /// Of the labelled service; None when it is no candidate at all.
    rank: Option<usize>,
    /// The first suspect, and its score.
    first: String,
    score: f64,
    verdict: Verdict,
}

impl CaseResult {
    fn is_within(&self, first: usize) -> bool {
        self.rank.is_some_and(|rank| rank <= first)
    }
}

/// Shares of cases whose labelled service comes first, and among the first three; and the mean of that over the
/// first one to five (Avg@5). Brier: mean square of the first suspect's score against whether it is right.
#[derive(Clone, Copy, Serialize)]
struct Score {
    cases: usize,
    ac1: f64,
    ac3: f64,
    avg5: f64,
    brier: f64,
}

/// A third of the cases, by score.
#[derive(Serialize)]
struct Group {
    cases: usize,
    mean_score: f64,
    share_right: f64,
}

const GROUPS: usize = 3;

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let reading = Stopwatch::start();
    let all = Cases::read(Path::new(&args.directory))?;
    let reading_s = reading.elapsed().as_secs_f64() / all.cases.len() as f64;
    let parameters = match &args.fit {
        Some(system) => all.fit(system)?,
        None => Parameters::default(),
    };
    // Nobody is examined on what was learnt from.
    let is_scored = |case: &&Case| args.fit.as_ref() != Some(&case.system);
    let diagnosing = Stopwatch::start();
    let results: Vec<CaseResult> =
        all.cases.iter().filter(is_scored).map(|case| all.diagnose(case, &parameters)).collect();
    let seconds_per_case = reading_s + diagnosing.elapsed().as_secs_f64() / results.len() as f64;
    if args.json {
        let fitted = args.fit.map(|on| json!({"on": on, "parameters": parameters}));
        writeln!(out, "{}", document(&results, seconds_per_case, fitted))?;
    } else {
        write_tables(out, &results, seconds_per_case)?;
    }
    Ok(Answer::Yes)
}

impl Cases {
    fn read(directory: &Path) -> Result<Cases, Error> {
        let path = directory.join("labels.json");
        let text = std::fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let labels: BTreeMap<String, Label> =
            serde_json::from_slice(&text).map_err(|source| Error::Labels { path: path.clone(), source })?;
        if labels.is_empty() {
            return Err(Error::NoCases { path });
        }
        let read = |file: &str| -> Result<Profile, Error> {
            let file = directory.join(file);
            Ok(Traces::read(&[file.to_string_lossy()])?.profile(|_| true))
        };
        let mut all = Cases { cases: Vec::new(), baselines: BTreeMap::new() };
        for (name, label) in labels {
            if !all.baselines.contains_key(&label.normal) {
                all.baselines.insert(label.normal.clone(), read(&label.normal)?);
            }
            let system = name.split('-').next().unwrap_or_default().to_owned();
            all.cases.push(Case { name, system, incident: read(&label.incident)?, label });
        }
        Ok(all)
    }

    fn diagnose(&self, case: &Case, parameters: &Parameters) -> CaseResult {
        let label = &case.label;
        let diagnosis = localise(&self.baselines[&label.normal], &case.incident, parameters);
        let is_labelled = |service: &str| service == label.service || ServiceId::from(service).name() == label.service;
        let first = diagnosis.suspects.first();
        CaseResult {
            system: case.system.clone(),
            case: case.name.clone(),
            rank: diagnosis.suspects.iter().find(|s| !s.peer && is_labelled(&s.service)).map(|s| s.rank),
            first: first.map_or_else(String::new, |s| s.service.clone()),
            score: first.map_or(0.0, |s| s.score),
            verdict: first.map_or(Verdict::Unknown, |s| s.verdict),
            service: label.service.clone(),
            fault: label.fault.clone(),
        }
    }

    /// The parameters with the least Brier score on the cases of one system.
    fn fit(&self, system: &str) -> Result<Parameters, Error> {
        let chosen: Vec<&Case> = self.cases.iter().filter(|case| case.system == system).collect();
        if chosen.is_empty() || chosen.len() == self.cases.len() {
            let systems: BTreeSet<&str> = self.cases.iter().map(|case| case.system.as_str()).collect();
            let known = systems.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::NoSystem { system: system.to_owned(), known });
        }
        Ok(Parameters::default().fit(|parameters| {
            let results: Vec<CaseResult> = chosen.iter().map(|case| self.diagnose(case, parameters)).collect();
            score_of(&results.iter().collect::<Vec<_>>()).brier
        }))
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}

fn score_of(results: &[&CaseResult]) -> Score {
    let within = |first: usize| mean(results.iter().map(|r| f64::from(r.is_within(first))));
    Score {
        cases: results.len(),
        ac1: within(1),
        ac3: within(3),
        avg5: mean((1..=5_usize).map(within).collect::<Vec<f64>>().into_iter()),
        brier: mean(results.iter().map(|r| (r.score - f64::from(r.is_within(1))).powi(2))),
    }
}

/// Equal-count groups from the least sure to the surest.
fn calibration(results: &[CaseResult]) -> Vec<Group> {
    let mut sorted: Vec<&CaseResult> = results.iter().collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let border = |group: usize| group * sorted.len() / GROUPS;
    let groups = (0..GROUPS).map(|group| &sorted[border(group)..border(group + 1)]);
    groups
        .filter(|group| !group.is_empty())
        .map(|group| Group {
            cases: group.len(),
            mean_score: mean(group.iter().map(|r| r.score)),
            share_right: mean(group.iter().map(|r| f64::from(r.is_within(1)))),
        })
        .collect()
}

fn by<K: Ord>(results: &[CaseResult], key: impl Fn(&CaseResult) -> K) -> BTreeMap<K, Score> {
    let mut groups: BTreeMap<K, Vec<&CaseResult>> = BTreeMap::new();
    results.iter().for_each(|result| groups.entry(key(result)).or_default().push(result));
    groups.into_iter().map(|(key, results)| (key, score_of(&results))).collect()
}

fn overall(results: &[CaseResult]) -> (Score, f64) {
    let all = score_of(&results.iter().collect::<Vec<&CaseResult>>());
    // What somebody scores who always says the share right, and knows it beforehand.
    (all, all.ac1 * (1.0 - all.ac1))
}

fn document(results: &[CaseResult], seconds_per_case: f64, fitted: Option<Value>) -> Value {
    let (all, brier_constant) = overall(results);
    json!({
        "cases": all.cases,
        "ac1": all.ac1,
        "ac3": all.ac3,
        "avg5": all.avg5,
        "brier": all.brier,
        "brier_constant": brier_constant,
        "by_fault": by(results, |r| r.fault.clone()),
        "by_system": by(results, |r| r.system.clone()),
        "calibration": calibration(results),
        "seconds_per_case": seconds_per_case,
        "fitted": fitted,
        "results": results,
    })
}

fn write_tables(out: &mut dyn Write, results: &[CaseResult], seconds_per_case: f64) -> Result<(), Error> {
    writeln!(out, "{:<24} {:<16} {:>4} {:>6}  first suspect", "case", "fault", "rank", "score")?;
    for r in results {
        let rank = r.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
        let truth = if r.is_within(1) { String::new() } else { format!("  (it was {})", r.service) };
        writeln!(out, "{:<24} {:<16} {rank:>4} {:>6.3}  {}{truth}", r.case, r.fault, r.score, r.first)?;
    }
    writeln!(
        out,
        "\n{:<16} {:<16} {:>5} {:>6} {:>6} {:>6} {:>6}",
        "system", "fault", "cases", "AC@1", "AC@3", "Avg@5", "Brier"
    )?;
    let (all, brier_constant) = overall(results);
    let groups = by(results, |r| (r.system.clone(), r.fault.clone()));
    let total = (("all".to_owned(), String::new()), all);
    for ((system, fault), s) in groups.into_iter().chain([total]) {
        let Score { cases, ac1, ac3, avg5, brier } = s;
        writeln!(out, "{system:<16} {fault:<16} {cases:>5} {ac1:>6.3} {ac3:>6.3} {avg5:>6.3} {brier:>6.3}")?;
    }
    writeln!(out, "\n{:<16} {:>10} {:>11}", "cases by score", "mean score", "share right")?;
    for group in calibration(results) {
        writeln!(out, "{:<16} {:>10.3} {:>11.3}", group.cases, group.mean_score, group.share_right)?;
    }
    writeln!(out, "\nBrier {:.4}; {brier_constant:.4} for always saying the share right ({:.3})", all.brier, all.ac1)?;
    writeln!(out, "{seconds_per_case:.2} s a case")?;
    Ok(())
}
