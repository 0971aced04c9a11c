//! What one pod can do, learned where it was seen at its limit, and how many pods a load needs.

use std::collections::BTreeMap;

use super::snapshot::Learnt;
use crate::analyse::thresholds::load::CAPACITY_WEIGHT;
use crate::model::Text;

/// What pods of a service can do.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::analyse) struct Capacity {
    /// Requests a second that a warm pod sustained while work was waiting.
    per_pod_per_s: f64,
    /// Uncontended time of a request, in seconds.
    service_s: f64,
    /// What these requests took in healthy time, each in seconds: of others a pod does more or fewer. None where healthy time
    /// knows too few of their operations.
    #[serde(default)]
    work_s: Option<f64>,
}

impl Capacity {
    /// What a pod carries at its limit, by Little's law.
    pub(in crate::analyse) fn erlangs(self) -> f64 {
        self.per_pod_per_s * self.service_s
    }

    /// The same, told in requests that take so long in healthy time.
    fn in_requests_of(self, work_s: Option<f64>) -> Capacity {
        match (self.work_s, work_s) {
            (Some(old), Some(new)) if old > 0.0 && new > 0.0 => Capacity {
                per_pod_per_s: self.per_pod_per_s * old / new,
                service_s: self.service_s * new / old,
                work_s,
            },
            (known, _) => Capacity { work_s: work_s.or(known), ..self },
        }
    }
}

/// Warm pods at their limit, over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtLimit {
    pub pods: u32,
    /// Requests that they served, those that a sampler left out among them.
    pub requests: f64,
    pub seconds: f64,
    /// How long a request held a worker.
    pub hold_s: f64,
    /// What these requests take in healthy time, where it knows them.
    pub work_s: Option<f64>,
    /// The share of that which slow callees did not inflate.
    pub undisturbed_share: f64,
    /// Other pods were ordered and are not felt yet: the queue still grows, and where requests share a pod they end later than
    /// their part of the work is done. So little shows what a pod can do at least.
    pub at_least: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Capacities {
    known: BTreeMap<Text, Capacity>,
}

impl Capacities {
    /// Learns from a service that is saturated now.
    pub fn learn(&mut self, service: &Text, at_limit: AtLimit) {
        let AtLimit { pods, requests, seconds, hold_s, work_s, undisturbed_share, at_least } = at_limit;
        if pods == 0 || requests <= 0.0 || undisturbed_share <= 0.0 {
            return;
        }
        let rate = requests / seconds / f64::from(pods);
        let found = Capacity { per_pod_per_s: rate / undisturbed_share, service_s: hold_s * undisturbed_share, work_s };
        let Some(known) = self.known.get_mut(service) else {
            self.known.insert(service.clone(), found);
            return;
        };
        let old = known.in_requests_of(work_s);
        if at_least && old.per_pod_per_s > found.per_pod_per_s {
            return;
        }
        let mix = |old: f64, new: f64| old + CAPACITY_WEIGHT * (new - old);
        *known = Capacity {
            per_pod_per_s: mix(old.per_pod_per_s, found.per_pod_per_s),
            service_s: mix(old.service_s, found.service_s),
            work_s: old.work_s,
        };
    }

    pub fn keep(&self, learnt: &mut Learnt) {
        for (service, capacity) in &self.known {
            learnt.services.entry(service.to_string()).or_default().capacity = Some(*capacity);
        }
    }

    /// Takes over what is not known here.
    pub fn restore(&mut self, learnt: &Learnt) {
        // A number that is none, or none that a pod could sustain, would ask for any number of replicas.
        let is_number = |x: f64| x.is_finite() && x > 0.0;
        let usable =
            |c: &Capacity| is_number(c.per_pod_per_s) && is_number(c.service_s) && c.work_s.is_none_or(is_number);
        for (service, kept) in &learnt.services {
            if let Some(capacity) = kept.capacity.filter(usable) {
                self.known.entry(service.as_str().into()).or_insert(capacity);
            }
        }
    }

    /// Requests a second of one pod, of those that take so long in healthy time.
    pub fn per_pod(&self, service: &str, work_s: Option<f64>) -> Option<f64> {
        self.known.get(service).map(|c| c.in_requests_of(work_s).per_pod_per_s)
    }

    /// Replicas for a load of requests that take so long in healthy time: to a target utilisation, and never without the
    /// square-root margin that keeps waiting rare in small pools (A. K. Erlang's observation; W. Whitt, "Understanding the efficiency of
    /// multi-server service systems", 1992). None where no capacity was learnt.
    pub fn replicas(
        &self,
        service: &str,
        (arrivals_per_s, work_s): (f64, Option<f64>),
        target_utilisation: f64,
    ) -> Option<u32> {
        let capacity = self.known.get(service)?.in_requests_of(work_s);
        let offered = arrivals_per_s * capacity.service_s; // Erlangs, by Little's law
        let sustained = capacity.per_pod_per_s * capacity.service_s; // Erlangs a pod carries
        let by_utilisation = offered / (sustained * target_utilisation);
        let by_margin = (offered + offered.sqrt()) / sustained;
        Some(by_utilisation.max(by_margin).ceil().max(1.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_limit(requests: f64, work_s: Option<f64>) -> AtLimit {
        let (hold_s, undisturbed_share) = (0.1, 1.0);
        AtLimit { pods: 1, requests, seconds: 1.0, hold_s, work_s, undisturbed_share, at_least: false }
    }

    #[test]
    fn of_a_heavier_mix_a_pod_does_less() {
        let (service, mut capacities) = ("auth".into(), Capacities::default());
        capacities.learn(&service, at_limit(60.0, Some(0.065)));
        assert_eq!(capacities.per_pod("auth", Some(0.13)), Some(30.0));
        assert_eq!(capacities.replicas("auth", (300.0, Some(0.13)), 0.5), Some(20));
        assert_eq!(capacities.per_pod("auth", None), Some(60.0), "of an unknown mix: what was seen");
    }

    #[test]
    fn another_mix_at_the_limit_is_no_other_capacity() {
        let (service, mut capacities) = ("auth".into(), Capacities::default());
        capacities.learn(&service, at_limit(60.0, Some(0.065)));
        capacities.learn(&service, at_limit(30.0, Some(0.13)));
        assert_eq!(capacities.per_pod("auth", Some(0.065)), Some(60.0));
    }

    #[test]
    fn a_kept_capacity_that_no_pod_has_is_not_restored() {
        for work_s in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            let (mut learnt, mut capacities) = (Learnt::default(), Capacities::default());
            let kept = Capacity { per_pod_per_s: 60.0, service_s: 0.1, work_s: Some(work_s) };
            learnt.services.entry("auth".into()).or_default().capacity = Some(kept);
            capacities.restore(&learnt);
            assert_eq!(capacities.per_pod("auth", None), None, "{work_s}");
        }
    }

    #[test]
    fn what_is_seen_at_least_takes_nothing_back() {
        let (service, mut capacities) = ("auth".into(), Capacities::default());
        capacities.learn(&service, at_limit(60.0, None));
        capacities.learn(&service, AtLimit { at_least: true, ..at_limit(40.0, None) });
        assert_eq!(capacities.per_pod("auth", None), Some(60.0));
    }
}
