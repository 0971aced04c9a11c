//! A service over the fast window, set beside healthy time: how its work, its load and its pods compare.

use crate::analyse::diagnosis::arrival_rate::Arrivals;
use crate::analyse::diagnosis::observed::Growth;
use crate::analyse::diagnosis::pod_health::PodHealth;
use crate::analyse::findings::Evidence;
use crate::analyse::learned::baseline::{Baseline, ServiceBaseline};
use crate::analyse::rollup::window_totals::{PodAnswer, ServiceSecond};
use crate::analyse::rollup::{HealthSums, Sums};
use crate::analyse::statistics::significance::{LIKELY, SURELY, exceeds};
use crate::analyse::thresholds::load::MIX_KNOWN;
use crate::analyse::thresholds::service::{
    CLEAR, ERRORS, FAR, FAR_REQUESTS, GROWN, IN_VAIN_MIN, LEAST_SPREAD, POD_REQUESTS, UNANSWERED, UNREACHABLE_SECONDS,
};
use crate::model::Text;

/// Sums over a stretch of time and the pods that served.
#[derive(Clone, Debug, Default)]
pub struct ServiceState<'a> {
    pub sums: HealthSums,
    pub pods: &'a [PodAnswer],
    pub pod_health: PodHealth,
    pub arrivals: Arrivals,
    /// Pods were ordered that do not serve yet, or have not served for long beside older ones.
    pub is_settling: bool,
}

impl HealthSums {
    /// Own time over what healthy requests of the same operations take; None where healthy time knows none of them.
    fn own_factor(&self) -> Option<f64> {
        (self.expected_own_ns > 0).then(|| self.compared_own_ns as f64 / self.expected_own_ns as f64)
    }

    /// What one of these requests holds a worker for in healthy time; None where that knows none of their operations.
    pub fn healthy_work_s(&self) -> Option<f64> {
        let healthy_ns = (self.expected_own_ns + self.expected_callees_ns) as f64;
        (self.compared > 0).then(|| healthy_ns / 1e9 / self.compared as f64)
    }
}

/// Times above expectation that one pod or version takes, as a logarithm, beside those of others.
#[derive(Clone, Copy, Debug)]
struct Shift {
    log: f64,
    /// Its standard error.
    error: f64,
}

/// A sixteenth of an octave, as a natural logarithm.
const LOG_STEP: f64 = std::f64::consts::LN_2 / 16.0;
impl HealthSums {
    /// Mean and variance of the logarithm of own time over expectation.
    pub(super) fn own_log_mean(&self) -> Option<(f64, f64)> {
        let n = self.compared as f64;
        let mean = self.own_log as f64 / n.max(1.0);
        let variance = (self.own_log_squares as f64 / n.max(1.0) - mean * mean).max(0.0);
        (self.compared > 0)
            .then(|| (mean * LOG_STEP, (variance * LOG_STEP * LOG_STEP).max(LEAST_SPREAD * LEAST_SPREAD)))
    }

    /// How much slower these requests are than others, each beside what is expected of it; None where that is not known.
    /// The spread is the larger of both: that of a few requests is worth little.
    fn shift(&self, others: &HealthSums) -> Option<Shift> {
        if self.compared < 2 || others.compared < 2 {
            return None;
        }
        let ((mine, spread), (theirs, usual)) = (self.own_log_mean()?, others.own_log_mean()?);
        let error = (spread.max(usual) / self.compared as f64 + usual / others.compared as f64).sqrt();
        Some(Shift { log: mine - theirs, error })
    }
}

