//! A day with bells, told and seen.

use super::*;
use crate::analyse::{Carries, EntryFinding, ServiceDemand, ServiceFinding};
use crate::model::{Origin, Workload};
use crate::schedule::kinds::Load;

const NINE: Time = Time::from_secs(1_796_029_200); // 2026-11-30T09:00Z

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct World {
    planner: Planner,
    now: Time,
    /// Logins a second, and the replicas that run.
    rate: f64,
    replicas: u32,
    blind: bool,
    told: Vec<(f64, Vec<Floor>)>,
}

fn demand() -> Demand {
    let auth = ServiceDemand { usual: 2.0, carries: Some(Carries::AtLimit(4.0)), start_s: Some(20.0) };
    Demand {
        services: [("auth".to_owned(), auth)].into(),
        entries: [("ingress POST /login".to_owned(), [("auth".to_owned(), 0.2)].into())].into(),
        utilisation: 0.8,
    }
}

fn exam(loads: Vec<Load>) -> Kind {
    Kind { name: "exam".into(), loads, early: secs(60), ..Kind::default() }
}

fn a_hundred_a_replica() -> Vec<Load> {
    vec![Load::Service { service: "auth".into(), per_replica: 100.0 }]
}

fn event(id: &str, starts: Time, participants: u32) -> Planned {
    Planned {
        id: id.into(),
        source: "lectures".into(),
        title: id.into(),
        categories: vec!["exam".into()],
        starts,
        ends: starts + secs(3_600),
        participants: Some(participants),
        ..Planned::default()
    }
}

impl World {
    /// Half an hour before nine, after two minutes of ordinary traffic.
    fn new(kinds: Vec<Kind>, settings: Settings) -> World {
        let mut planner = Planner::new(settings, kinds, &["lectures", "registrar"]);
        planner.learn(demand());
        let mut world =
            World { planner, now: NINE - secs(1_800), rate: 10.0, replicas: 1, blind: false, told: Vec::new() };
        world.hear(vec![]);
        world.planner.hear("registrar", vec![], vec![]);
        world.run(120);
        world.told.clear();
        world
    }

    fn hear(&mut self, events: Vec<Planned>) {
        self.planner.hear("lectures", events, Vec::new());
    }

    fn findings(&self) -> Findings {
        let entry = EntryFinding {
            entry: "ingress POST /login".into(),
            requests: (self.rate * 3.0) as u64,
            requests_per_s: self.rate,
            p50_ms: 50.0,
            p99_ms: 90.0,
            objective_ms: 500.0,
            missed_share: 0.0,
            error_share: 0.0,
            missed: false,
            remote_parent_share: 0.0,
            compliance: Default::default(),
            work: Default::default(),
        };
        let service = ServiceFinding {
            service: "auth".into(),
            throughput_per_s: self.rate,
            arrivals_per_s: self.rate,
            error_share: 0.0,
            p99_ms: 60.0,
            waiting_ms: 0.0,
            own_time_ms: 50.0,
            concurrency_per_pod: self.rate * 0.2 / f64::from(self.replicas),
            capacity_per_pod_per_s: None,
            replicas: self.replicas,
            ready: self.replicas,
            replicas_needed: None,
            objective_missed: false,
            low_traffic: false,
            pod_start_s: Some(20.0),
        };
        Findings { blind: self.blind, entries: vec![entry], services: vec![service], ..Findings::blind(self.now) }
    }

    /// So many seconds; the cluster follows the floors at once.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + secs(1);
            let workloads = vec![Workload { service: "auth".into(), replicas: self.replicas, ..Workload::default() }];
            let cluster = ClusterState { at: self.now, workloads };
            let findings = self.findings();
            if let Some(floors) = self.planner.tick(self.now, &findings, &cluster) {
                self.told.push((self.now.seconds_since(NINE), floors));
            }
            self.replicas = self.held().max(1);
        }
    }

    /// What is held now.
    fn held(&self) -> u32 {
        let floors = self.planner.floors.iter().filter(|floor| floor.from <= self.now && self.now < floor.until);
        floors.map(|floor| floor.replicas).max().unwrap_or(0)
    }

    fn run_to(&mut self, t_s: f64) {
        self.run((t_s - self.now.seconds_since(NINE)).round() as u64);
    }
}

