//! The sentences about findings, each in one place: demo, log, `explain`, `diagnose`, the API and the rules share them.
//!
//! A sentence must be true as it stands. Where it holds a measured number against an objective, the printed number is
//! greater than the printed objective if the objective is missed, and not greater if it is only about to be missed.

use super::{
    Bottleneck, Compliance, Evidence, Findings, MissedObjective, ObjectiveStatus, Offered, RunnerUp, ServiceLoad, Sign,
    Verdict,
};
use crate::analyse::Suspect;
use crate::analyse::thresholds::findings::{DECIMALS_MAX, TELLING_FACTOR};
use crate::model::cluster::replicas;

/// Measures of how long things take. For an undetermined cause these are evidence; load alone is not.
const TIME_MEASURES: [&str; 5] =
    ["own_time_ms", "waiting_ms", "callees_time_ms", "calls_waiting_ms", "refused_or_given_up_share"];

/// `16 %`, `3.1 %`, `0.05 %`: two digits that mean something, more where asked for.
pub fn percent(share: f64) -> String {
    percent_to(share, decimals_for(share * 100.0))
}

fn percent_to(share: f64, decimals: usize) -> String {
    format!("{} %", number_to(share * 100.0, decimals))
}

/// A probability as a person reads it: never a claim of certainty, never sixteen digits.
pub fn probability(p: f64) -> String {
    match p {
        p if p > 0.999 => "over 99.9 %".into(),
        p if p < 0.001 => "under 0.1 %".into(),
        p if (0.01..=0.99).contains(&p) => percent_to(p, 0),
        p => percent_to(p, 1),
    }
}

/// `812 ms`, `4.2 ms`.
pub fn milliseconds(ms: f64) -> String {
    milliseconds_to(ms, decimals_for(ms))
}

fn milliseconds_to(ms: f64, decimals: usize) -> String {
    format!("{} ms", number_to(ms, decimals))
}

impl ServiceLoad {
    /// `auth is asked for 2.9 times what it can do`; None until that is known.
    pub fn demand(&self) -> Option<String> {
        let factor = self.offered.as_ref().and_then(Offered::factor)?;
        Some(format!("{} is asked for {} times what it can do", self.service, number_to(factor, decimals_for(factor))))
    }
}

/// `p99`, `p99.9`.
fn quantile_name(quantile: f64) -> String {
    format!("p{}", number_to(quantile * 100.0, 4))
}

fn decimals_for(value: f64) -> usize {
    match value.abs() {
        v if v >= 10.0 || v == 0.0 => 0,
        v if v >= 1.0 => 1,
        _ => 2,
    }
}

