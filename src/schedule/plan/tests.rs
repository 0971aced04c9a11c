//! What events come to.

use proptest::prelude::*;

use super::*;
use crate::analyse::{Carries, ServiceDemand};
use crate::model::Origin;
use crate::schedule::kinds::Load;

const NINE: Time = Time::from_secs(1_796_029_200); // 2026-11-30T09:00Z
const MINUTE: Duration = Duration::from_secs(60);

fn minutes(n: u64) -> Duration {
    MINUTE * n as u32
}

/// A shop of three services, of which the last two were seen at their limit.
fn demand() -> Demand {
    let service =
        |usual: f64, carries: Option<Carries>, start_s: Option<f64>| ServiceDemand { usual, carries, start_s };
    Demand {
        services: [
            ("ingress".to_owned(), service(1.0, Some(Carries::AtLeast(2.0)), None)),
            ("auth".to_owned(), service(2.0, Some(Carries::AtLimit(4.0)), Some(20.0))),
            ("content".to_owned(), service(4.0, Some(Carries::AtLimit(8.0)), Some(50.0))),
        ]
        .into(),
        entries: [(
            "ingress POST /login".to_owned(),
            [("ingress".to_owned(), 0.2), ("auth".to_owned(), 0.2), ("nobody".to_owned(), 0.1)].into(),
        )]
        .into(),
        utilisation: 0.8,
    }
}

fn exam(loads: Vec<Load>) -> Kind {
    Kind { name: "exam".into(), loads, early: MINUTE, ..Kind::default() }
}

fn login(per_participant: f64) -> Load {
    Load::Entry { entry: "ingress POST /login".into(), per_participant }
}

fn content(per_replica: f64) -> Load {
    Load::Service { service: "content".into(), per_replica }
}

fn event(id: &str, starts: Time, lasts: Duration, participants: u32) -> Planned {
    Planned {
        id: id.into(),
        source: "lectures".into(),
        title: id.into(),
        categories: vec!["exam".into()],
        starts,
        ends: starts + lasts,
        participants: Some(participants),
        ..Planned::default()
    }
}

fn of(events: &[Planned], kinds: &[Kind], settings: &Settings) -> Plan {
    let (learned, spent) = (Learned::new(), BTreeMap::new());
    plan(&Inputs {
        settings,
        kinds,
        events,
        demand: &demand(),
        learned: &learned,
        from: NINE - minutes(120),
        until: NINE + minutes(600),
        spent: &spent,
    })
}

#[test]
fn each_service_is_raised_its_own_start_and_a_margin_before_the_first_come() {
    let events = [event("algebra", NINE, minutes(90), 400)];
    let plan = of(&events, &[exam(vec![login(0.05), content(100.0)])], &Settings::default());
    let floor = |service: &str| plan.floors.iter().find(|floor| floor.service.as_str() == service).unwrap();
    // 20 logins a second hold 4 Erlangs of auth beside the usual 2: (6 + √6) / 4 pods, or 6 / (4 × 0.8), whichever is more.
    assert_eq!(floor("auth").replicas, 3);
    assert_eq!(NINE.seconds_since(floor("auth").from), 60.0 + 20.0 + 30.0, "early, start and margin");
    // 4 usual Erlangs need (4 + 2) / 8 pods; 400 participants at 100 a pod come on top.
    assert_eq!((floor("content").replicas, NINE.seconds_since(floor("content").from)), (5, 60.0 + 50.0 + 30.0));
    // Nobody saw a pod of ingress start, and what was seen of it at most is no limit.
    assert_eq!((floor("ingress").replicas, NINE.seconds_since(floor("ingress").from)), (3, 60.0 + 120.0 + 30.0));
    assert!(plan.floors.iter().all(|floor| floor.until == NINE + minutes(90)));
    let raised = &plan.events[0];
    assert_eq!(raised.notes, ["what a pod of nobody carries is not known yet, so it is not raised by requests"]);
    let auth = raised.raises.iter().find(|raise| raise.service == "auth").unwrap();
    assert_eq!((auth.usual, auth.because.as_str()), (Some(1), "20.0/s of ingress POST /login"));
}

