//! Systems by hand: what is told of an endpoint, second after second.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::analyse::diagnosis::causes::Kind;
use crate::analyse::diagnosis::graph::Graph;
use crate::analyse::diagnosis::observe::Shown;
use crate::analyse::diagnosis::observed::{
    Blame, BlameKind, Calls, Endpoint, Growth, Here, Observed, Part, Pod, Times,
};
use crate::analyse::diagnosis::signs::Signs;
use crate::model::Text;

/// gateway calls shop, shop calls stock and the database without spans.
const CALLS: [(&str, &str); 4] = [("gateway", "shop"), ("shop", "stock"), ("shop", "db"), ("stock", "stock-db")];

fn times(factor: f64) -> Option<Growth> {
    Some(Growth { log: f64::ln(factor), variance: 0.01 })
}

fn part(now: f64, all: f64) -> Part {
    Part { now, all, healthy: 0.0, healthy_all: 1_000.0 }
}

/// What a second shows: everything as ever, until it is changed.
#[derive(Clone)]
struct Second {
    observed: Observed,
    blame: Vec<Blame>,
}

impl Second {
    fn healthy() -> Second {
        let here = Here {
            times: Times { own: times(1.0), own_mean: times(1.0), wait: times(1.0) },
            load: times(1.0),
            own_share: 1.0,
            refused: part(0.0, 100.0),
            vain: part(0.0, 100.0),
            errors: part(0.0, 100.0),
            ..Here::default()
        };
        let services = ["gateway", "shop", "stock"].map(|name| (Text::from(name), here.clone()));
        let calls = CALLS.map(|(caller, callee)| {
            let is_peer = callee.ends_with("db");
            let failed = part(0.0, 100.0);
            let calls = Calls { is_peer, longer: times(1.0), failed, untaken: 0.0, more: times(1.0) };
            ((Text::from(caller), Text::from(callee)), calls)
        });
        Second { observed: Observed { services: services.into(), calls: calls.into() }, blame: Vec::new() }
    }

    fn at(mut self, service: &str, change: impl Fn(&mut Here)) -> Second {
        change(self.observed.services.get_mut(service).expect("a service of the system"));
        self
    }

    /// Calls to somebody take so many times as long.
    fn longer(mut self, callee: &str, factor: f64) -> Second {
        let calls = self.observed.calls.iter_mut().filter(|((_, to), _)| **to == *callee);
        calls.for_each(|(_, calls)| calls.longer = times(factor));
        self
    }

    fn failing(mut self, callee: &str, failed: f64) -> Second {
        let calls = self.observed.calls.iter_mut().filter(|((_, to), _)| **to == *callee);
        calls.for_each(|(_, calls)| (calls.failed, calls.untaken) = (part(failed, 100.0), failed));
        self
    }

    /// Nobody calls it, and nothing is known of it.
    fn silent(mut self, callee: &str) -> Second {
        self.observed.services.remove(callee);
        self.observed.calls.retain(|(_, to), _| **to != *callee);
        self
    }

    fn blamed(mut self, rows: &[(&str, Option<&str>, BlameKind, f64)]) -> Second {
        let row = |&(service, peer, kind, share): &(&str, Option<&str>, BlameKind, f64)| Blame {
            service: service.into(),
            peer: peer.map(Text::from),
            kind,
            share,
        };
        self.blame = rows.iter().map(row).collect();
        self
    }

    fn shown(&self) -> (Shown, Endpoint) {
        let graph = Graph::new(CALLS.map(|(caller, callee)| (Text::from(caller), Text::from(callee))));
        let observed = self.observed.clone();
        let crossed = ["gateway", "shop", "stock"].map(Text::from).into();
        let endpoint = Endpoint { crossed, missed: 20.0, blame: self.blame.clone() };
        (Shown { signs: Signs::of(&observed), observed, graph }, endpoint)
    }
}

fn after(course: &Course, second: &Second, weight: f64) -> (Course, Vec<(String, Kind)>) {
    let (shown, endpoint) = second.shown();
    let scene = Scene::new(&shown, &endpoint);
    let course = course.after(&scene, weight);
    let told = course.told(&scene).into_iter().map(|told| (told.cause.place.to_string(), told.cause.kind));
    (course.clone(), told.collect())
}

