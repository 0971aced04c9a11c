//! One system, told in a sentence each: what happens at its back end, and what is said of it.

use super::*;
use crate::analyse::diagnosis::arrival_rate::Arrivals;
use crate::analyse::diagnosis::pod_health::PodHealth;
use crate::analyse::learned::quarantine::Released;
use crate::analyse::rollup::by_hand::Rows;
use crate::analyse::rollup::window_totals::{EdgeAnswer, PodAnswer};
use crate::analyse::rollup::{EdgeKey, EdgeSums, HealthKey, HealthSums, OperationKey, OperationSums, Sums};
use crate::analyse::statistics::interval::Interval;

const ENTRY: &str = "front GET /";
/// Over which `now` is told.
const SECONDS: f64 = 3.0;
/// `back` takes as much of its own in healthy time, and waits as long for its database.
const OWN_MS: f64 = 10.0;
const DB_MS: f64 = 5.0;

/// `front` asks `back` once a request, `back` its database once; `back` has two pods.
#[derive(Clone, Copy)]
struct World {
    requests_per_s: f64,
    calls_for_each: f64,
    /// Own time and version of the two pods of `back`.
    own_ms: [f64; 2],
    versions: [&'static str; 2],
    waiting_ms: f64,
    db_ms: f64,
    db_calls: f64,
    /// Calls of `back` that nobody answers.
    lost_per_s: f64,
    /// The pods that serve, of two that are ready, and those of a new ReplicaSet.
    serving: usize,
    new: usize,
    /// The kind of blame, at `back`, and how much of it.
    blame: &'static str,
    blame_ms: f64,
}

const HEALTHY: World = World {
    requests_per_s: 100.0,
    calls_for_each: 1.0,
    own_ms: [OWN_MS; 2],
    versions: ["1"; 2],
    waiting_ms: 0.5,
    db_ms: DB_MS,
    db_calls: 1.0,
    lost_per_s: 0.0,
    serving: 2,
    new: 0,
    blame: "own",
    blame_ms: 1.0,
};

#[derive(Default)]
struct Healthy {
    baseline: Baseline,
    operations: Operations,
}

fn ns(ms: f64) -> i64 {
    (ms * 1e6) as i64
}

impl World {
    fn pods(&self, seconds: f64) -> Vec<PodAnswer> {
        let calls = self.requests_per_s * self.calls_for_each * seconds / 2.0;
        let pod = |index: usize| {
            let hold_ms = self.own_ms[index] + self.db_ms * self.db_calls;
            let sums = HealthSums {
                requests: calls as i64,
                hold_ns: ns(hold_ms * calls),
                own_ns: ns(self.own_ms[index] * calls),
                wait_ns: ns(self.waiting_ms * calls),
                compared_own_ns: ns(self.own_ms[index] * calls),
                expected_own_ns: ns(OWN_MS * calls),
                expected_callees_ns: ns(DB_MS * calls),
                ..HealthSums::default()
            };
            PodAnswer { pod: format!("back-{index}").into(), version: self.versions[index].into(), sums }
        };
        (2 - self.serving..2).map(pod).collect()
    }

    fn pod_health(&self) -> PodHealth {
        let pods = |indices: std::ops::Range<usize>| indices.map(|index| format!("back-{index}").into()).collect();
        PodHealth {
            unresponsive: pods(0..2 - self.serving),
            new_revision: pods(0..self.new),
            ready: 2,
            ..PodHealth::default()
        }
    }

    fn edges(&self, seconds: f64) -> [(&'static str, &'static str, EdgeSums); 2] {
        let edge = |made: f64, expected: f64, ms: f64| EdgeSums {
            calls: made as i64,
            caller_ns: ns(made * ms),
            expected_milli: (expected * 1e3) as i64,
            ..EdgeSums::default()
        };
        let requests = self.requests_per_s * seconds;
        let calls = requests * self.calls_for_each;
        let back_ms = self.own_ms[0] + self.db_ms * self.db_calls + self.waiting_ms;
        [
            ("front", "back", edge(calls, requests, back_ms)),
            ("back", "db", edge(calls * self.db_calls, calls, self.db_ms)),
        ]
    }

    fn rows(&self, second: i64) -> Rows {
        let mut rows = Rows::default();
        for pod in self.pods(1.0) {
            let (service, operation): (Text, Text) = ("back".into(), "op".into());
            let key = HealthKey { second, service: service.clone(), pod: pod.pod, version: pod.version };
            Rows::add(&mut rows.health, key, pod.sums);
            let HealthSums { requests, own_ns, hold_ns, .. } = pod.sums;
            let sums = OperationSums { requests, own_ns, callees_ns: hold_ns - own_ns, ..OperationSums::default() };
            let version = "1".into();
            Rows::add(&mut rows.operations, OperationKey { second, service, version, operation }, sums);
        }
        let requests = self.requests_per_s as i64;
        let (service, operation): (Text, Text) = ("front".into(), "op".into());
        let key = HealthKey { second, service: service.clone(), pod: "front-0".into(), version: "1".into() };
        Rows::add(&mut rows.health, key, HealthSums { requests, ..HealthSums::default() });
        let sums = OperationSums { requests, ..OperationSums::default() };
        let version = || Text::from("1");
        Rows::add(&mut rows.operations, OperationKey { second, service, version: version(), operation }, sums);
        for (caller, callee, sums) in self.edges(1.0) {
            let (caller, operation, callee) = (caller.into(), "op".into(), callee.into());
            let key = EdgeKey { second, caller, version: version(), operation, callee, answered: true };
            Rows::add(&mut rows.edges, key, sums);
        }
        rows
    }

