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
/// … where so many healthy seconds are known, and this many times their load surely comes: a service that is a little slower than in
/// the first second that was seen of it is not at its limit.
const GUESS_SECONDS: i64 = 10;
const GUESS_LOAD: f64 = 1.25;
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
/// Busy seconds from which the best of them is as much as pods do.
const SURE_SECONDS: usize = 4;
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
    let is_more = |healthy: ServiceBaseline, times: f64| {
        let per_pod = surely_per_s / state.pod_count();
        surely_per_s > times * healthy.usual_rate() || per_pod > times * healthy.usual_rate_per_pod()
    };
    if baseline.is_some_and(|healthy| !is_more(healthy, 1.0)) {
        return None;
    }
    let may_guess = baseline.is_some_and(|healthy| healthy.seconds >= GUESS_SECONDS && is_more(healthy, GUESS_LOAD));
    let service_s = service_s(state);
    let healthy_wait_s = baseline.map_or(0.0, |healthy| healthy.wait_s());
    let of = |row: &ServiceSecond| Second::of(&row.sums, service_s, healthy_wait_s);
    let complete = || rows.iter().filter(|row| row.second < until);
    let waits = |second: i64| complete().any(|row| row.second == second && of(row).is_busy());
    let shows = |row: &ServiceSecond| of(row).is_busy() || may_guess && of(row).is_busy_at_times();
    if !complete().any(|row| row.second >= until - 2 && shows(row)) {
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
    let does = |row: &ServiceSecond| {
        let shared = if of(row).is_shared() { state.arrivals.shared_factor } else { 1.0 };
        row.sums.requests as f64 * weight / undisturbed * shared / of(row).utilisation()
    };
    let is_busy_and_warm = |row: &&ServiceSecond| {
        row.sums.requests >= REQUESTS
            && undisturbed >= UNDISTURBED
            && waits(row.second)
            && waits(row.second - 1)
            && pods.are_warm(row.second)
    };
    let busy = |row: &ServiceSecond| {
        let told = is_busy_and_warm(&row) && tells(row);
        told.then(|| Busy { second: row.second, pods: pods.serving(row.second), requests: does(row) })
    };
    // Whoever they were answered to: busy pods do no more than what they answered.
    let answered: Vec<f64> =
        complete().filter(is_busy_and_warm).map(|row| does(row) / pods.serving(row.second)).collect();
    let at_most_per_s = answered.iter().copied().reduce(f64::max).filter(|_| answered.len() >= SURE_SECONDS);
    let at_least = |row: &ServiceSecond| of(row).at_least() * weight / pods.serving(row.second);
    let healthy_per_s = baseline.map_or(0.0, |healthy| healthy.rate_per_pod());
    Some(AtWork {
        busy: complete().filter_map(busy).collect(),
        at_most_per_s,
        at_least_per_s: complete().filter(|row| tells(row)).map(at_least).fold(healthy_per_s, f64::max),
        service_s,
    })
}

/// What a request would hold a worker for, did it not share its processors, and were callees as fast as ever.
fn service_s(state: &ServiceState<'_>) -> f64 {
    let HealthSums { requests, compared, expected_own_ns, expected_callees_ns, .. } = state.sums;
    if compared as f64 >= KNOWN * requests as f64 && expected_own_ns > 0 {
        return (expected_own_ns + expected_callees_ns) as f64 / 1e9 / compared as f64;
    }
    // Not healthy time's mean request: a burst may be of other operations. How much of it is their callees' doing is not known.
    state.hold_s().max(1e-6)
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