/// Told after each of these seconds, each so often.
fn course_of(seconds: &[(&Second, usize)]) -> Vec<Vec<(String, Kind)>> {
    let (mut course, mut all) = (Course::default(), Vec::new());
    for second in seconds.iter().flat_map(|(second, times)| std::iter::repeat_n(*second, *times)) {
        let weight = if all.is_empty() { 1.0 } else { 1.0 / 3.0 };
        let (next, told) = after(&course, second, weight);
        course = next;
        all.push(told);
    }
    all
}

fn one(place: &str, kind: Kind) -> Vec<(String, Kind)> {
    vec![(place.to_owned(), kind)]
}

fn slow(factor: f64) -> impl Fn(&mut Here) {
    move |here| here.times = Times { own: times(factor), own_mean: times(factor), wait: times(1.0) }
}

fn queue(factor: f64) -> impl Fn(&mut Here) {
    move |here| here.times.wait = times(factor)
}

/// The database is slow, and the queue reaches up to the gateway's callee.
fn slow_database() -> Second {
    let second = Second::healthy().longer("db", 30.0).longer("shop", 20.0).at("shop", |here| {
        here.times.wait = times(10.0);
        here.own_share = 0.1;
    });
    second.blamed(&[("shop", Some("db"), BlameKind::Peer, 0.4), ("shop", None, BlameKind::NoRoom, 0.6)])
}

/// More than the stock can do.
fn burst(load: f64) -> Second {
    let second = Second::healthy().longer("shop", 8.0).longer("stock", 12.0).at("stock", |here| {
        here.times.wait = times(20.0);
        here.load = times(load);
    });
    second.blamed(&[("stock", None, BlameKind::NoRoom, 1.0)])
}

#[test]
fn a_slow_callee_explains_the_queue_of_whoever_waits_for_it() {
    let told = course_of(&[(&slow_database(), 1)]);
    assert_eq!(told[0], one("db", Kind::SlowPeer));
}

#[test]
fn it_stays_the_cause_when_its_callers_give_up_and_nobody_comes_to_it_any_more() {
    let given_up = Second::healthy().silent("db").silent("stock").silent("stock-db").longer("shop", 60.0);
    let given_up = given_up.failing("shop", 100.0).at("shop", |here| {
        here.vain = part(100.0, 100.0);
        here.is_gone = true;
        here.times.wait = times(60.0);
    });
    let given_up = given_up.blamed(&[("shop", None, BlameKind::NoRoom, 1.0)]);
    let told = course_of(&[(&slow_database(), 3), (&given_up, 300)]);
    assert!(told.iter().all(|told| *told == one("db", Kind::SlowPeer)), "{told:?}");
    // Seen for the first time, it is the place that does not answer.
    assert_eq!(course_of(&[(&given_up, 3)])[2], one("shop", Kind::Unreachable));
}

#[test]
fn too_much_load_is_told_from_slow_work_by_what_was_counted() {
    assert_eq!(course_of(&[(&burst(3.0), 3)])[2], one("stock", Kind::Saturated));
    assert_eq!(course_of(&[(&burst(1.0), 3)])[2], one("stock", Kind::Degraded));
    let between = course_of(&[(&burst(1.25), 1)]);
    assert!(between[0].is_empty() || between[0][0].0 == "stock", "{between:?}");
}

#[test]
fn the_first_second_of_a_burst_is_mostly_healthy_and_the_next_ones_correct_what_it_told() {
    // As seen of a real shop: of three seconds one was of the burst, then two, then all.
    let began = burst(1.27).at("stock", |here| {
        here.times.wait = times(3.2);
        here.own_share = 0.79;
    });
    let grows = |wait: f64, share: f64| {
        burst(2.0).at("stock", move |here| {
            here.times.wait = times(wait);
            here.own_share = share;
            here.queue_grows = true;
        })
    };
    let told = course_of(&[(&began, 1), (&grows(10.0, 1.56), 1), (&grows(18.0, 1.35), 1), (&grows(31.0, 1.52), 20)]);
    assert!(told.iter().all(|told| told.iter().all(|(place, _)| place == "stock")), "{told:?}");
    assert!(told.iter().skip(2).all(|told| *told == one("stock", Kind::Saturated)), "{told:?}");
}

#[test]
fn who_turns_requests_away_at_the_door_need_not_be_slow() {
    let full = Second::healthy().at("gateway", |here| {
        here.load = times(4.0);
        here.refused = part(30.0, 100.0);
    });
    let full = full.blamed(&[("gateway", None, BlameKind::NoRoom, 1.0)]);
    assert_eq!(course_of(&[(&full, 2)])[1], one("gateway", Kind::Saturated));
}