#[test]
fn events_that_overlap_add_up_and_end_one_after_the_other() {
    let events = [event("algebra", NINE, minutes(60), 400), event("logic", NINE + minutes(30), minutes(60), 300)];
    let plan = of(&events, &[exam(vec![content(100.0)])], &Settings::default());
    let floors: Vec<(u32, f64, &Origin)> = plan
        .floors
        .iter()
        .map(|floor| (floor.replicas, floor.until.seconds_since(NINE) / 60.0, &floor.origin))
        .collect();
    let schedule = |title: &str| Origin::Schedule(title.into());
    assert_eq!(
        floors,
        [
            (5, 30.0 - 140.0 / 60.0, &schedule("algebra")),
            (8, 60.0, &schedule("algebra and logic")),
            (4, 90.0, &schedule("logic"))
        ]
    );
    // Each showed the sum's peak for its whole length.
    let raises: Vec<(u32, f64)> = plan
        .events
        .iter()
        .flat_map(|raised| &raised.raises)
        .map(|raise| (raise.replicas, raise.until.seconds_since(NINE) / 60.0))
        .collect();
    assert_eq!(raises, [(5, 60.0), (4, 90.0)], "each what it asks for by itself");
    let ids: Vec<&[String]> = plan.floors.iter().map(|step| step.events.as_slice()).collect();
    assert_eq!(ids, [&["algebra".to_owned()][..], &["algebra".to_owned(), "logic".to_owned()], &["logic".to_owned()]]);
}

#[test]
fn a_cut_of_an_overlap_is_said_with_its_time_and_costs_only_what_is_held() {
    let settings = Settings { replica_hours_a_day: 6.0, zone: chrono_tz::Tz::Europe__Berlin, ..Settings::default() };
    let events = [event("algebra", NINE, minutes(60), 400), event("logic", NINE + minutes(30), minutes(60), 300)];
    let plan = of(&events, &[exam(vec![content(100.0)])], &settings);
    let held: Vec<u32> = plan.floors.iter().map(|step| step.replicas).collect();
    assert_eq!(held, [5, 8], "nothing is left for the last half hour");
    let [algebra, logic] = &plan.events[..] else { panic!("{plan:?}") };
    assert_eq!(algebra.notes, [""; 0]);
    assert_eq!(
        logic.notes,
        [
            "from 11:00 to 11:30 (Europe/Berlin) cut from 4 replicas of content to what runs usually: the events of a day may cost 6 replica-hours (schedule.replica_hours_a_day)"
        ]
    );
    assert_eq!((logic.raises[0].replicas, logic.raises[0].usual), (4, Some(1)));
    let hours: f64 = plan
        .floors
        .iter()
        .map(|step| f64::from(step.replicas - 1) * step.until.seconds_since(step.from) / 3_600.0)
        .sum();
    let told: f64 = plan.replica_hours.values().sum();
    assert!((hours - told).abs() < 1e-9, "{hours} {told}");
}

#[test]
fn a_load_of_which_nothing_is_known_hides_no_other() {
    let unknown = Load::Entry { entry: "ingress POST /submit".into(), per_participant: 0.05 };
    let new = Load::Service { service: "exam-api".into(), per_replica: 80.0 };
    let plan = of(&[event("algebra", NINE, minutes(60), 400)], &[exam(vec![unknown, new])], &Settings::default());
    let raised = &plan.events[0];
    assert_eq!(
        (raised.raises[0].service.as_str(), raised.raises[0].replicas, raised.raises[0].usual),
        ("exam-api", 5, None)
    );
    assert!(raised.notes[0].starts_with("what a request of `ingress POST /submit` asks of which service is not known"));
    assert_eq!(plan.floors.len(), 1);
}

