//! The findings of a tick: the border between `analyse` and `decide`. Rules read them, the journal keeps them, the API
//! shows them, and [`sentences`] puts them into words.

mod hindrances;
mod load;
mod runner_up;
pub mod sentences;

pub use hindrances::{Hindrance, HindranceKind};
pub use load::{AskedBy, Offered, ServiceLoad};
pub use runner_up::{RunnerUp, Sign};
use serde::{Deserialize, Serialize};

use crate::analyse::telemetry::{MissingParents, Sight, SightLevel};
use crate::analyse::thresholds::findings::SURE;
use crate::model::{ServiceId, Time, TraceId, Work};

/// Why a service is the bottleneck. The verdict decides what a rule may do, so an undetermined cause is `Unknown` rather
/// than a guess.
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
    /// Calls to it are refused, or never answered: it is gone, cut off, or hangs.
    Unreachable,
    /// Slower than in healthy time, at the same load and version.
    Degraded,
    #[default]
    Healthy,
    Unknown,
    /// No spans arrive, or none in which a request can be followed, so nothing is known of now. Never the verdict of a
    /// bottleneck in a list: only what stands in place of the worst one.
    Blind,
    /// No objective is missed in what is seen, and a part of what happens is not seen. Only in place of the worst one, too.
    Partial,
}

impl Verdict {
    pub const ALL: [Verdict; 13] = [
        Verdict::Saturated,
        Verdict::SlowDependency,
        Verdict::BadInstance,
        Verdict::Regression,
        Verdict::Amplification,
        Verdict::Exhausted,
        Verdict::Failing,
        Verdict::Unreachable,
        Verdict::Degraded,
        Verdict::Healthy,
        Verdict::Unknown,
        Verdict::Blind,
        Verdict::Partial,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Saturated => "saturated",
            Verdict::SlowDependency => "slow_dependency",
            Verdict::BadInstance => "bad_instance",
            Verdict::Regression => "regression",
            Verdict::Amplification => "amplification",
            Verdict::Exhausted => "exhausted",
            Verdict::Failing => "failing",
            Verdict::Unreachable => "unreachable",
            Verdict::Degraded => "degraded",
            Verdict::Healthy => "healthy",
            Verdict::Unknown => "unknown",
            Verdict::Blind => "blind",
            Verdict::Partial => "partial",
        }
    }

    /// It says why requests are held back, not only that they are or that nobody can tell.
    pub const fn names_a_cause(self) -> bool {
        match self {
            Verdict::Saturated
            | Verdict::SlowDependency
            | Verdict::BadInstance
            | Verdict::Regression
            | Verdict::Amplification
            | Verdict::Exhausted
            | Verdict::Failing
            | Verdict::Unreachable
            | Verdict::Degraded => true,
            Verdict::Healthy | Verdict::Unknown | Verdict::Blind | Verdict::Partial => false,
        }
    }
}

/// How one part of an objective (latency or errors) stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveStatus {
    #[default]
    Met,
    /// Likely missed, or about to be: too few requests to be sure.
    AtRisk,
    Missed,
}

impl ObjectiveStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            ObjectiveStatus::Met => "met",
            ObjectiveStatus::AtRisk => "at_risk",
            ObjectiveStatus::Missed => "missed",
        }
    }
}

/// An endpoint against both parts of its objective: what was measured, and what is allowed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compliance {
    pub latency: ObjectiveStatus,
    pub errors: ObjectiveStatus,
    /// Of the objective, for example 0.99; 0 in what version 0.1.0 wrote.
    pub quantile: f64,
    /// Latency measured at that quantile.
    pub latency_ms: f64,
    pub objective_ms: f64,
    /// Share of requests slower than `objective_ms`, 0 to 1; `1 - quantile` is allowed.
    pub slow_share: f64,
    pub error_share: f64,
    pub errors_allowed: f64,
}

/// One measured fact behind a verdict: now and in healthy time, in the unit that its name ends with.
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
    /// Probability that it is this, 0 to 1; where the verdict is `unknown`, the service's share of the blame.
    pub score: f64,
    /// Critical-path time above baseline, summed over the traces that missed, in milliseconds.
    pub blame_ms: f64,
    /// Of the entry operation, over the last seconds.
    pub p99_ms: f64,
    pub objective_ms: f64,
    /// Share of requests that missed the objective, 0 to 1.
    pub missed_share: f64,
    /// Which part of the objective is missed.
    #[serde(default)]
    pub compliance: Compliance,
    /// The second likeliest answer, and what it lost by; None where nothing else is likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<RunnerUp>,
    pub replicas: u32,
    /// Replicas the load needs; None when unknown (no capacity learnt, sampling weight unknown).
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
    /// Share of its requests whose caller sends no spans, 0 to 1: they begin here only as far as they are seen.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remote_parent_share: f64,
    /// Which part of the objective is missed.
    #[serde(default)]
    pub compliance: Compliance,
    /// What kind of work it is; times of a message are its age when its work is done, where it is known when it was sent.
    #[serde(default, skip_serializing_if = "Work::is_request")]
    pub work: Work,
}

