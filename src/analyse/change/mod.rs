//! What changed? A stretch of incident against a baseline of healthy time: the service where the fault lies.
//!
//! [`Profile`] turns traces into mergeable rows; [`localise`] compares two of them. Evidence is a log-likelihood
//! ratio throughout: of single operations and calls ([`evidence`]), of the shape of traces ([`shape`]), gathered to
//! services ([`services`]) and turned into probabilities ([`probability`]). docs/accuracy.md has the measurements.

mod callees;
mod calm;
mod durations;
mod evidence;
pub mod live;
mod mechanism;
mod objectives;
mod parameters;
mod probability;
mod profile;
mod sample;
mod services;
mod shape;
mod verdict;

pub use calm::{Moment, calm_stretch, slowest};
pub use objectives::{EntryObjective, missed, objectives};
pub use parameters::Parameters;
pub use profile::{EXEMPLARS_MAX, Profile};
pub use sample::{SPANS_PER_SECOND, Sample, SampledTrace, TRACES_EACH};

use serde::Serialize;

use self::callees::Callees;
use self::evidence::{Model, Tables, Whole};
use self::services::{Calls, Candidate, Party};
use self::shape::Shape;
use self::verdict::Facts;
use crate::analyse::findings::{RunnerUp, Suspect, Verdict};
pub use crate::analyse::thresholds::memory::EXPLAINED_MAX;

#[cfg(test)]
mod tests;

/// All candidates, most likely first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diagnosis {
    pub suspects: Vec<Suspect>,
    /// Probability that none of them is at fault: what the suspects' scores leave of 1.
    pub nothing_probability: f64,
    /// The second of them, and what it lost by.
    pub runner_up: Option<RunnerUp>,
}

/// Compares an incident with healthy time. Degenerate input (no baseline, one trace) gives low scores, no error.
pub fn localise(baseline: &Profile, incident: &Profile, parameters: &Parameters) -> Diagnosis {
    localise_from(0.0, baseline, incident, parameters)
}

/// The same; suspects below a score are not explained, for those who will not look at them.
pub fn localise_from(
    explained_from: f64,
    baseline: &Profile,
    incident: &Profile,
    parameters: &Parameters,
) -> Diagnosis {
    let (callees, whole) = (Callees::new(baseline, incident), Whole::new(baseline, incident));
    let (healthy, now) = (Tables::healthy(baseline, &callees, &whole), Tables::new(incident, &callees, &whole));
    let calls = Calls {
        before: callees.healthy_outcomes(baseline),
        now: callees.outcomes(incident),
        lost_share: (baseline.orphan_share(), incident.orphan_share()),
    };
    let (healthy_merged, now_merged) = (healthy.merged(), now.merged());
    let typical_ns = baseline.typical_ns().or(incident.typical_ns()).unwrap_or(0.0);
    let model = Model::new(&healthy_merged, &now_merged, typical_ns, parameters);
    let shape = Shape::new(baseline, incident, parameters);
    let mut ranked: Vec<(Party<'_>, Candidate<'_>)> =
        services::candidates(&model, &now, &now_merged, &shape, &calls, parameters).into_iter().collect();
    // Stable: equal scores stay in the order of their names.
    ranked.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    // What healthy time does not know at all cannot be compared with it.
    let comparable = incident.known_share(baseline);
    let scores: Vec<f64> = ranked.iter().map(|(_, candidate)| comparable * candidate.score).collect();
    let scores = probability::probabilities(&scores, parameters);
    let nothing_probability = 1.0 - scores.iter().sum::<f64>();
    let suspects = ranked.iter().zip(scores).enumerate().map(|(index, ((party, candidate), score))| {
        let suspect = Suspect {
            rank: index + 1,
            service: party.name.to_owned(),
            peer: party.is_peer,
            pod: candidate.pod.map(str::to_owned),
            operation: candidate.operation.map_or_else(String::new, |(_, operation)| operation.to_owned()),
            verdict: Verdict::Unknown,
            score,
            evidence: Vec::new(),
            components: candidate.components,
            exemplars: Vec::new(),
        };
        let is_worth_it = index < EXPLAINED_MAX && score >= explained_from;
        if is_worth_it { explained(suspect, *party, candidate, baseline, incident, &calls, &callees) } else { suspect }
    });
    let suspects: Vec<Suspect> = suspects.collect();
    let runner_up = if let [first, second, ..] = &suspects[..] {
        let (one, other) = (ranked[0].0, ranked[1].0);
        Some(RunnerUp {
            service: second.service.clone(),
            verdict: second.verdict,
            score: second.score,
            shows: second.components.strongest(),
            first_shows: first.components.strongest(),
            waits_for_first: calls.waits_for(other, one),
            first_waits: calls.waits_for(one, other),
        })
    } else {
        None
    };
    Diagnosis { suspects, nothing_probability, runner_up }
}

/// Adds what the rows tell of a suspect: why, the measures, and traces to look at.
fn explained(
    suspect: Suspect,
    party: Party<'_>,
    candidate: &Candidate<'_>,
    baseline: &Profile,
    incident: &Profile,
    calls: &Calls<'_>,
    callees: &Callees<'_>,
) -> Suspect {
    let (before, now) = (Facts::of(party, baseline, &calls.before), Facts::of(party, incident, &calls.now));
    let demand = verdict::demand(party, baseline, incident);
    Suspect {
        pod: candidate.pod.or(now.only_pod()).map(str::to_owned),
        verdict: verdict::verdict(party, candidate, suspect.score, &before, &now, demand),
        evidence: verdict::evidence(&before, &now, demand),
        exemplars: incident.exemplars(party, callees),
        ..suspect
    }
}
