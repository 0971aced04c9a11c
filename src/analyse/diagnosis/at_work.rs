//! The seconds in which a service had as much work as its pods can do, and did it: what they served then is what they
//! can serve.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::learned::baseline::ServiceBaseline;
use crate::analyse::learned::capacity::{AtWork, Busy};
use crate::analyse::rollup::HealthSums;
use crate::analyse::rollup::window_totals::ServiceSecond;
use crate::model::{Time, Workload};

/// Requests that wait this many times their service to be taken keep all workers busy: at the four to eight of a usual
/// pod that takes nine tenths of their time.
const QUEUES: f64 = 1.0;
/// … and from this many times on they are so busy that what they do is about what they can, which is a guess.
const QUEUES_AT_TIMES: f64 = 0.3;
/// Below this share of requests whose operation healthy time knows, their healthy times are not those of all.
const KNOWN: f64 = 0.9;
/// Requests whose own work takes this many times its healthy time share their processors with as many others.
const CONTENDED: f64 = 3.0;
/// … and below this the processors are nobody's concern: how many are at work at once is the pods' size.
const UNCONTENDED: f64 = 1.5;
/// More calls given up, for each that is answered, than this: pods also serve those that nobody waits for, and what is
/// seen of their work is a part. Calls that were answered in vain count in the second in which their caller gave up, not in that
/// in which they were served: they would tell how many came.
const GIVEN_UP: f64 = 0.2;
/// Below this share of a request's time that is the service's own doing, its callees decide what it can serve.
const UNDISTURBED: f64 = 0.6;
/// Requests of a second below which it says nothing of a pod.
const REQUESTS: i64 = 5;

/// What the service's pods are, and were.
#[derive(Clone, Copy)]
pub struct Pods<'a> {
    pub workload: Option<&'a Workload>,
    pub warm_up: Duration,
    /// Pods that spans come from.
    pub seen: usize,
}

impl Pods<'_> {
    /// Pods that were ready before the second was over; those that spans come from where the cluster tells of none.
    fn serving(&self, second: i64) -> f64 {
        let ready = self.ready_before(second + 1, Duration::ZERO);
        ready.unwrap_or(self.seen).max(1) as f64
    }

    /// Whether all that served were warm as it began.
    fn are_warm(&self, second: i64) -> bool {
        self.ready_before(second, self.warm_up) == self.ready_before(second + 1, Duration::ZERO)
    }

    fn ready_before(&self, second: i64, since: Duration) -> Option<usize> {
        let workload = self.workload.filter(|workload| !workload.pods.is_empty())?;
        let ready = |at: &Time| (*at + since).second() < second;
        Some(workload.pods.iter().filter_map(|pod| pod.ready_at).filter(ready).count())
    }
}

/// None where it has room. `rows` are complete seconds, oldest first, up to `until`; `in_vain` are the calls that were answered
/// after their caller gave up, by second.
pub fn at_work(
    rows: &[ServiceSecond],
    until: i64,
    state: &ServiceState<'_>,
    baseline: Option<ServiceBaseline>,
    pods: Pods<'_>,
    in_vain: &BTreeMap<i64, i64>,
) -> Option<AtWork> {
    // Slower at the same load is no limit of its pods.
    let surely_per_s = state.arrivals.per_s.low;
    let is_more = |healthy: ServiceBaseline| {
        surely_per_s > healthy.usual_rate() || surely_per_s / state.pod_count() > healthy.usual_rate_per_pod()
    };
    if baseline.is_some_and(|healthy| !is_more(healthy)) {
        return None;
    }
    let service_s = service_s(state, baseline);
    let healthy_wait_s = baseline.map_or(0.0, |healthy| healthy.wait_s());
    let of = |row: &ServiceSecond| Second::of(&row.sums, service_s, healthy_wait_s);
    let complete = || rows.iter().filter(|row| row.second < until);
    let waits = |second: i64| complete().any(|row| row.second == second && of(row).is_busy());
    let waits_at_times = |row: &ServiceSecond| row.second >= until - 2 && of(row).is_busy_at_times();
    if !complete().any(waits_at_times) {
        return None;
    }
    let weight = state.sums.weight();
    let undisturbed = state.undisturbed_share();
    // Of shared processors that work off a backlog, requests end that they did most of before.
    let tells = |row: &ServiceSecond| {
        let given_up = row.sums.gave_up + in_vain.get(&row.second).copied().unwrap_or_default();
        let is_waited_for = given_up as f64 <= GIVEN_UP * row.sums.requests as f64;
        is_waited_for && !(state.arrivals.drains && of(row).is_shared())
    };
    let busy = |row: &ServiceSecond| {
        let told = row.sums.requests >= REQUESTS
            && undisturbed >= UNDISTURBED
            && tells(row)
            && waits(row.second)
            && waits(row.second - 1)
            && pods.are_warm(row.second);
        let shared = if of(row).is_shared() { state.arrivals.shared_factor } else { 1.0 };
        let requests = row.sums.requests as f64 * weight / undisturbed * shared / of(row).utilisation();
        told.then(|| Busy { second: row.second, pods: pods.serving(row.second), requests })
    };
    let at_least = |row: &ServiceSecond| of(row).at_least() * weight / pods.serving(row.second);
    let healthy_per_s = baseline.map_or(0.0, |healthy| healthy.rate_per_pod());
    Some(AtWork {
        busy: complete().filter_map(busy).collect(),
        at_least_per_s: complete().filter(|row| tells(row)).map(at_least).fold(healthy_per_s, f64::max),
        service_s,
    })
}