#[test]
fn an_event_without_length_is_held_for_a_while_and_says_so() {
    let quiz = event("quiz opens", NINE, Duration::ZERO, 400);
    let length = |kind: Kind| {
        let plan = of(std::slice::from_ref(&quiz), &[kind], &Settings::default());
        (plan.floors[0].until.seconds_since(NINE) / 60.0, plan.events[0].notes.clone())
    };
    let unsaid = "it has no length: its load is taken to last 30 min; schedule.kinds.exam.lasts says how long it does";
    assert_eq!(length(exam(vec![content(100.0)])), (30.0, vec![unsaid.to_owned()]));
    let said = Kind { lasts: Some(minutes(45)), ..exam(vec![content(100.0)]) };
    assert_eq!(length(said), (45.0, vec![]));
    let all_day = event("open day", NINE, minutes(1_440), 400);
    let plan = of(&[all_day], &[exam(vec![content(100.0)])], &Settings::default());
    assert!(plan.events[0].notes[0].starts_with("it lasts a day or longer"), "{plan:?}");
}

#[test]
fn a_cancelled_event_and_one_of_no_kind_raise_nothing_and_say_why() {
    let cancelled = Planned { cancelled: true, ..event("algebra", NINE, minutes(60), 400) };
    let other = Planned { categories: vec!["holiday".into()], ..event("rest", NINE, minutes(60), 400) };
    let silent = Planned { participants: None, ..event("logic", NINE, minutes(60), 1) };
    let plan = of(&[cancelled, other, silent], &[exam(vec![content(100.0)])], &Settings::default());
    assert_eq!(plan.floors, []);
    let notes: Vec<&str> = plan.events.iter().flat_map(|raised| &raised.notes).map(String::as_str).collect();
    assert_eq!(
        notes,
        [
            "it is cancelled",
            "it is of no kind under schedule.kinds, which name neither `holiday` nor its title",
            "nobody says how many come; add schedule.kinds.exam.participants, or tell it in the event"
        ]
    );
}

#[test]
fn what_kinds_load_is_learnt_where_nobody_maps_it() {
    let events = [event("algebra", NINE, minutes(60), 400)];
    let settings = Settings::default();
    let unmapped = of(&events, &[exam(vec![])], &settings);
    assert!(unmapped.events[0].notes[0].contains("is not known yet; add schedule.kinds.exam.loads"), "{unmapped:?}");
    let learned: Learned = [("exam".to_owned(), [("ingress POST /login".to_owned(), 0.05)].into())].into();
    let (demand, spent) = (demand(), BTreeMap::new());
    let kinds = [exam(vec![])];
    let (from, until) = (NINE - minutes(120), NINE + minutes(600));
    let inputs = Inputs {
        settings: &settings,
        kinds: &kinds,
        events: &events,
        demand: &demand,
        learned: &learned,
        from,
        until,
        spent: &spent,
    };
    let mapped = of(&events, &[exam(vec![login(0.05)])], &settings);
    assert_eq!(plan(&inputs).floors, mapped.floors);
}

#[test]
fn somebodys_floor_is_no_less_than_that_and_needs_no_kind() {
    let by_hand = Planned {
        categories: vec![],
        floors: [("shop/auth".to_owned(), 7), ("content".to_owned(), 1)].into(),
        ..event("enrolment", NINE, minutes(60), 1)
    };
    let plan = of(&[by_hand], &[], &Settings::default());
    let floors: Vec<(&str, u32)> = plan.floors.iter().map(|floor| (floor.service.as_str(), floor.replicas)).collect();
    assert_eq!(floors, [("shop/auth", 7)], "what runs usually is no floor");
}