/// Without zeros at the end.
fn number_to(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Both numbers with as many decimals as it takes to tell them apart. None where `now` is not above `bound`, or by less
/// than anybody reads.
fn above(now: f64, bound: f64, decimals: usize, print: impl Fn(f64, usize) -> String) -> Option<(String, String)> {
    if now <= bound {
        return None;
    }
    let printed = (decimals..=DECIMALS_MAX).map(|decimals| (print(now, decimals), print(bound, decimals)));
    printed.into_iter().find(|(now, bound)| now != bound)
}

impl Compliance {
    /// What is wrong, measured against the objective; empty when nothing is.
    pub fn symptom(&self) -> String {
        let clauses = [self.latency_symptom(), self.errors_symptom()];
        clauses.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn latency_symptom(&self) -> Option<String> {
        let likely = match self.latency {
            ObjectiveStatus::Met => return None,
            ObjectiveStatus::AtRisk => ", likely missed",
            ObjectiveStatus::Missed => "",
        };
        let quantile = quantile_name(self.quantile);
        if let Some((now, bound)) = above(self.latency_ms, self.objective_ms, 0, milliseconds_to) {
            return Some(format!("{quantile} {now} (objective {bound}{likely})"));
        }
        // The quantile is read off a histogram; the requests beyond the objective are counted.
        if let Some(clause) = share_above(self.slow_share, 1.0 - self.quantile, likely, |share| {
            format!("{share} of requests took over {}", milliseconds(self.objective_ms))
        }) {
            return Some(clause);
        }
        let (now, bound) = (milliseconds_to(self.latency_ms, 0), milliseconds_to(self.objective_ms, 0));
        Some(format!("{quantile} {now} (objective {bound}, about to be missed)"))
    }

    fn errors_symptom(&self) -> Option<String> {
        let likely = match self.errors {
            ObjectiveStatus::Met => return None,
            ObjectiveStatus::AtRisk => ", likely missed",
            ObjectiveStatus::Missed => "",
        };
        share_above(self.error_share, self.errors_allowed, likely, |share| format!("{share} of requests failed"))
    }
}

/// `16 % of requests failed (objective 1 %)`; None where the share is not above what is allowed.
fn share_above(now: f64, allowed: f64, likely: &str, what: impl Fn(String) -> String) -> Option<String> {
    // `1.0 - 0.99` is a little more than a hundredth.
    let allowed = (allowed * 1e9).round() / 1e9;
    let decimals = decimals_for(allowed * 100.0).min(decimals_for(now * 100.0));
    let (now, allowed) = above(now, allowed, decimals, percent_to)?;
    Some(format!("{} (objective {allowed}{likely})", what(now)))
}

impl Bottleneck {
    /// Which part of the objective is missed, and by how much.
    pub fn symptom(&self) -> String {
        let symptom = self.compliance.symptom();
        if !symptom.is_empty() {
            return symptom;
        }
        // A journal of version 0.1.0 does not say which part is missed.
        match above(self.p99_ms, self.objective_ms, 0, milliseconds_to) {
            Some((now, bound)) => format!("p99 {now} (objective {bound})"),
            None if self.missed_share > 0.0 => {
                format!("{} of requests missed the objective", percent(self.missed_share))
            }
            None => "objective about to be missed".into(),
        }
    }

    /// Which service is the cause, and why. No claim goes beyond the verdict.
    pub fn cause(&self) -> String {
        let service = &self.service;
        let with = |text: String, parts: &[Option<String>]| {
            let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
            if parts.is_empty() { text } else { format!("{text} ({})", parts.join(", ")) }
        };
        let version = self.version.as_ref().map(|version| format!("version {version}"));
        match self.verdict {
            Verdict::Saturated => format!("{service} is saturated"),
            Verdict::Exhausted => format!("{service} is saturated at its maximum of {}", replicas(self.replicas)),
            Verdict::SlowDependency => {
                with(format!("{service} waits on a slow dependency"), std::slice::from_ref(&self.peer))
            }
            Verdict::BadInstance => with(format!("{service} has one bad pod"), &[self.bad_pod()]),
            Verdict::Regression => with(format!("{service} became slower with a new release"), &[version]),
            Verdict::Amplification => match &self.caller {
                Some(caller) => with(format!("{service} receives excess calls from {caller}"), &[version]),
                None => format!("{service} receives excess calls"),
            },
            Verdict::Failing => {
                let at = self.peer.as_ref().map(|peer| format!("they start at {peer}"));
                with(format!("{service} returns errors"), &[at])
            }
            Verdict::Unreachable => with(
                format!("calls to {} get no answer", self.peer.as_ref().unwrap_or(service)),
                &[self.failed_calls()],
            ),
            Verdict::Degraded => {
                with(format!("{service} became slower at the same load and version"), &[self.strongest_time()])
            }
            Verdict::Healthy => "no bottleneck".into(),
            Verdict::Unknown => self.undetermined(),
            Verdict::Blind => BLIND.into(),
            Verdict::Partial => PARTIAL.into(),
        }
    }

    /// Symptom and cause of one endpoint.
    pub fn summary(&self) -> String {
        match self.verdict {
            Verdict::Healthy | Verdict::Blind | Verdict::Partial => self.cause(),
            Verdict::Saturated
            | Verdict::SlowDependency
            | Verdict::BadInstance
            | Verdict::Regression
            | Verdict::Amplification
            | Verdict::Exhausted
            | Verdict::Failing
            | Verdict::Unreachable
            | Verdict::Degraded
            | Verdict::Unknown => format!("{}: {}; {}", self.entry, self.symptom(), self.cause()),
        }
    }

    /// The pod, and what was measured of it beside the other pods of its service.
    fn bad_pod(&self) -> Option<String> {
        let pod = self.pod.as_ref()?;
        let of = |measure: &str| self.evidence.iter().find(|e| e.measure == measure).map(|e| e.now);
        let pair = of("pod_own_time_ms").zip(of("other_pods_own_time_ms"));
        match pair.and_then(|(now, others)| above(now, others, decimals_for(others), milliseconds_to)) {
            Some((now, others)) => Some(format!("{pod}: self time {now} per request, other pods {others}")),
            None => Some(pod.clone()),
        }
    }

    /// The time that grew most, with what it is in healthy time.
    fn strongest_time(&self) -> Option<String> {
        let factor = |e: &&Evidence| e.factor().unwrap_or(0.0);
        let times = self.evidence.iter().filter(|e| TIME_MEASURES.contains(&e.measure.as_str()));
        let strongest = times.filter(|e| factor(e) > TELLING_FACTOR).max_by(|a, b| factor(a).total_cmp(&factor(b)));
        strongest.map(Evidence::sentence)
    }

    fn failed_calls(&self) -> Option<String> {
        let share = self.evidence.iter().find(|e| e.measure == "refused_or_given_up_share")?.now;
        Some(format!("{} of them were refused or given up", percent(share)))
    }

    fn undetermined(&self) -> String {
        let service = &self.service;
        match self.strongest_time() {
            Some(evidence) => format!("cause not determined; evidence at {service}: {evidence}"),
            None => format!("cause not determined; evidence: the largest share of the excess time is at {service}"),
        }
    }
}

/// What is said while no spans arrive.
pub const BLIND: &str = "blind: no spans received; nothing is known of now";
/// What is said while spans arrive and no request can be followed in them.
pub const NO_BEGINNING: &str =
    "blind: spans arrive, but no request can be followed from its beginning; run `headroom doctor`";
/// What is said while a part is seen, and no number is at hand.
pub const PARTIAL: &str =
    "partial: no objective is missed in what is seen, and a part is not seen; run `headroom doctor`";

impl Findings {
    /// The worst bottleneck, or how much is known without one.
    pub fn summary(&self) -> String {
        match self.verdict() {
            Verdict::Blind if self.spans_arrive => NO_BEGINNING.into(),
            Verdict::Partial => format!(
                "partial: {} of traces are seen whole, and no objective is missed in what is seen; run `headroom doctor`",
                percent(self.sight.share)
            ),
            _ => self.bottleneck().summary(),
        }
    }
}

impl MissedObjective {
    /// Of an endpoint whose objective was derived from healthy time.
    pub fn summary(&self) -> String {
        let MissedObjective { entry, objective_ms, p99_ms, missed_share, allowed_share, slow_share, error_share } =
            self;
        let status = |share: f64| if share > *allowed_share { ObjectiveStatus::Missed } else { ObjectiveStatus::Met };
        let compliance = Compliance {
            latency: status(*slow_share),
            errors: status(*error_share),
            quantile: 0.99,
            latency_ms: *p99_ms,
            objective_ms: *objective_ms,
            slow_share: *slow_share,
            error_share: *error_share,
            errors_allowed: *allowed_share,
        };
        let symptom = compliance.symptom();
        if !symptom.is_empty() {
            return format!("{entry}: {symptom}");
        }
        // Neither part alone is too much.
        let missed =
            share_above(*missed_share, *allowed_share, "", |share| format!("{share} of requests slow or failed"));
        format!("{entry}: {}", missed.unwrap_or_else(|| "objective missed".into()))
    }
}

impl Suspect {
    /// A fault without a missed objective, with its probability.
    pub fn summary(&self) -> String {
        let Suspect { service, operation, score, .. } = self;
        let what = match self.verdict {
            Verdict::Saturated | Verdict::Exhausted => "is saturated",
            Verdict::SlowDependency => "is slow",
            Verdict::BadInstance => "has one bad pod",
            Verdict::Regression => "became slower with a new release",
            Verdict::Amplification => "receives excess calls",
            Verdict::Failing => "is failing",
            Verdict::Unreachable => "gets calls that it does not answer",
            Verdict::Degraded => "became slower at the same load and version",
            Verdict::Healthy => "is healthy",
            Verdict::Unknown | Verdict::Blind | Verdict::Partial => "differs from healthy time, cause not determined,",
        };
        format!("{service} {what} at {operation} (probability {}); no objective is missed", probability(*score))
    }
}

impl Sign {
    /// What was seen of a service or a callee, as a clause.
    fn of(self, service: &str) -> String {
        match self {
            Sign::Slow => format!("{service} is slow"),
            Sign::ItsCallsLonger => format!("calls by {service} take longer, whomever it calls"),
            Sign::FewerCalls => format!("{service} makes fewer calls for each request"),
            Sign::Errors => format!("errors begin in {service}"),
            Sign::CallsFail => format!("calls to {service} fail"),
            Sign::ItsCallsFail => format!("calls by {service} fail, whomever it calls"),
            Sign::AsksMore => format!("{service} makes more calls for each request"),
            Sign::AskedMore => format!("{service} receives more calls for each request of its callers"),
            Sign::OddPod => format!("one pod of {service} differs from the others"),
            Sign::NewVersion => format!("the new version of {service} is slow"),
        }
    }
}

impl RunnerUp {
    /// Two lines: what speaks for it, and why it is not the first.
    pub fn sentences(&self, first: &str) -> [String; 2] {
        let RunnerUp { service, verdict, score, shows, first_shows, waits_for_first, first_waits } = self;
        let named = if *verdict == Verdict::Unknown { String::new() } else { format!(" ({})", verdict.as_str()) };
        let for_it = match shows {
            Some(sign) => sign.of(service),
            None => format!("nothing that was seen of {service} itself speaks for it"),
        };
        let first_shows = first_shows.map(|sign| sign.of(first));
        let why = match (first_shows, shows) {
            (first_shows, Some(_)) if service == first => match first_shows {
                Some(seen) => format!("what else was seen fits it less: {seen}"),
                None => "what else was seen fits it less".into(),
            },
            (Some(seen), Some(_)) if *waits_for_first => format!("{service} waits for {first}, and {seen}"),
            (Some(seen), Some(_)) if *first_waits => {
                format!("more than {service} explains was seen of {first}: {seen}")
            }
            (Some(seen), Some(_)) => format!("it does not explain that {seen}"),
            (Some(seen), None) => format!("what its callers show has a cause: {seen}"),
            (None, _) => format!("{first} explains more of what was seen"),
        };
        let for_it = format!("Second likeliest: {service}{named}, probability {}: {for_it}", probability(*score));
        [for_it, format!("Why it lost: {why}")]
    }
}

impl Evidence {
    /// What is measured, in words, and the unit of its numbers.
    pub fn label(&self) -> (String, &'static str) {
        let label = match self.measure.as_str() {
            "own_time_ms" => "self time per request",
            "pod_own_time_ms" => "self time per request of this pod",
            "other_pods_own_time_ms" => "self time per request of the other pods",
            "own_time_factor" => "self time over that of healthy requests",
            "waiting_ms" => "network and queue time of calls to it",
            "calls_waiting_ms" => "network and queue time of calls it makes",
            "callees_time_ms" => "time in calls it makes, per request",
            "calls_per_request" => "calls it makes per request",
            "calls_received" => "calls received",
            "calls_for_each_expected" => "calls received over calls expected",
            "error_share" => "share of spans whose errors start here",
            "failed_calls_share" => "share of calls to it that are refused or given up",
            "request_error_share" => "share of its requests in error",
            "arrivals_per_pod_per_s" => "arrivals per pod",
            "throughput_per_pod_per_s" => "throughput per pod",
            "concurrency_per_pod" => "concurrency per pod",
            "refused_or_given_up_share" => "share of calls refused or given up",
            "own_share_of_concurrency" => "share of concurrency that is its own",
            "callee_time_factor" => "callee's time over that in healthy time",
            other => other,
        };
        let units = [("_ms", " ms"), ("_per_s", "/s"), ("_s", " s")];
        let known = units.into_iter().find(|(ending, _)| self.measure.ends_with(ending));
        let (ending, unit) = known.unwrap_or(("", ""));
        let plain = if label == self.measure { label.strip_suffix(ending).unwrap_or(label) } else { label };
        (plain.replace('_', " "), unit)
    }

    /// A value of this measure with its unit.
    pub fn value(&self, value: f64) -> String {
        format!("{}{}", number_to(value, decimals_for(value)), self.label().1)
    }

    /// `self time per request 922 ms (healthy 22 ms)`.
    pub fn sentence(&self) -> String {
        let (label, now) = (self.label().0, self.value(self.now));
        match self.baseline {
            Some(healthy) => format!("{label} {now} (healthy {})", self.value(healthy)),
            None => format!("{label} {now} (no healthy value known)"),
        }
    }

    /// How many times the healthy value is seen now; None without one.
    fn factor(&self) -> Option<f64> {
        let healthy = self.baseline?;
        Some(self.now / healthy.max(1e-9))
    }

    /// Whether it says anything: load always does, as what the rest is read against; a change of less than a fifth, or from
    /// nothing to nothing, does not.
    pub fn is_telling(&self) -> bool {
        let Some(healthy) = self.baseline else { return true };
        let (low, high) = (self.now.min(healthy), self.now.max(healthy));
        self.measure == "throughput_per_pod_per_s" || high > TELLING_FACTOR * low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be_read() {
        assert_eq!([0.16, 0.031, 0.01, 0.0005, 1.0].map(percent), ["16 %", "3.1 %", "1 %", "0.05 %", "100 %"]);
        assert_eq!([812.4, 4.25, 0.0].map(milliseconds), ["812 ms", "4.2 ms", "0 ms"]);
        assert_eq!([0.99, 0.999, 0.5].map(quantile_name), ["p99", "p99.9", "p50"]);
    }

    #[test]
    fn a_probability_is_one_that_a_person_can_read() {
        let seen = [0.999_993_581_390_186_6, 0.995, 0.87, 0.004, 0.0].map(probability);
        assert_eq!(seen, ["over 99.9 %", "99.5 %", "87 %", "0.4 %", "under 0.1 %"]);
    }

    #[test]
    fn the_second_likeliest_is_told_with_what_it_lost_by() {
        let second = RunnerUp {
            service: "orders".into(),
            verdict: Verdict::Saturated,
            score: 0.04,
            shows: Some(Sign::Slow),
            first_shows: Some(Sign::CallsFail),
            waits_for_first: true,
            first_waits: false,
        };
        let [for_it, why] = second.sentences("stock");
        assert_eq!(for_it, "Second likeliest: orders (saturated), probability 4 %: orders is slow");
        assert_eq!(why, "Why it lost: orders waits for stock, and calls to stock fail");
        let why = |second: RunnerUp| second.sentences("stock")[1].clone();
        let mute = RunnerUp { shows: None, waits_for_first: false, ..second.clone() };
        assert_eq!(why(mute), "Why it lost: what its callers show has a cause: calls to stock fail");
        let apart = RunnerUp { waits_for_first: false, ..second.clone() };
        assert_eq!(why(apart), "Why it lost: it does not explain that calls to stock fail");
        let itself = RunnerUp { service: "stock".into(), ..second };
        assert_eq!(why(itself), "Why it lost: what else was seen fits it less: calls to stock fail");
    }

    #[test]
    fn numbers_that_differ_are_told_apart() {
        let compliance = Compliance {
            latency: ObjectiveStatus::Missed,
            quantile: 0.99,
            latency_ms: 300.04,
            objective_ms: 300.0,
            ..Compliance::default()
        };
        assert_eq!(compliance.symptom(), "p99 300.04 ms (objective 300 ms)");
    }

    #[test]
    fn evidence_names_its_measure_in_words_and_its_unit() {
        let evidence = |measure: &str, now, baseline| Evidence { measure: measure.into(), now, baseline };
        let told = |measure, now, baseline| evidence(measure, now, baseline).sentence();
        assert_eq!(told("own_time_ms", 922.0, Some(22.0)), "self time per request 922 ms (healthy 22 ms)");
        assert_eq!(told("growth_ms", 3.0, None), "growth 3 ms (no healthy value known)");
        assert_eq!(told("throughput_per_pod_per_s", 70.1, Some(34.0)), "throughput per pod 70/s (healthy 34/s)");
    }
}
