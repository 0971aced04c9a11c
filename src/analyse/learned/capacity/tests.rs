use super::*;
use crate::analyse::statistics::chance::Chance;

fn at_work(seconds: std::ops::Range<i64>, pods: f64, per_pod: f64) -> AtWork {
    let busy = seconds.map(|second| Busy { second, pods, requests: pods * per_pod }).collect();
    AtWork { busy, service_s: 0.05, ..AtWork::default() }
}

fn learnt(of: &[AtWork]) -> Capacities {
    let mut capacities = Capacities::default();
    of.iter().for_each(|at_work| capacities.learn(&"store".into(), at_work));
    capacities
}

fn need(capacities: &Capacities, per_s: f64) -> Need {
    capacities.need("store", Interval::exactly(per_s), 0.8).expect("known")
}

#[test]
fn a_second_is_learnt_of_once_however_many_ticks_see_it() {
    let once = learnt(&[at_work(0..3, 2.0, 70.0)]);
    let often = learnt(&[at_work(0..2, 2.0, 70.0), at_work(0..3, 2.0, 70.0), at_work(1..3, 2.0, 70.0)]);
    assert_eq!(once.of("store"), often.of("store"));
}

#[test]
fn more_busy_seconds_narrow_it_and_a_guess_stays_wide() {
    let spread = |of: &[AtWork]| learnt(of).of("store").unwrap().spread();
    let guess = AtWork { at_least_per_s: 60.0, service_s: 0.05, ..AtWork::default() };
    let (wide, few, many) =
        (spread(&[guess.clone()]), spread(&[at_work(0..1, 1.0, 40.0)]), spread(&[at_work(0..20, 4.0, 40.0)]));
    assert!(wide > few && few > many && many >= SPREAD_MIN, "{wide} {few} {many}");
    assert!(!learnt(&[guess]).is_tried("store"));
}

/// What it says lies around the truth as often as it says, for drawn rates, pods and seconds.
#[test]
fn its_spread_holds_the_truth() {
    let mut chance = Chance(5);
    let (mut within, all) = (0, 500);
    for _ in 0..all {
        let (truth, pods) = (chance.between(5.0, 200.0), chance.between(1.0, 6.0).floor());
        let seconds = chance.between(1.0, 12.0) as i64;
        let busy = (0..seconds).map(|second| {
            let mean = truth * pods;
            // As noisy as Poisson.
            Busy { second, pods, requests: (mean + chance.normal() * mean.sqrt()).max(0.0).round() }
        });
        let busy = busy.collect();
        let capacities = learnt(&[AtWork { busy, service_s: 0.05, ..AtWork::default() }]);
        let of = capacities.of("store").unwrap();
        within += usize::from((of.per_pod_per_s / truth).ln().abs() < 1.645 * of.spread());
    }
    assert!(within * 100 >= all * 85, "{within} of {all}");
}

#[test]
fn need_grows_with_load_and_falls_with_capacity() {
    let mut before = Need { low: 0, likely: 0, replicas: 0 };
    let capacities = learnt(&[at_work(0..5, 2.0, 70.0)]);
    for load in 1..2_000 {
        let now = need(&capacities, f64::from(load));
        assert!(now.replicas >= before.replicas && now.low >= before.low && now.likely >= before.likely);
        assert!(now.low <= now.replicas && now.likely <= now.replicas);
        before = now;
    }
    let of = |per_pod: f64| need(&learnt(&[at_work(0..5, 2.0, per_pod)]), 700.0).replicas;
    assert!((10..200).all(|per_pod| of(f64::from(per_pod)) >= of(f64::from(per_pod + 1))));
}

#[test]
fn doubt_lowers_what_is_sure_and_hardly_raises_what_is_ordered() {
    let capacities = learnt(&[at_work(0..5, 2.0, 70.0)]);
    let sure = need(&capacities, 700.0);
    let load = Interval { low: 350.0, middle: 700.0, high: 1_400.0 };
    let doubtful = capacities.need("store", load, 0.8).unwrap();
    assert!(doubtful.low < sure.low);
    assert!((sure.replicas..=sure.replicas + 3).contains(&doubtful.replicas), "{sure:?} {doubtful:?}");
}

#[test]
fn a_pod_that_did_more_can_do_more() {
    let mut slow = at_work(0..3, 2.0, 1.2);
    slow.at_least_per_s = 60.0;
    assert_eq!(learnt(&[slow]).per_pod("store"), Some(60.0));
}

#[test]
fn ten_seconds_on_what_was_is_forgotten() {
    let capacities = learnt(&[at_work(0..30, 2.0, 70.0), at_work(30..60, 2.0, 35.0)]);
    let per_pod = capacities.per_pod("store").unwrap();
    assert!((35.0..38.0).contains(&per_pod), "{per_pod}");
}

#[test]
fn a_snapshot_of_before_is_read() {
    let old: Capacity = serde_json::from_str(r#"{"per_pod_per_s": 70.0, "service_s": 0.05}"#).unwrap();
    assert_eq!(old, Capacity { per_pod_per_s: 70.0, service_s: 0.05, pod_seconds: POD_SECONDS_UNTOLD });
    let mut learnt = Learnt::default();
    learnt.services.entry("store".into()).or_default().capacity = Some(old);
    let mut capacities = Capacities::default();
    capacities.restore(&learnt);
    // Ten would do if the old figure were exact; it says nothing of how sure it was.
    assert_eq!(need(&capacities, 560.0).replicas, 11);
    let mut again = Learnt::default();
    capacities.keep(&mut again);
    assert_eq!(again.services["store"].capacity, Some(old));
}

#[test]
fn what_no_pod_can_sustain_is_not_restored() {
    for broken in [(0.0, 0.05, 1.0), (70.0, f64::NAN, 1.0), (f64::INFINITY, 0.05, 1.0), (70.0, 0.05, -1.0)] {
        let (per_pod_per_s, service_s, pod_seconds) = broken;
        let mut learnt = Learnt::default();
        learnt.services.entry("store".into()).or_default().capacity =
            Some(Capacity { per_pod_per_s, service_s, pod_seconds });
        let mut capacities = Capacities::default();
        capacities.restore(&learnt);
        assert_eq!(capacities.need("store", Interval::exactly(9.0), 0.8), None, "{broken:?}");
    }
}

#[test]
fn the_quantile_to_order_is_near_the_median() {
    let quantile = quantile_to_order();
    assert!((0.6..0.7).contains(&quantile), "{quantile}");
    assert!((deviations(0.54) - 0.1004).abs() < 0.001 && deviations(0.5) == 0.0);
    assert!((deviations(quantile) - 0.4307).abs() < 0.01, "two of three");
}

#[test]
fn pods_that_are_busy_do_no_more_than_they_answer() {
    let guess = AtWork { at_least_per_s: 59.0, service_s: 0.05, ..AtWork::default() };
    let busy = AtWork { at_most_per_s: Some(27.0), ..guess.clone() };
    assert_eq!(learnt(&[guess, busy]).per_pod("store"), Some(27.0));
}