#[test]
fn a_floor_is_told_once_and_held_from_a_start_before_the_first_come_to_the_end() {
    let mut world = World::new(vec![exam(a_hundred_a_replica())], Settings::default());
    world.hear(vec![event("algebra", NINE, 300)]);
    world.run(1);
    let (_, floors) = &world.told[0];
    assert_eq!(floors.len(), 1);
    assert_eq!((&floors[0].origin, floors[0].replicas), (&Origin::Schedule("algebra".into()), 4));
    world.run_to(-111.0);
    assert_eq!(world.held(), 0);
    world.run_to(-109.0);
    assert_eq!(world.held(), 4, "60 s early, 20 s start, 30 s margin");
    world.rate = 40.0;
    world.run_to(3_599.0);
    assert_eq!(world.held(), 4, "what the load is meanwhile moves nothing");
    world.run_to(3_601.0);
    assert_eq!(world.held(), 0);
    assert_eq!(world.told.len(), 2, "{:?}", world.told);
}

#[test]
fn a_cancelled_event_gives_back_at_the_next_tick_and_a_moved_one_takes_its_capacity_along() {
    let mut world = World::new(vec![exam(a_hundred_a_replica())], Settings::default());
    world.hear(vec![event("algebra", NINE, 300), event("logic", NINE, 200)]);
    world.run_to(-60.0);
    assert_eq!(world.held(), 6);
    let moved = Planned { revision: 1, ..event("logic", NINE + secs(1_800), 200) };
    let cancelled = Planned { cancelled: true, revision: 1, ..event("algebra", NINE, 300) };
    world.hear(vec![cancelled, moved]);
    world.run(1);
    assert_eq!(world.held(), 0);
    world.run_to(1_800.0 - 100.0);
    assert_eq!(world.held(), 3);
}

#[test]
fn whoever_does_not_come_within_the_grace_gives_back_and_whoever_comes_late_within_it_does_not() {
    let settings = || Settings { grace: secs(600), ..Settings::default() };
    for (comes_at, held_after) in [(None, 0), (Some(500.0), 4)] {
        let mut world = World::new(vec![exam(a_hundred_a_replica())], settings());
        world.hear(vec![event("algebra", NINE, 300)]);
        if let Some(t_s) = comes_at {
            world.run_to(t_s);
            world.rate = 30.0;
        }
        world.run_to(599.0);
        assert_eq!(world.held(), 4);
        world.run_to(602.0);
        assert_eq!(world.held(), held_after, "{comes_at:?}");
        world.run_to(900.0);
        assert_eq!(world.held(), held_after, "{comes_at:?}");
        let notes = &world.planner.plan().events[0].notes;
        assert_eq!(notes.iter().any(|note| note.contains("nobody came")), comes_at.is_none(), "{notes:?}");
    }
}

#[test]
fn blindness_takes_nothing_back_and_a_source_that_falls_silent_neither() {
    let mut world = World::new(vec![exam(a_hundred_a_replica())], Settings { grace: secs(600), ..Settings::default() });
    world.hear(vec![event("algebra", NINE, 300)]);
    world.run_to(-30.0);
    world.blind = true;
    world.run_to(1_200.0);
    assert_eq!(world.held(), 4, "who was not looked for may have come unseen");
}

#[test]
fn what_participants_load_is_learnt_and_serves_the_next_event_of_the_kind() {
    let mut world = World::new(vec![exam(vec![])], Settings::default());
    world.hear(vec![event("algebra", NINE, 300)]);
    world.run_to(0.0);
    assert_eq!(world.held(), 0, "nobody knows what an exam loads");
    // It raises nothing, so that nothing is observed of it: the operator asks for one floor by hand.
    let by_hand =
        Planned { floors: [("auth".to_owned(), 3)].into(), revision: 1, ..event("algebra", NINE + secs(1_200), 300) };
    world.hear(vec![by_hand]);
    world.run_to(1_200.0);
    world.rate = 40.0;
    world.run_to(1_500.0);
    world.rate = 10.0;
    world.run_to(1_200.0 + 3_700.0);
    let kept = world.planner.keep(world.now);
    let per = kept.observed["exam"][0]["ingress POST /login"];
    assert!((per - 0.1).abs() < 0.01, "30/s more of 300 people: {per}");
    let later = NINE + secs(7_200);
    world.hear(vec![event("exam of 900", later, 900)]);
    world.run_to(7_200.0);
    // 90/s more hold 18 Erlangs beside the usual 2; a pod carries 4, to be used to 80 %.
    assert_eq!(world.held(), 7);
    let mut other = Planner::new(Settings::default(), vec![exam(vec![])], &["lectures"]);
    other.restore(&kept);
    assert_eq!(other.keep(world.now).observed, kept.observed);
}

