use super::*;
use crate::analyse::diagnosis::arrival_rate::Arrivals;
use crate::analyse::statistics::interval::Interval;
use crate::model::Pod;

/// A second in which a pool of two pods, of four workers each at 50 ms, answered so many.
fn second(second: i64, requests: i64, wait_s: f64) -> ServiceSecond {
    let nanos = |s: f64| (requests as f64 * s * 1e9) as i64;
    let sums = HealthSums {
        requests,
        hold_ns: nanos(0.05),
        own_ns: nanos(0.05),
        wait_ns: nanos(wait_s),
        compared_own_ns: nanos(0.05),
        expected_own_ns: nanos(0.05),
        compared: requests,
        ..HealthSums::default()
    };
    ServiceSecond { second, sums }
}

fn workload(ready_s: &[i64]) -> Workload {
    let pod = |&at: &i64| Pod { name: at.to_string(), created_at: Time(0), ready_at: Some(Time::from_secs(at)) };
    Workload { pods: ready_s.iter().map(pod).collect(), ..Workload::default() }
}

fn found(rows: &[ServiceSecond], ready_s: &[i64]) -> Option<AtWork> {
    found_with(rows, ready_s, &BTreeMap::new())
}

fn found_with(rows: &[ServiceSecond], ready_s: &[i64], in_vain: &BTreeMap<i64, i64>) -> Option<AtWork> {
    let mut sums = HealthSums::default();
    rows.iter().for_each(|row| crate::analyse::rollup::Sums::merge(&mut sums, &row.sums));
    let arrivals = Arrivals { per_s: Interval::exactly(300.0), ..Arrivals::default() };
    let state = ServiceState { sums, arrivals, ..ServiceState::default() };
    let healthy =
        HealthSums { requests: 6_000, hold_ns: 300_000_000_000, own_ns: 300_000_000_000, ..HealthSums::default() };
    let baseline = ServiceBaseline { sums: healthy, seconds: 100, pod_seconds: 200, this_hour: None };
    let workload = workload(ready_s);
    let pods = Pods { workload: Some(&workload), warm_up: Duration::from_secs(10), seen: 2 };
    at_work(rows, 108, &state, Some(baseline), pods, in_vain)
}

fn busy_seconds(rows: &[ServiceSecond], ready_s: &[i64]) -> Vec<i64> {
    found(rows, ready_s).map_or(Vec::new(), |found| found.busy.iter().map(|busy| busy.second).collect())
}

/// From 104 on each request waits.
fn rows() -> Vec<ServiceSecond> {
    (100..108).map(|s| if s < 104 { second(s, 60, 0.0) } else { second(s, 150, 0.4) }).collect()
}

#[test]
fn a_second_counts_that_was_busy_from_its_beginning() {
    assert_eq!(busy_seconds(&rows(), &[0, 0]), [105, 106, 107]);
    let found = found(&rows(), &[0, 0]).unwrap();
    assert_eq!((found.busy[0].pods, found.busy[0].requests), (2.0, 150.0));
    assert!((found.service_s - 0.05).abs() < 1e-9);
}

#[test]
fn a_service_with_room_is_not_at_work() {
    let calm: Vec<ServiceSecond> = (100..108).map(|s| second(s, 90, 0.01)).collect();
    assert_eq!(found(&calm, &[0, 0]), None);
}

#[test]
fn seconds_in_which_calls_were_given_up_say_what_pods_did_at_least() {
    let mut rows = rows();
    rows.iter_mut().filter(|row| row.second >= 105).for_each(|row| {
        // Eight answers a second of a pool that serves on for those who left.
        row.sums = HealthSums { gave_up: 200, wait_ns: 200_000_000_000, ..second(row.second, 8, 0.4).sums };
    });
    let found = found(&rows, &[0, 0]).unwrap();
    assert_eq!(found.busy, []);
    assert!((65.0..=75.0).contains(&found.at_least_per_s), "{found:?}: the best second had 75 a pod");
}

#[test]
fn warming_pods_are_no_measure() {
    assert!(busy_seconds(&rows(), &[0, 98]).is_empty(), "one is new");
    assert_eq!(busy_seconds(&rows(), &[0, 94]), [105, 106, 107], "and warm after ten seconds");
}

#[test]
fn workers_held_by_a_callee_say_what_they_could_do() {
    // Each is held for a second by a callee that takes 40 ms when it is well.
    let held = |row: i64| {
        let mut held = second(row, 8, 3.0);
        held.sums.own_ns = 8 * 10_000_000;
        (held.sums.compared_own_ns, held.sums.expected_own_ns) = (held.sums.own_ns, held.sums.own_ns);
        (held.sums.hold_ns, held.sums.expected_callees_ns) = (8 * 1_000_000_000, 8 * 40_000_000);
        held
    };
    let rows: Vec<ServiceSecond> = (100..108).map(held).collect();
    let found = found(&rows, &[0, 0]).unwrap();
    assert_eq!(found.busy, [], "what they served is the callee's doing");
    assert!(found.at_least_per_s > 60.0, "{found:?}: four workers a pod, for 50 ms each");
}

#[test]
fn calls_that_are_answered_in_vain_tell_how_many_came_and_not_what_a_pod_can_do() {
    let in_vain = BTreeMap::from([(106, 140), (107, 140)]);
    let found = found_with(&rows(), &[0, 0], &in_vain).unwrap();
    assert_eq!(found.busy.iter().map(|busy| busy.second).collect::<Vec<_>>(), [105]);
}

/// A burst of logins beside many quick checks: healthy time has seen too few of them to know how long one takes.
#[test]
fn the_time_of_operations_that_healthy_time_does_not_know_is_what_they_take() {
    let mostly_unknown = |mut row: ServiceSecond| {
        (row.sums.compared, row.sums.expected_own_ns) = (row.sums.requests / 10, row.sums.requests / 10 * 2_000_000);
        row.sums.compared_own_ns = row.sums.expected_own_ns;
        row
    };
    let rows: Vec<ServiceSecond> = rows().into_iter().map(mostly_unknown).collect();
    let found = found(&rows, &[0, 0]).unwrap();
    assert!((found.service_s - 0.05).abs() < 1e-9, "{found:?}");
    assert!(found.at_least_per_s < 80.0, "{found:?}");
}

#[test]
fn a_short_queue_tells_what_a_pod_does_at_least() {
    let rows: Vec<ServiceSecond> = (100..108).map(|s| second(s, 140, 0.02)).collect();
    let found = found(&rows, &[0, 0]).unwrap();
    assert_eq!(found.busy, []);
    assert!((60.0..70.0).contains(&found.at_least_per_s), "{found:?}");
}