#[test]
fn a_day_costs_no_more_than_it_may_and_what_is_cut_says_so() {
    let settings = Settings { replica_hours_a_day: 6.0, ..Settings::default() };
    let events = [event("algebra", NINE, minutes(60), 400), event("logic", NINE + minutes(120), minutes(60), 400)];
    let plan = of(&events, &[exam(vec![content(100.0)])], &settings);
    let hours: f64 = plan.replica_hours.values().sum();
    assert!(hours <= 6.0 && hours > 4.0, "{hours}");
    assert_eq!(plan.events[0].notes, [""; 0]);
    assert_eq!(
        plan.events[1].notes,
        [
            "from 10:57 to 12:00 (UTC) cut from 5 replicas of content to 2: the events of a day may cost 6 replica-hours (schedule.replica_hours_a_day)"
        ]
    );
    let million = [event("everybody", NINE, minutes(60), 1_000_000)];
    let bounded = of(&million, &[exam(vec![content(0.001)])], &Settings::default());
    assert!(bounded.replica_hours.values().all(|hours| *hours <= 200.0), "{:?}", bounded.replica_hours);
}

fn arbitrary() -> impl Strategy<Value = Vec<Planned>> {
    let one = (0..40i64, 0..600u64, 0..200_000u32, any::<bool>());
    prop::collection::vec(one, 0..12).prop_map(|all| {
        let event = |(n, (quarter, lasts, participants, cancelled)): (usize, (i64, u64, u32, bool))| Planned {
            cancelled,
            ..event(
                &format!("e{n}"),
                Time::from_secs(NINE.second() - 7_200 + quarter * 900),
                minutes(lasts),
                participants,
            )
        };
        all.into_iter().enumerate().map(event).collect()
    })
}

proptest! {
    #[test]
    fn whatever_is_planned_costs_within_its_bound_and_more_events_never_lower_a_floor(events in arbitrary()) {
        let kinds = [exam(vec![login(0.05), content(100.0)])];
        let bounded = of(&events, &kinds, &Settings { replica_hours_a_day: 50.0, ..Settings::default() });
        prop_assert!(bounded.replica_hours.values().all(|hours| *hours <= 50.0 + 1e-6), "{:?}", bounded.replica_hours);
        let free = Settings { replica_hours_a_day: 1e6, ..Settings::default() };
        let (all, fewer) = (of(&events, &kinds, &free), of(&events[..events.len() / 2], &kinds, &free));
        let at = |plan: &Plan, service: &ServiceId, time: Time| {
            let holding = plan.floors.iter().filter(|floor| floor.service == *service && floor.from <= time && time < floor.until);
            holding.map(|floor| floor.replicas).max().unwrap_or(0)
        };
        for floor in &fewer.floors {
            prop_assert!(at(&all, &floor.service, floor.from) >= floor.replicas);
        }
        for floor in &all.floors {
            prop_assert!(floor.from < floor.until && floor.replicas > 0);
        }
    }
}

/// A calendar of 600 bytes made the engine stand still: what events come to grew with the square of their number and more.
#[test]
fn thousands_of_events_that_overlap_come_to_a_bounded_plan() {
    let one = |n: u64| event(&format!("exam {n}"), NINE + Duration::from_secs(7 * n), minutes(120), 10);
    let events: Vec<Planned> = (0..3_000).map(one).collect();
    let unbounded = Settings { replica_hours_a_day: 1e9, ..Settings::default() };
    let plan = of(&events, &[exam(vec![content(10.0)])], &unbounded);
    let raising = plan.events.iter().filter(|raised| !raised.raises.is_empty()).count();
    assert_eq!((plan.events.len(), raising), (3_000, RAISING_MAX));
    assert!(plan.events[2_999].notes[0].contains("no more are planned at once"), "{:?}", plan.events[2_999].notes);
    assert!(plan.floors.len() < 40, "{} steps in four hours", plan.floors.len());
    // Each of the first thousand is held for as long as it asks.
    let at = |time: Time| plan.floors.iter().find(|step| step.holds(time)).map_or(0, |step| step.replicas);
    assert!(at(NINE + minutes(118)) >= 1_000, "{}", at(NINE + minutes(118)));
    let settings = Settings { replica_hours_a_day: 10.0, ..Settings::default() };
    let cut = of(&events, &[exam(vec![content(10.0)])], &settings);
    assert!(cut.events.iter().all(|raised| raised.notes.len() <= 2), "what is cut is told once an event");
}