#[test]
fn a_queue_that_is_worked_off_keeps_its_name() {
    let over = burst(1.0).at("stock", |here| here.times.wait = times(6.0));
    let told = course_of(&[(&burst(3.0), 20), (&over, 30)]);
    assert!(told.iter().skip(2).all(|told| *told == one("stock", Kind::Saturated)), "{told:?}");
}

#[test]
fn one_pod_is_told_from_all_of_them_by_its_siblings() {
    let pods = |slow: f64, others: f64| {
        move |here: &mut Here| {
            here.times = Times { own: times(4.0), own_mean: times(6.0), wait: times(1.0) };
            here.others = Some(Times { own: times(others), own_mean: times(others), wait: times(1.0) });
            let pod = |(pod, slower): (&str, f64)| Pod {
                pod: pod.into(),
                new_version: None,
                compared: 30.0,
                slower: times(slower),
                siblings: times(others),
                missing: 0.0,
            };
            here.pods = [("a", slow), ("b", 0.5), ("c", 0.5)].map(pod).into();
        }
    };
    let blame = [("stock", None, BlameKind::Own, 1.0)];
    let second = |slow, others| Second::healthy().longer("stock", 4.0).at("stock", pods(slow, others)).blamed(&blame);
    assert_eq!(course_of(&[(&second(20.0, 1.0), 3)])[2], one("stock", Kind::BadInstance("a".into())));
    assert_eq!(course_of(&[(&second(1.2, 6.0), 3)])[2], one("stock", Kind::Degraded));
}

#[test]
fn what_no_sign_speaks_for_is_not_known() {
    let told = course_of(&[(&Second::healthy().blamed(&[("gateway", None, BlameKind::Own, 1.0)]), 20)]);
    assert!(told.iter().all(Vec::is_empty), "{told:?}");
}

#[test]
fn one_odd_second_changes_nothing() {
    let odd = Second::healthy().longer("stock", 30.0).at("stock", slow(30.0));
    let odd = odd.blamed(&[("stock", None, BlameKind::Own, 1.0)]);
    let told = course_of(&[(&slow_database(), 10), (&odd, 1), (&slow_database(), 10)]);
    assert!(told.iter().all(|told| *told == one("db", Kind::SlowPeer)), "{told:?}");
    let told = course_of(&[(&slow_database(), 10), (&odd, 15)]);
    assert_eq!(told[24], one("stock", Kind::Degraded), "what lasts is told");
}

#[test]
fn two_causes_are_told_where_one_cannot_explain_what_is_seen() {
    let both = slow_database().longer("stock", 25.0).at("stock", slow(25.0));
    let both = both.blamed(&[
        ("shop", Some("db"), BlameKind::Peer, 0.5),
        ("stock", None, BlameKind::Own, 0.4),
        ("shop", None, BlameKind::NoRoom, 0.1),
    ]);
    let told = course_of(&[(&both, 10)]);
    let mut last = told[9].clone();
    last.sort();
    assert_eq!(last, [("db".to_owned(), Kind::SlowPeer), ("stock".to_owned(), Kind::Degraded)]);
}

proptest! {
    #[test]
    fn chances_are_probabilities_whatever_is_seen(
        logs in proptest::collection::vec(-9.0..9.0_f64, 6),
        failed in 0.0..100.0_f64,
        steps in 1_usize..20,
    ) {
        let second = Second::healthy().longer("db", logs[0].exp()).longer("stock", logs[1].exp()).failing("shop", failed);
        let second = second.at("stock", queue(logs[2].exp())).at("shop", |here| {
            here.load = Some(Growth { log: logs[3], variance: 0.1 });
            here.own_share = logs[4].exp();
            here.vain = part(failed, 100.0);
        });
        let second = second.blamed(&[("shop", None, BlameKind::NoRoom, 1.0)]);
        let (shown, endpoint) = second.shown();
        let scene = Scene::new(&shown, &endpoint);
        let mut belief = Belief::default();
        for _ in 0..steps {
            belief = belief.after(&scene, 0.4, None);
            let chances: BTreeMap<Cause, f64> = belief.chances();
            let sum: f64 = chances.values().sum::<f64>() + belief.unknown.exp();
            prop_assert!((0.999..=1.001).contains(&sum), "{sum}");
            prop_assert!(chances.values().all(|chance| (0.0..=1.0 + 1e-9).contains(chance)));
        }
    }
}