    /// What is said after a minute of healthy time.
    fn judged(&self) -> Judgement {
        self.judged_against(&World::learned(), &[])
    }

    fn learned() -> Healthy {
        let mut healthy = Healthy::default();
        for second in 0..60 {
            let rollups = vec![HEALTHY.rows(second).tables()];
            let released = Released { rollups, tainted: BTreeSet::new() };
            healthy.baseline.learn(&released);
            healthy.operations.learn(&released);
        }
        healthy
    }

    /// `held`: services whose queue may be from when a callee was slow.
    fn judged_against(&self, healthy: &Healthy, held: &[&str]) -> Judgement {
        let mut answers = Answers::default();
        for (caller, callee, sums) in self.edges(SECONDS) {
            let (version, operation, callee) = ("1".into(), "op".into(), callee.into());
            let edge = EdgeAnswer { version, operation, callee, answered: true, sums };
            answers.edges.entry(caller.into()).or_default().push(edge);
        }
        answers.blame = vec![BlameAnswer {
            entry: ENTRY.into(),
            service: "back".into(),
            operation: "op".into(),
            peer: if self.blame == "peer" { "db".into() } else { "".into() },
            kind: PathKind::parse(self.blame).expect("a kind"),
            blame_ns: ns(self.blame_ms),
        }];
        let pods = self.pods(SECONDS);
        let mut sums = HealthSums::default();
        pods.iter().for_each(|pod| sums.merge(&pod.sums));
        sums.gave_up = (self.lost_per_s * SECONDS) as i64;
        let rate = self.requests_per_s * self.calls_for_each;
        let arrivals = Arrivals {
            throughput_per_s: rate,
            counted_per_s: rate,
            counted: rate * SECONDS,
            per_s: Interval::exactly(rate),
            stretch_s: SECONDS,
            ..Arrivals::default()
        };
        let held = held.iter().map(|service| Text::from(*service)).collect();
        let now = BTreeMap::from([(
            "back".into(),
            ServiceState { sums, pods: &pods, arrivals, pod_health: self.pod_health() },
        )]);
        let Healthy { baseline, operations } = healthy;
        let attribution = Attribution { answers: &answers, baseline, operations, now: &now, held };
        attribution.judge(ENTRY).expect("there is blame")
    }
}

#[track_caller]
fn check(world: World, verdict: Verdict) -> Judgement {
    let judgement = world.judged();
    assert_eq!((&*judgement.service, judgement.verdict), ("back", verdict), "{judgement:?}");
    judgement
}

#[test]
fn more_load_that_waits_is_saturation() {
    let burst = World { requests_per_s: 250.0, waiting_ms: 80.0, blame: "queue", ..HEALTHY };
    assert!(check(burst, Verdict::Saturated).at_limit);
    // Runtimes that queue inside their server span.
    check(World { requests_per_s: 250.0, own_ms: [90.0; 2], ..HEALTHY }, Verdict::Saturated);
}

#[test]
fn the_same_load_served_more_slowly_is_degraded() {
    check(World { own_ms: [40.0; 2], ..HEALTHY }, Verdict::Degraded);
    check(World { own_ms: [40.0; 2], waiting_ms: 80.0, blame: "queue", ..HEALTHY }, Verdict::Degraded);
}

#[test]
fn a_new_version_that_is_slow_at_the_old_load_is_a_regression() {
    let rolled_out = check(World { own_ms: [30.0; 2], versions: ["2"; 2], ..HEALTHY }, Verdict::Regression);
    assert_eq!(rolled_out.version.as_deref(), Some("2"));
    // Its first pod is the only slow one: no bad pod among siblings.
    let first = check(World { own_ms: [10.0, 50.0], versions: ["1", "2"], ..HEALTHY }, Verdict::Regression);
    assert_eq!(first.pod, None);
    // A new version as fast as the old one is none, whatever holds requests back.
    check(World { versions: ["2"; 2], ..HEALTHY }, Verdict::Unknown);
}

#[test]
fn one_pod_far_from_its_siblings_is_a_bad_instance() {
    let bad = check(World { own_ms: [10.0, 50.0], ..HEALTHY }, Verdict::BadInstance);
    assert_eq!(bad.pod.as_deref(), Some("back-1"));
}

#[test]
fn a_bad_pod_shows_in_requests_that_missed_nothing_or_in_one_alone() {
    let bad = World { own_ms: [10.0, 50.0], ..HEALTHY };
    assert!(bad.judged().shown_beside, "a hundred and fifty are slow");
    // All that it took longer, the requests that missed took.
    let slow_once = World { blame_ms: 40.0 * 150.0, ..bad };
    assert!(!check(slow_once, Verdict::BadInstance).shown_beside);
}

#[test]
fn a_pod_that_does_not_answer_is_missed_at_roll_call() {
    let hung = World { serving: 1, lost_per_s: 20.0, blame: "gave_up", ..HEALTHY };
    assert_eq!(check(hung, Verdict::BadInstance).pod.as_deref(), Some("back-0"));
    // One that nobody asked, and that lost no call, may be silent.
    check(World { lost_per_s: 0.0, blame: "queue", ..hung }, Verdict::Unknown);
    // Its sibling waits for the database, and it may do so too.
    check(World { db_ms: 300.0, ..hung }, Verdict::SlowDependency);
    // Its ReplicaSet is new, and the old one serves: the next pod will hang as well.
    check(World { new: 1, ..hung }, Verdict::Regression);
    check(World { serving: 0, new: 2, ..hung }, Verdict::Regression);
}

#[test]
fn a_release_that_slows_requests_more_than_they_grew_is_a_regression() {
    let slow = World { own_ms: [40.0; 2], versions: ["2"; 2], requests_per_s: 200.0, blame: "queue", ..HEALTHY };
    check(slow, Verdict::Regression);
    check(World { requests_per_s: 500.0, ..slow }, Verdict::Saturated);
}

#[test]
fn a_place_that_serves_each_call_as_ever_points_to_who_asks_more() {
    // The blame is at the database's caller, which is asked six times as often and takes no longer.
    let often = World { calls_for_each: 6.0, requests_per_s: 20.0, ..HEALTHY };
    assert_eq!(check(often, Verdict::Amplification).caller.as_deref(), Some("front"));
}

#[test]
fn more_calls_for_the_same_requests_are_amplification() {
    let fan_out = World { calls_for_each: 6.0, waiting_ms: 80.0, blame: "queue", ..HEALTHY };
    let judgement = check(fan_out, Verdict::Amplification);
    assert_eq!(judgement.caller.as_deref(), Some("front"));
    assert!(judgement.at_limit);
    // It has room for them, and takes its time six times.
    assert!(!check(World { waiting_ms: 0.5, blame: "own", ..fan_out }, Verdict::Amplification).at_limit);
    // Where the requests themselves are too many, a few retries do not change what helps.
    let both = World { requests_per_s: 400.0, calls_for_each: 1.6, ..fan_out };
    assert_eq!(check(both, Verdict::Saturated).caller.as_deref(), Some("front"));
}

#[test]
fn a_callee_without_spans_is_slow_or_asked_too_often() {
    let slow = check(World { db_ms: 60.0, blame: "peer", ..HEALTHY }, Verdict::SlowDependency);
    assert_eq!(slow.peer.as_deref(), Some("db"));
    let often = check(World { db_calls: 10.0, blame: "peer", ..HEALTHY }, Verdict::Amplification);
    assert_eq!((often.peer.as_deref(), often.caller.as_deref()), (Some("db"), Some("back")));
}

#[test]
fn a_queue_in_front_of_workers_that_a_slow_callee_holds_is_the_callees_fault() {
    let held = World { db_ms: 80.0, waiting_ms: 300.0, blame: "queue", ..HEALTHY };
    assert_eq!(check(held, Verdict::SlowDependency).peer.as_deref(), Some("db"));
}

#[test]
fn where_most_callers_gave_up_what_was_answered_tells_whose_fault_it_is() {
    let held = World { requests_per_s: 20.0, lost_per_s: 200.0, db_ms: 300.0, blame: "gave_up", ..HEALTHY };
    assert_eq!(check(held, Verdict::SlowDependency).peer.as_deref(), Some("db"));
    let own = World { requests_per_s: 150.0, lost_per_s: 200.0, waiting_ms: 900.0, blame: "gave_up", ..HEALTHY };
    check(own, Verdict::Saturated);
    // Of the few that were answered, those of one pod took long: they are the few that were not given up.
    check(World { own_ms: [10.0, 50.0], ..own }, Verdict::Saturated);
}

#[test]
fn a_queue_from_when_a_callee_was_slow_is_worked_off() {
    let late = World { requests_per_s: 250.0, waiting_ms: 300.0, blame: "queue", ..HEALTHY };
    let judged = |held: &[&str]| late.judged_against(&World::learned(), held).verdict;
    assert_eq!(judged(&[]), Verdict::Saturated);
    assert_eq!(judged(&["back"]), Verdict::Unknown);
}

#[test]
fn errors_that_begin_here_are_failing() {
    check(World { blame: "error", own_ms: [5.0; 2], ..HEALTHY }, Verdict::Failing);
}

#[test]
fn without_healthy_time_only_what_the_window_shows_is_said() {
    let waiting = World { requests_per_s: 250.0, waiting_ms: 80.0, blame: "queue", ..HEALTHY };
    assert_eq!(waiting.judged_against(&Healthy::default(), &[]).verdict, Verdict::Saturated);
    let held = World { db_ms: 80.0, ..waiting };
    assert_eq!(held.judged_against(&Healthy::default(), &[]).verdict, Verdict::Unknown);
}
