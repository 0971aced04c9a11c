//! What is true of every action, whatever it does.

use serde_json::json;

use super::*;
use crate::model::{Backend, Details, Pod, Route};

fn all() -> Vec<Action> {
    let service = || ServiceId::from("a");
    vec![
        Action::ScaleOut(ScaleOut { service: service(), to: 9, cooldown_s: None }),
        Action::ScaleIn(ScaleIn { service: service(), to: 2, stabilisation_s: None }),
        Action::RaiseFloor(RaiseFloor { service: service(), to: 8, until: Time::from_secs(600) }),
        Action::RestartPod(RestartPod { service: service(), pod: "a-1".into() }),
        Action::ResizeCpu(ResizeCpu { service: service(), factor: 1.5, lasting_s: 60.0 }),
        Action::Shed(Shed { service: service(), lasting_s: 60.0 }),
        Action::LimitRate(LimitRate { service: service(), route: "GET /b".into(), per_s: 50.0, lasting_s: 60.0 }),
        Action::ShiftWeight(ShiftWeight { service: service(), away_from: "v2".into(), lasting_s: 60.0 }),
        Action::ReturnWeight(ReturnWeight { service: service(), route: "HTTPRoute shop/a".into() }),
        Action::Notify(Notify { service: service(), message: "look".into() }),
    ]
}

fn workload() -> Workload {
    let pod = |n| Pod { name: format!("a-{n}"), created_at: Time(7), ready_at: Some(Time(9)) };
    let backend = |version: &str, weight| Backend { name: format!("a-{version}"), version: version.into(), weight };
    let route = Route {
        name: "HTTPRoute shop/a".into(),
        backends: vec![backend("v1", 75), backend("v2", 25)],
        step_max: 0.25,
        ..Route::default()
    };
    let weights = |v1, v2| vec![("a-v1".to_owned(), v1), ("a-v2".to_owned(), v2)];
    let shifted = ShiftedWeight {
        route: route.name.clone(),
        away_from: "v2".into(),
        before: weights(50, 50),
        after: weights(75, 25),
        is_return: false,
    };
    let record = InterventionRecord { id: "i-0-1".parse().unwrap(), details: shifted.write(), ..plain() };
    let (pods, interventions) = ((0..4).map(pod).collect(), vec![record]);
    Workload { service: "a".into(), replicas: 4, pods, routes: vec![route], interventions, ..Workload::default() }
}

fn plain() -> InterventionRecord {
    InterventionRecord {
        id: "i-1-1".parse().unwrap(),
        origin: "rule".into(),
        reason: "words".into(),
        applied_at: Time::from_secs(1),
        deadline: Time::from_secs(151),
        replicas_before: 4,
        replicas_after: 4,
        waiting_ns_before: 0,
        details: None,
    }
}

const LIMITS: Limits = Limits {
    resize_factor_max: 2.0,
    resize_lasting_max: std::time::Duration::from_secs(3600),
    shape_lasting_max: std::time::Duration::from_secs(600),
    shift_lasting_max: std::time::Duration::from_secs(3600),
};

#[test]
fn every_action_says_of_itself_what_it_is() {
    let said: Vec<String> =
        all().iter().map(|a| format!("{} -> {:?} {:?}: {}", a.name(), a.target(), a.slot(), a.describe())).collect();
    insta::assert_snapshot!(said.join("\n"));
}

/// A crash after the write forgets nothing: slot, criterion and return are read from the record alone.
#[test]
fn what_an_action_writes_it_reads_again_from_its_record() {
    for action in all().into_iter().filter(|action| action.slot().is_some()) {
        let step = Step { from: 4, to: action.replicas_asked().unwrap_or(4) };
        let record = InterventionRecord { replicas_after: step.to, ..plain() };
        let change = action.change(&workload(), step, record, &LIMITS).unwrap();
        let written = serde_json::to_string(change.record().unwrap()).unwrap();
        let record: InterventionRecord = serde_json::from_str(&written).unwrap();
        assert_eq!(Some(&record), change.record(), "{}", action.name());
        assert_eq!(Slot::of(&record), action.slot(), "{}", action.name());
        let done = Done::of(&record).unwrap();
        let kept = matches!(done.criterion(&record), Criterion::Held);
        assert!(!kept || done.give_back(action.service(), &record).is_some(), "what is held is given back");
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action);
    }
}

#[test]
fn a_wish_of_the_first_version_is_read_as_the_action_it_is() {
    let wish = json!({"wish": "restart_pod", "service": "a", "pod": "a-1"});
    let read: Action = serde_json::from_value(wish).unwrap();
    assert_eq!(read, all()[3]);
    let change = json!({"change": "close", "service": "a", "intervention": "i-1-1"});
    let close = Change::Close { service: "a".into(), intervention: plain().id };
    assert_eq!(serde_json::from_value::<Change>(change).unwrap(), close);
}

#[test]
fn records_of_different_slots_stand_side_by_side_and_one_of_a_slot_takes_the_place_of_the_last() {
    let resize = |id: &str| InterventionRecord {
        id: id.parse().unwrap(),
        details: all()[4]
            .change(&workload(), Step { from: 4, to: 4 }, plain(), &LIMITS)
            .unwrap()
            .record()
            .unwrap()
            .details
            .clone(),
        ..plain()
    };
    let newer = Details { kind: "painted_blue".into(), fields: serde_json::Map::new() };
    let newer = InterventionRecord { id: "i-9-1".parse().unwrap(), details: Some(newer), ..plain() };
    let mut records = vec![newer];
    for record in [resize("i-2-1"), plain(), resize("i-3-1")] {
        put(&mut records, record);
    }
    let ids: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
    assert_eq!(ids, ["i-9-1", "i-1-1", "i-3-1"], "what a newer version wrote stays");
}

fn limit(route: &str, per_s: f64) -> Action {
    Action::LimitRate(LimitRate { service: "a".into(), route: route.into(), per_s, lasting_s: 60.0 })
}

#[test]
fn limits_of_different_entry_operations_stand_side_by_side_up_to_a_bound() {
    let mut workload = Workload { interventions: vec![], ..workload() };
    let limited = |action: &Action, workload: &mut Workload, id: u32| {
        let record = InterventionRecord { id: format!("i-{id}-1").parse().unwrap(), ..plain() };
        let change = action.change(workload, Step { from: 4, to: 4 }, record, &LIMITS).unwrap();
        put(&mut workload.interventions, change.record().unwrap().clone());
    };
    for (id, action) in (1..).zip([limit("GET /b", 50.0), limit("GET /c", 20.0), limit("GET /b", 40.0)]) {
        limited(&action, &mut workload, id);
    }
    let ids: Vec<String> = workload.interventions.iter().map(|record| record.id.to_string()).collect();
    assert_eq!(ids, ["i-3-1", "i-2-1"], "of one entry operation the last holds");
    assert!(limit("GET /c", 20.0).is_moot(&workload) && limit("GET /b", 40.0).is_moot(&workload));
    assert!(!limit("GET /b", 50.0).is_moot(&workload));
    assert_eq!(limit("GET /d", 1.0).replaces(&workload), None);
    (4..34).for_each(|id| limited(&limit(&format!("GET /{id}"), 9.0), &mut workload, id));
    assert!(limit("GET /one-more", 1.0).bounds(&workload, &LIMITS).unwrap_err().contains("32 endpoints of a"));
    assert_eq!(limit("GET /c", 5.0).bounds(&workload, &LIMITS), Ok(None), "one that is limited is limited anew");
}
