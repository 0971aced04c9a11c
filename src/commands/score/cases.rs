//! Cases to score: read from files, or drawn and simulated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::measures::score_of;
use crate::analyse::Verdict;
use crate::analyse::change::{Diagnosis, Parameters, Profile, localise};
use crate::commands::error::Error;
use crate::commands::recorded::{Part, Recorded, part_of};
use crate::commands::traces::Traces;
use crate::model::ServiceId;
use crate::simulate::draw::{Kind, Terms};

/// One case of labels.json; paths are relative to it.
#[derive(Deserialize)]
struct Label {
    incident: String,
    normal: String,
    #[serde(flatten)]
    truth: Truth,
}

/// Where the fault was, and what is known of it.
#[derive(Clone, Deserialize)]
pub struct Truth {
    pub service: Option<String>,
    pub fault: String,
    /// Services and peers any of which is right; `service` alone when not given.
    #[serde(default)]
    pub places: Vec<String>,
    pub verdict: Option<String>,
    /// Whether users missed an objective; None when nobody measured it.
    pub felt: Option<bool>,
}

impl Truth {
    fn is_place(&self, service: &str) -> bool {
        let is_it = |place: &String| service == place || ServiceId::from(service).name() == place;
        if self.places.is_empty() { self.service.iter().any(is_it) } else { self.places.iter().any(is_it) }
    }
}

/// A case that was read.
struct Case {
    name: String,
    system: String,
    /// The file of its healthy time.
    normal: String,
    truth: Truth,
    incident: Profile,
}

/// Cases, and the healthy time that the incidents of a system share, by its file.
pub struct Cases {
    cases: Vec<Case>,
    baselines: BTreeMap<String, Profile>,
}

/// What diagnosis made of one case.
#[derive(Serialize)]
pub struct CaseResult {
    pub case: String,
    pub system: String,
    pub fault: String,
    pub service: String,
    pub felt: Option<bool>,
    /// Of the labelled place; None when it is no candidate at all.
    pub rank: Option<usize>,
    /// The first suspect, and its score.
    pub first: String,
    pub score: f64,
    pub verdict: Verdict,
    pub expected_verdict: Option<String>,
    /// Incident spans that came.
    pub spans: u64,
}

impl CaseResult {
    pub fn is_within(&self, first: usize) -> bool {
        self.rank.is_some_and(|rank| rank <= first)
    }

    fn of(case: &str, system: &str, truth: &Truth, incident: &Profile, diagnosis: &Diagnosis) -> CaseResult {
        let first = diagnosis.suspects.first();
        let service = truth.service.clone().unwrap_or_default();
        CaseResult {
            case: case.to_owned(),
            system: system.to_owned(),
            fault: truth.fault.clone(),
            service,
            felt: truth.felt,
            rank: diagnosis.suspects.iter().find(|s| truth.is_place(&s.service)).map(|s| s.rank),
            first: first.map_or_else(String::new, |s| s.service.clone()),
            score: first.map_or(0.0, |s| s.score),
            verdict: first.map_or(Verdict::Unknown, |s| s.verdict),
            expected_verdict: truth.verdict.clone(),
            spans: incident.spans(),
        }
    }
}

impl Cases {
    pub fn read(directory: &Path) -> Result<Cases, Error> {
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
        for (name, Label { incident, normal, truth }) in labels {
            if !all.baselines.contains_key(&normal) {
                all.baselines.insert(normal.clone(), read(&normal)?);
            }
            let system = name.split('-').next().unwrap_or_default().to_owned();
            all.cases.push(Case { name, system, normal, truth, incident: read(&incident)? });
        }
        Ok(all)
    }

    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// All but those of a system: nobody is examined on what was learnt from.
    pub fn diagnose_others(&self, left_out: Option<&str>, parameters: &Parameters) -> Vec<CaseResult> {
        let scored = self.cases.iter().filter(|case| left_out != Some(&case.system));
        scored.map(|case| self.diagnose(case, parameters)).collect()
    }

    fn diagnose(&self, case: &Case, parameters: &Parameters) -> CaseResult {
        let diagnosis = localise(&self.baselines[&case.normal], &case.incident, parameters);
        CaseResult::of(&case.name, &case.system, &case.truth, &case.incident, &diagnosis)
    }

    /// The parameters with the least Brier score on the cases of one system.
    pub fn fit(&self, system: &str) -> Result<Parameters, Error> {
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

/// A drawn system, simulated: what healthy time and the incident look like, and what is right.
pub struct Drawn {
    pub name: String,
    pub truth: Truth,
    pub normal: Profile,
    pub incident: Profile,
}

impl Drawn {
    pub fn of(kind: Kind, seed: u64, terms: Terms) -> Result<Drawn, Error> {
        let recorded = Recorded::of(kind, seed, terms)?;
        let traces = recorded.traces()?;
        let parts: Vec<Option<Part>> = traces.starts().into_iter().map(|(_, start)| part_of(start)).collect();
        let places = recorded.scenario.expected_places();
        let truth = Truth {
            service: places.first().cloned(),
            fault: kind.as_str().to_owned(),
            places,
            verdict: Some(recorded.scenario.truth.verdict.clone()),
            felt: Some(recorded.is_felt),
        };
        Ok(Drawn {
            name: format!("drawn{seed}-{}", kind.as_str()),
            truth,
            normal: traces.profile(|index| parts[index] == Some(Part::Normal)),
            incident: traces.profile(|index| parts[index] == Some(Part::Incident)),
        })
    }

    pub fn diagnose(&self, parameters: &Parameters) -> CaseResult {
        let diagnosis = localise(&self.normal, &self.incident, parameters);
        CaseResult::of(&self.name, "drawn", &self.truth, &self.incident, &diagnosis)
    }
}

/// Draws and simulates each on all of the machine's cores, and does with it what is asked; in the order of what was wanted.
pub fn draw_all<T: Send>(
    wanted: &[(Kind, u64)],
    terms: Terms,
    then: impl Fn(Drawn) -> T + Sync,
) -> Result<Vec<T>, Error> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, &(kind, seed))) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            wanted.get(index).map(|case| (index, case))
        } {
            done.push((index, then(Drawn::of(kind, seed, terms)?)));
        }
        Ok::<_, Error>(done)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // A worker that panics brings the command down, with its message.
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut results = Vec::new();
    for part in done {
        results.extend(part?);
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