/// What a request would hold a worker for, did it not share its processors, and were callees as fast as ever.
fn service_s(state: &ServiceState<'_>, baseline: Option<ServiceBaseline>) -> f64 {
    let HealthSums { requests, compared, expected_own_ns, expected_callees_ns, .. } = state.sums;
    if compared as f64 >= KNOWN * requests as f64 && expected_own_ns > 0 {
        return (expected_own_ns + expected_callees_ns) as f64 / 1e9 / compared as f64;
    }
    // Not healthy time's mean request: a burst may be of other operations.
    let now_s = state.hold_s() * state.undisturbed_share();
    if compared == 0 { baseline.map_or(now_s, |healthy| now_s.min(healthy.hold_s())) } else { now_s }.max(1e-6)
}

/// One second of a service.
struct Second {
    requests: f64,
    /// Outside its own spans beyond healthy time, over the service time.
    queue: f64,
    contention: f64,
    refused: bool,
    /// Requests in service at once, over what each would take.
    by_concurrency: f64,
}

impl Second {
    fn of(sums: &HealthSums, service_s: f64, healthy_wait_s: f64) -> Second {
        let taken = (sums.requests + sums.gave_up).max(1) as f64;
        let contention = if sums.expected_own_ns > 0 {
            sums.compared_own_ns as f64 / sums.expected_own_ns as f64
        } else {
            sums.hold_ns as f64 / 1e9 / sums.requests.max(1) as f64 / service_s
        };
        Second {
            requests: sums.requests as f64,
            queue: (sums.wait_ns as f64 / 1e9 / taken - healthy_wait_s) / service_s,
            contention,
            refused: sums.refused > 0,
            by_concurrency: sums.hold_ns as f64 / 1e9 / service_s,
        }
    }

    fn is_busy(&self) -> bool {
        self.refused || self.queue > QUEUES || self.contention > CONTENDED
    }

    fn is_busy_at_times(&self) -> bool {
        self.is_busy() || self.queue > QUEUES_AT_TIMES || self.contention > UNCONTENDED
    }

    /// Its requests wait inside their own spans: they share processors. Where they wait to be taken, workers take one each.
    fn is_shared(&self) -> bool {
        self.contention > UNCONTENDED && self.queue < QUEUES
    }

    /// The share of their processors that requests use which share them: with `s` times their uncontended time it is
    /// 1 - 1/s of one processor, and its square root of two, by the formulas of processor sharing. One elsewhere.
    fn utilisation(&self) -> f64 {
        if self.is_shared() { (1.0 - 1.0 / self.contention).sqrt() } else { 1.0 }
    }

    /// Requests that all pods could do in this second, less what chance adds to the best of some seconds: those they did, and
    /// where they were busy as many as were in service at once, or as would have used their processors up.
    fn at_least(&self) -> f64 {
        let sure = self.requests - self.requests.sqrt();
        if self.is_shared() {
            return sure / self.utilisation();
        }
        if self.is_busy() { sure.max(self.by_concurrency - self.requests.sqrt()) } else { sure }
    }
}

#[cfg(test)]
mod tests;