impl ServiceState<'_> {
    fn per_request(&self, nanos: i64) -> f64 {
        nanos as f64 / 1e9 / self.sums.requests.max(1) as f64
    }

    /// Just after a start healthy time is not known. Then only what the window itself shows counts: requests that wait longer
    /// than they are served, or are turned away, at a service whose own work holds its workers.
    pub fn queues_by_itself(&self) -> bool {
        let (hold_s, turned_away) = (self.hold_s(), self.sums.refused + self.sums.gave_up);
        (self.wait_s() > hold_s || turned_away > self.sums.requests) && self.own_s() > hold_s / 2.0
    }

    pub fn hold_s(&self) -> f64 {
        self.per_request(self.sums.hold_ns)
    }

    pub fn own_s(&self) -> f64 {
        self.per_request(self.sums.own_ns)
    }

    /// What healthy callees would take of a request, of the mix that there is now.
    pub fn healthy_callees_s(&self) -> f64 {
        self.per_request(self.sums.expected_callees_ns)
    }

    /// Waiting for each request that was taken or given up.
    pub fn wait_s(&self) -> f64 {
        self.sums.wait_ns as f64 / 1e9 / (self.sums.requests + self.sums.gave_up).max(1) as f64
    }

    /// Requests in service at once, a pod (Little's law on throughput and hold).
    pub fn concurrency_per_pod(&self) -> f64 {
        self.arrivals.throughput_per_s * self.hold_s() / self.pod_count()
    }

    /// The same in the best second: where work stood still and goes on, the mean is of neither.
    fn best_concurrency_per_pod(&self) -> f64 {
        self.arrivals.best_per_s.max(self.arrivals.throughput_per_s) * self.hold_s() / self.pod_count()
    }

    /// What a request would hold a worker for, were callees as fast as ever and called as often.
    fn undisturbed_s(&self) -> f64 {
        self.own_s() + self.healthy_callees_s()
    }

    /// The part of what it does hold one for, 0 to 1.
    pub fn undisturbed_share(&self) -> f64 {
        (self.undisturbed_s() / self.hold_s().max(1e-9)).clamp(0.0, 1.0)
    }

    /// The share of the concurrency seen that the load would keep busy, were callees as fast as ever; more than one where
    /// it is too much for the service itself.
    pub fn own_share(&self) -> f64 {
        // Where most callers gave up, concurrency is not seen in time: what was answered has to tell.
        if self.answers_few() {
            return self.undisturbed_share();
        }
        let seen = self.best_concurrency_per_pod().max(f64::MIN_POSITIVE);
        self.arrivals.per_s / self.pod_count() * self.undisturbed_s() / seen
    }

    /// Those that served and those that should have.
    pub fn pod_count(&self) -> f64 {
        let mute = self.pod_health.unresponsive.iter().filter(|pod| self.pods.iter().all(|p| p.pod != **pod)).count();
        (self.pods.len() + mute).max(1) as f64
    }

    /// The load over that of healthy time, in requests or in the work they mean, whichever grew more; for each pod or
    /// in all, because after a scale-out a pod may get no more than it used to and still be behind. What was counted,
    /// without the estimate from growing waiting: that grows as well when the same load is served more slowly.
    fn load_factor(&self, baseline: ServiceBaseline) -> f64 {
        let over = |now: f64, healthy: f64| if healthy > 0.0 { now / healthy } else { 0.0 };
        let in_all = self.load_factor_in_all(baseline);
        let per_pod = over(self.arrivals.counted_per_s / self.pod_count(), baseline.usual_rate_per_pod());
        let work_s = self.per_request(self.sums.expected_own_ns) + self.healthy_callees_s();
        let heavier = over(work_s, baseline.hold_s());
        in_all.max(per_pod) * heavier.max(1.0)
    }

    fn load_factor_in_all(&self, baseline: ServiceBaseline) -> f64 {
        let usual = baseline.usual_rate();
        if usual > 0.0 { self.arrivals.counted_per_s / usual } else { 0.0 }
    }

    /// The load over that of healthy time, with what chance and a short healthy time leave open.
    pub(super) fn load_growth(&self, baseline: ServiceBaseline) -> Option<Growth> {
        let factor = self.load_factor(baseline);
        let in_part = 1.0 / baseline.seconds.max(1) as f64;
        let variance = 1.0 / self.arrivals.counted.max(1.0) + 1.0 / baseline.sums.requests.max(1) as f64;
        (factor > 0.0).then(|| Growth { log: factor.ln(), variance: variance + in_part * in_part })
    }

    /// What the requests of now take in healthy time, each in seconds; None where it knows too few of their operations.
    pub fn work_s(&self) -> Option<f64> {
        let HealthSums { compared, requests, .. } = self.sums;
        self.sums.healthy_work_s().filter(|_| compared as f64 >= MIX_KNOWN * requests as f64)
    }

    pub fn warm_pods(&self) -> impl Iterator<Item = &PodAnswer> {
        self.pods.iter().filter(|pod| !self.pod_health.warming.contains(&pod.pod))
    }

    /// Pods that were ready long before the load came, where there are any: what they do is what a pod can do.
    pub fn settled_pods(&self) -> impl Iterator<Item = &PodAnswer> {
        self.warm_pods().filter(|pod| !self.pod_health.young.contains(&pod.pod))
    }

    /// Calls that nobody answers, beyond what chance makes of some.
    pub fn loses_calls(&self) -> bool {
        exceeds(self.sums.gave_up, self.sums.requests + self.sums.gave_up, ERRORS, SURELY)
    }

    /// Load is felt by all pods; what most of them do not feel is the matter of one.
    pub fn most_pods_suffer(&self, baseline: ServiceBaseline) -> bool {
        let suffers = |pod: &&PodAnswer| {
            let sums = &pod.sums;
            let healthy_s = if sums.expected_own_ns > 0 {
                (sums.expected_own_ns + sums.expected_callees_ns) as f64 / 1e9 / sums.requests.max(1) as f64
            } else {
                baseline.hold_s()
            };
            let taken_s = (sums.hold_ns + sums.wait_ns) as f64 / 1e9 / sums.requests.max(1) as f64;
            sums.refused > 0 || taken_s > GROWN * (healthy_s + baseline.wait_s())
        };
        2 * self.pods.iter().filter(suffers).count() > self.pods.len()
    }

    /// Errors among all its requests, whoever asked: surely more than in healthy time, and likely more than are allowed.
    pub fn fails_clearly(&self, baseline: Option<ServiceBaseline>) -> bool {
        // Of none in so many, the next is an error by the rule of succession (Laplace, 1814).
        let healthy = baseline.map_or(ERRORS, |b| (b.sums.errors + 1) as f64 / (b.sums.requests + 2) as f64);
        let more_than = |share: f64, chance: f64| exceeds(self.sums.errors, self.sums.requests, share, chance);
        more_than(healthy, SURELY) && more_than(ERRORS, LIKELY)
    }

    /// It answers less than half of what it is asked for: the rest is turned away, or answered to nobody.
    fn answers_few(&self) -> bool {
        self.sums.refused + self.sums.gave_up > self.sums.requests
    }

    /// Whether calls to it get no answer any more, over its last seconds: of those that ended nearly all were refused before
    /// they reached a pod, or given up, and next to none was answered. Who is merely overloaded answers what it can.
    pub fn is_unreachable(&self, seconds: &[ServiceSecond], baseline: Option<ServiceBaseline>) -> bool {
        let Some(last) = seconds.last() else { return false };
        let mut late = HealthSums::default();
        seconds.iter().filter(|s| s.second + UNREACHABLE_SECONDS > last.second).for_each(|s| late.merge(&s.sums));
        // A pod that turns a request away is there.
        let by_pods: i64 = self.pods.iter().map(|pod| pod.sums.refused).sum();
        let in_vain = late.refused + late.gave_up - by_pods;
        let usual = baseline.map_or(0.0, |b| b.sums.requests as f64 / b.seconds.max(1) as f64);
        let answered = late.requests as f64;
        let answers_none = answered < UNANSWERED * usual * UNREACHABLE_SECONDS as f64 || answered == 0.0;
        in_vain >= IN_VAIN_MIN && answered < UNANSWERED * (answered + in_vain as f64) && answers_none
    }

    /// What requests take more than in healthy time, they spend in callees for the most part.
    pub fn waits_for_callees(&self, baseline: ServiceBaseline) -> bool {
        let expected_own_s = self.per_request(self.sums.expected_own_ns);
        let healthy_own_s = if self.sums.expected_own_ns > 0 { expected_own_s } else { baseline.own_s() };
        let here_s = (self.own_s() - healthy_own_s).max(0.0) + (self.wait_s() - baseline.wait_s()).max(0.0);
        self.hold_s() - self.own_s() - self.healthy_callees_s() > here_s
    }

    pub fn version_of(&self, pod: &Text) -> Option<&Text> {
        self.pods.iter().find(|p| p.pod == *pod).map(|p| &p.version)
    }

    /// Whether healthy time knows neither the pod's ReplicaSet nor its version.
    pub fn is_new(&self, pod: &Text, service: &Text, all: &Baseline) -> bool {
        self.pod_health.new_revision.contains(pod)
            || self.version_of(pod).is_some_and(|version| !all.knows_version(service, version))
    }

    /// The version of a pod that is new, if one told it.
    pub fn new_version(&self, service: &Text, all: &Baseline) -> Option<&Text> {
        self.pods.iter().map(|p| &p.version).find(|version| !all.knows_version(service, version))
    }

    /// Pods of a release that do not answer, or none but such to answer calls that are lost.
    pub fn is_hung_release(&self) -> bool {
        let PodHealth { unresponsive: silent, new_revision: new, ready, .. } = &self.pod_health;
        self.loses_calls() && (!silent.is_disjoint(new) || *ready > 0 && new.len() == *ready)
    }

    /// A version that healthy time does not know and that is slow.
    pub fn slow_new_version(&self, service: &Text, all: &Baseline, baseline: ServiceBaseline) -> Option<Text> {
        let (mut new, mut old) = (HealthSums::default(), HealthSums::default());
        let (mut name, mut is_warm) = (None, false);
        for pod in self.pods {
            if all.knows_version(service, &pod.version) {
                old.merge(&pod.sums);
            } else {
                name = Some(pod.version.clone());
                is_warm |= !self.pod_health.warming.contains(&pod.pod);
                new.merge(&pod.sums);
            }
        }
        let factor = |sums: &HealthSums| {
            let mean_s = sums.own_ns as f64 / 1e9 / sums.requests.max(1) as f64;
            sums.own_factor().unwrap_or(mean_s / baseline.own_s().max(1e-9))
        };
        // Being cold explains that a pod is slow, and not that it is far slower. That is seen sooner.
        let slow_enough = is_warm && new.requests >= POD_REQUESTS && factor(&new) > GROWN;
        let is_slow = slow_enough || new.requests >= FAR_REQUESTS && factor(&new) > FAR;
        // A release that changes nothing is a few slow requests now and then.
        let is_clear =
            |others: &HealthSums| new.shift(others).is_none_or(|shift| shift.log > CLEAR / 2.0 * shift.error);
        let is_slow = is_slow && (old.requests < POD_REQUESTS || is_clear(&old));
        name.filter(|_| is_slow)
    }

    /// Self time per request of one pod and of all others, where both served; empty for a pod that serves nothing.
    pub fn pod_evidence(&self, pod: &Text) -> Vec<Evidence> {
        let (mut this, mut others) = (HealthSums::default(), HealthSums::default());
        for seen in self.pods {
            if seen.pod == *pod { this.merge(&seen.sums) } else { others.merge(&seen.sums) }
        }
        if this.requests == 0 || others.requests == 0 {
            return Vec::new();
        }
        let own_ms = |sums: &HealthSums| sums.own_ns as f64 / 1e6 / sums.requests as f64;
        let fact = |measure: &str, now: f64| Evidence { measure: measure.into(), now, baseline: None };
        vec![fact("pod_own_time_ms", own_ms(&this)), fact("other_pods_own_time_ms", own_ms(&others))]
    }

    /// What is measured here, beside healthy time.
    pub fn evidence(&self, baseline: Option<ServiceBaseline>) -> Vec<Evidence> {
        let fact = |measure: &str, now: f64, healthy: Option<f64>| Evidence {
            measure: measure.into(),
            now,
            baseline: healthy,
        };
        let pods = self.pod_count();
        let rate = baseline.map(|b| b.usual_rate_per_pod());
        let mut facts = vec![
            fact("arrivals_per_pod_per_s", self.arrivals.per_s / pods, rate),
            fact("throughput_per_pod_per_s", self.arrivals.throughput_per_s / pods, rate),
            fact("waiting_ms", self.wait_s() * 1e3, baseline.map(|b| b.wait_s() * 1e3)),
            fact("own_time_ms", self.own_s() * 1e3, baseline.map(|b| b.own_s() * 1e3)),
            fact(
                "callees_time_ms",
                (self.hold_s() - self.own_s()).max(0.0) * 1e3,
                baseline.map(|b| b.callees_s() * 1e3),
            ),
            fact("concurrency_per_pod", self.concurrency_per_pod(), baseline.map(|b| b.rate_per_pod() * b.hold_s())),
        ];
        // Beside the means above, which another mix of requests moves too.
        facts.extend(self.sums.own_factor().map(|factor| fact("own_time_factor", factor, Some(1.0))));
        if self.sums.errors > 0 {
            let share = |sums: &HealthSums| sums.errors as f64 / sums.requests.max(1) as f64;
            facts.push(fact("request_error_share", share(&self.sums), baseline.map(|b| share(&b.sums))));
        }
        let turned_away = self.sums.refused + self.sums.gave_up;
        if turned_away > 0 {
            let all = (self.sums.requests + turned_away) as f64;
            facts.push(fact("refused_or_given_up_share", turned_away as f64 / all, Some(0.0)));
        }
        facts
    }
}