/// An endpoint whose requests say nothing of how a system does: probes, streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftAside {
    pub entry: String,
    pub work: Work,
    /// Since the start.
    pub requests: u64,
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
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
    /// Errors begin in it.
    pub failing: Option<f64>,
    /// Calls to it fail, though no error begins in it: refused, given up, or never answered.
    #[serde(default)]
    pub refused: Option<f64>,
    /// Its calls fail in this way, whomever it calls.
    #[serde(default)]
    pub cut_off: Option<f64>,
    /// It makes more calls for each request.
    #[serde(default)]
    pub asks_more: Option<f64>,
}

/// Everything that one tick found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    pub at: Time,
    /// Nothing is known of now: no span arrived for too long, none in which a request can be followed, or analysis is off.
    pub blind: bool,
    /// Spans arrive; where this stands beside `blind`, no request could be followed in them.
    #[serde(default)]
    pub spans_arrive: bool,
    /// How much of what happens is seen.
    #[serde(default)]
    pub sight: Sight,
    /// Event time up to which telemetry is complete.
    pub complete_to: Time,
    /// One for each entry operation that misses its objective, worst first.
    pub bottlenecks: Vec<Bottleneck>,
    pub services: Vec<ServiceFinding>,
    /// Of the services whose traffic may be shaped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<ServiceLoad>,
    pub entries: Vec<EntryFinding>,
    /// Services that behave otherwise than in healthy time, whether or not an objective is missed; most likely first.
    /// From a sample of the traces: shape and duration of requests, not load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
    /// Those of them that fail, with high probability and for some seconds, while no objective is or was lately missed:
    /// they answer early, or with errors that few requests meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "unfelt")]
    pub silent_failures: Vec<Suspect>,
    /// Endpoints that are left aside, most requests first: probes, streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<LeftAside>,
    /// Services whose telemetry is incomplete: spans of their callers are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "gaps")]
    pub missing_parents: Vec<MissingParents>,
    /// When senders last began, or ended, to state how many requests a sampled trace stands for: counts jumped then,
    /// whatever the load did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_changed_at: Option<Time>,
}

impl Findings {
    /// Findings while nothing is known.
    pub fn blind(at: Time) -> Findings {
        let sight = Sight { level: SightLevel::Blind, share: 0.0, ..Sight::default() };
        Findings { at, blind: true, sight, ..Findings::default() }
    }

    /// The worst bottleneck. Without one, a placeholder whose verdict is `healthy`; `blind` while nothing is known, and
    /// `partial` while only a part is seen.
    pub fn bottleneck(&self) -> Bottleneck {
        let verdict = self.verdict();
        self.bottlenecks.first().cloned().unwrap_or_else(|| Bottleneck { verdict, ..Bottleneck::default() })
    }

    /// Of the worst bottleneck, or what is said without one.
    pub fn verdict(&self) -> Verdict {
        match self.bottlenecks.first() {
            Some(worst) => worst.verdict,
            None if self.blind => Verdict::Blind,
            None if self.sight.level == SightLevel::Partial => Verdict::Partial,
            None => Verdict::Healthy,
        }
    }

    pub fn service(&self, name: &str) -> Option<&ServiceFinding> {
        self.services.iter().find(|s| s.service.as_str() == name)
    }

    /// What is asked of a service whose traffic may be shaped.
    pub fn load(&self, service: &str) -> Option<&ServiceLoad> {
        self.loads.iter().find(|load| load.service.as_str() == service)
    }
}

/// An endpoint that misses an objective which was derived from healthy time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MissedObjective {
    /// `service operation` of the root.
    pub entry: String,
    pub objective_ms: f64,
    pub p99_ms: f64,
    /// Slower than the objective, or failed; 0 to 1.
    pub missed_share: f64,
    /// What is allowed of that.
    pub allowed_share: f64,
    pub slow_share: f64,
    pub error_share: f64,
}
