//! The findings of a tick: the border between `analyse` and `decide`. Rules read it, the journal keeps it, the API shows
//! it.

use serde::{Deserialize, Serialize};

use crate::analyse::telemetry::MissingParents;
use crate::model::{ServiceId, Time, TraceId};

/// Why a service holds requests back. The verdict decides what a rule may do, so `Unknown` is said rather than guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Work arrives faster than its pods serve it: more of them help.
    Saturated,
    /// What it calls is slow; its own time is flat.
    SlowDependency,
    /// One pod far from its siblings.
    BadInstance,
    /// A new `service.version` is slow at old load.
    Regression,
    /// A caller asks more of it for each request than it used to.
    Amplification,
    /// Saturated, and at its maximum.
    Exhausted,
    /// Errors or early returns start here.
    Failing,
    #[default]
    Healthy,
    Unknown,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Saturated => "saturated",
            Verdict::SlowDependency => "slow_dependency",
            Verdict::BadInstance => "bad_instance",
            Verdict::Regression => "regression",
            Verdict::Amplification => "amplification",
            Verdict::Exhausted => "exhausted",
            Verdict::Failing => "failing",
            Verdict::Healthy => "healthy",
            Verdict::Unknown => "unknown",
        }
    }
}

/// One measured fact for a verdict: what, now, and in healthy time, in the unit its name ends with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// For example `waiting_ms`, `throughput_per_pod_per_s`, `own_time_ms`.
    pub measure: String,
    pub now: f64,
    /// None where there is no baseline yet.
    pub baseline: Option<f64>,
}

/// An entry operation that misses its objective, and the service that is to blame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// `service operation` of the traces' root.
    pub entry: String,
    pub service: String,
    pub operation: String,
    /// Set when one pod is to blame.
    pub pod: Option<String>,
    /// Set when the blame lies with a callee that sends no spans (database, queue, third party).
    pub peer: Option<String>,
    /// Set when a caller asks more for each request than it used to.
    #[serde(default)]
    pub caller: Option<String>,
    /// Set when it is a new version that is slow, or that asks more.
    #[serde(default)]
    pub version: Option<String>,
    pub verdict: Verdict,
    /// Share of the blame of the traces that missed, 0 to 1.
    pub score: f64,
    /// Critical-path time above baseline, summed over the traces that missed, in milliseconds.
    pub blame_ms: f64,
    /// Of the entry operation, over the last seconds.
    pub p99_ms: f64,
    pub objective_ms: f64,
    /// Share of requests that missed the objective, 0 to 1.
    pub missed_share: f64,
    pub replicas: u32,
    /// Replicas the load needs; None when it cannot be said (no capacity learnt, weight unknown).
    pub replicas_needed: Option<u32>,
    pub evidence: Vec<Evidence>,
    /// Trace ids that show it, slowest first.
    pub exemplars: Vec<TraceId>,
}

/// The health of one service over the last seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceFinding {
    pub service: ServiceId,
    /// Requests served a second.
    pub throughput_per_s: f64,
    /// Estimated arrivals a second: throughput corrected for growing waiting, plus refused and timed out.
    pub arrivals_per_s: f64,
    pub error_share: f64,
    pub p99_ms: f64,
    /// Mean time a request waits to be taken by this service.
    pub waiting_ms: f64,
    /// Mean time of its own, per request.
    pub own_time_ms: f64,
    /// Requests in service at once, per ready pod.
    pub concurrency_per_pod: f64,
    /// Requests a second one pod sustained when it was saturated; None until that was seen.
    pub capacity_per_pod_per_s: Option<f64>,
    pub replicas: u32,
    pub ready: u32,
    pub replicas_needed: Option<u32>,
    /// Some objective of an entry operation that crosses this service misses.
    pub objective_missed: bool,
    /// Fewer requests than a judgement needs.
    #[serde(alias = "thin")]
    pub low_traffic: bool,
    /// Seconds within which 95 of 100 of its pods were Ready after they were created; None until one was seen to start.
    #[serde(default)]
    pub pod_start_s: Option<f64>,
}

/// An entry operation against its objective, over the last seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryFinding {
    pub entry: String,
    pub requests: u64,
    pub requests_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub objective_ms: f64,
    pub missed_share: f64,
    pub error_share: f64,
    pub missed: bool,
}

/// A place where the fault may lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// 1 is the most likely.
    pub rank: usize,
    /// The service, or the name of a callee that sends no spans.
    pub service: String,
    /// It sends no spans: a database, a queue, a third party.
    pub peer: bool,
    /// Set when one pod is to blame, or there is only one.
    pub pod: Option<String>,
    /// Where the evidence is strongest.
    pub operation: String,
    pub verdict: Verdict,
    /// Probability that the fault lies here.
    pub score: f64,
    pub evidence: Vec<Evidence>,
    /// Log-likelihood ratios that the score rests on.
    pub components: Components,
    /// Traces of the incident in which it took longest, longest first.
    pub exemplars: Vec<TraceId>,
}

/// A suspect at least this likely is told to people unasked: of five such four are faults at least. What is lost of a trace's
/// shape seldom comes above 0.95, as an operation may be meant to have changed (`Parameters::other_mix`).
const SURE: f64 = 0.8;

impl Suspect {
    /// Likely enough to be told to people who did not ask, and with a reason.
    pub fn is_sure(&self) -> bool {
        self.score >= SURE && self.verdict != Verdict::Unknown
    }
}

/// Log-likelihood ratios of one service, each None where there is nothing to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Components {
    /// Its exclusive time grew.
    pub own: Option<f64>,
    /// Calls to it wait longer, whoever calls.
    pub calls_in: Option<f64>,
    /// Its calls wait longer, whomever it calls.
    pub calls_out: Option<f64>,
    /// It stopped making calls.
    pub lost: Option<f64>,
    /// Errors begin in it, or it no longer answers.
    pub failing: Option<f64>,
}

/// Everything that one tick found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    pub at: Time,
    /// No span for so long that nothing can be said of now.
    pub blind: bool,
    /// Event time up to which telemetry is complete.
    pub complete_to: Time,
    /// One for each entry operation that misses its objective, worst first.
    pub bottlenecks: Vec<Bottleneck>,
    pub services: Vec<ServiceFinding>,
    pub entries: Vec<EntryFinding>,
    /// Who behaves otherwise than in healthy time, whether or not an objective is missed; most likely first. Of a sample
    /// of the traces: shape and time of requests, not load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
    /// Those of them that fail, surely and for some seconds, while no objective is missed and none was lately: they answer
    /// early, or with errors that few meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "unfelt")]
    pub silent_failures: Vec<Suspect>,
    /// Services whose telemetry is incomplete: what is said of them rests on a part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "gaps")]
    pub missing_parents: Vec<MissingParents>,
    /// When senders last began, or ended, to say how many requests a sampled trace stands for: what is counted jumped then,
    /// whatever the load did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_changed_at: Option<Time>,
}

impl Findings {
    /// The worst bottleneck; one with verdict `healthy` when nothing holds requests back.
    pub fn bottleneck(&self) -> Bottleneck {
        self.bottlenecks.first().cloned().unwrap_or_default()
    }

    pub fn service(&self, name: &str) -> Option<&ServiceFinding> {
        self.services.iter().find(|s| s.service.as_str() == name)
    }
}