#[test]
fn a_source_that_was_never_read_says_why_and_takes_nothing_back() {
    let mut world = World::new(vec![exam(a_hundred_a_replica())], Settings::default());
    world.hear(vec![event("algebra", NINE, 300)]);
    world.run_to(-60.0);
    let kept = world.planner.keep(world.now);
    world.planner = Planner::new(Settings::default(), vec![exam(a_hundred_a_replica())], &["lectures"]);
    world.planner.restore(&kept);
    world.planner.learn(demand());
    let problem = Problem { source: "lectures".into(), event: String::new(), cause: "cannot be read".into() };
    world.planner.hear_problems("lectures", vec![problem.clone()]);
    world.run(5);
    assert_eq!((world.held(), world.planner.problems().told()), (4, &[problem][..]));
}

#[test]
fn words_on_one_event_that_come_late_or_twice_change_nothing() {
    let mut world = World::new(vec![exam(a_hundred_a_replica())], Settings::default());
    let moved = Planned { revision: 7, ..event("algebra", NINE + secs(600), 300) };
    world.planner.hear_of(world.now, "registrar", vec![moved]);
    world.run(1);
    let told = world.told.clone();
    world.planner.hear_of(
        world.now,
        "registrar",
        vec![Planned { revision: 3, cancelled: true, ..event("algebra", NINE, 300) }],
    );
    world.planner.hear_of(world.now, "registrar", vec![Planned { revision: 7, ..event("algebra", NINE, 900) }]);
    world.run(1);
    assert_eq!(world.told, told);
    world.planner.hear_of(
        world.now,
        "registrar",
        vec![Planned { revision: 8, cancelled: true, ..event("algebra", NINE, 300) }],
    );
    world.run(1);
    assert_eq!(world.told.last().map(|(_, floors)| floors.clone()), Some(vec![]));
}

#[test]
fn what_runs_because_of_events_is_counted_and_bounds_the_rest_of_the_day() {
    let settings = Settings { replica_hours_a_day: 4.0, ..Settings::default() };
    let mut world = World::new(vec![exam(a_hundred_a_replica())], settings);
    world.hear(vec![event("algebra", NINE, 300), event("logic", NINE + secs(7_200), 300)]);
    world.rate = 10.0;
    world.run_to(0.0);
    world.rate = 30.0;
    world.run_to(3_500.0);
    world.rate = 10.0;
    world.run_to(3_700.0);
    let spent: f64 = world.planner.keep(world.now).spent.values().sum();
    assert!((2.9..3.3).contains(&spent), "three replicas for an hour and two minutes: {spent}");
    let logic = world.planner.plan().events.iter().find(|raised| raised.event.id == "logic").unwrap();
    assert!(logic.notes[0].contains("cut from 4 replicas of auth to what runs usually"), "{:?}", logic.notes);
}

#[test]
fn after_a_restart_what_a_silent_feed_said_still_holds_and_none_at_all_is_told_once_all_were_heard() {
    let mut world = World::new(vec![exam(a_hundred_a_replica())], Settings::default());
    world.hear(vec![event("algebra", NINE, 300)]);
    world.run_to(-60.0);
    let kept = world.planner.keep(world.now);
    let mut again = World::new(vec![exam(a_hundred_a_replica())], Settings::default());
    again.planner = Planner::new(Settings::default(), vec![exam(a_hundred_a_replica())], &["lectures"]);
    again.planner.restore(&kept);
    again.planner.learn(demand());
    again.run_to(-50.0);
    assert_eq!(again.held(), 4);
    let mut fresh = Planner::new(Settings::default(), vec![], &["lectures"]);
    let (findings, cluster) = (Findings::blind(NINE), ClusterState::default());
    assert_eq!(fresh.tick(NINE, &findings, &cluster), None, "not known yet");
    fresh.hear("lectures", vec![], vec![]);
    assert_eq!(fresh.tick(NINE + secs(1), &findings, &cluster), Some(vec![]));
    assert_eq!(fresh.tick(NINE + secs(2), &findings, &cluster), None);
}
