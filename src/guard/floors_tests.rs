//! What bounds a workload: the combination as a function, and what follows from it in decisions.

use std::time::Duration;

use proptest::prelude::*;

use super::floors::{Bound, Floor, Floors, SetBy, combine};
use super::tests::{World, scale_in, scale_out};
use super::*;
use crate::action::{Change, Done, RaisedFloor, Scaling};
use crate::decide::Proposal;
use crate::model::{Autoscaler, Origin, Time};

fn set_by() -> impl Strategy<Value = SetBy> {
    let origin = prop_oneof![
        Just(Origin::Schedule("exam".into())),
        Just(Origin::Forecast("lunch".into())),
        Just(Origin::Operator("ada".into()))
    ];
    prop_oneof![
        Just(SetBy::Owner),
        Just(SetBy::Autoscaler("HorizontalPodAutoscaler shop/auth".into())),
        Just(SetBy::Configuration("auth".into())),
        (origin, 0..3i64).prop_map(|(origin, until)| SetBy::Floor { origin, until: Time(until) }),
    ]
}

fn bounds() -> impl Strategy<Value = Vec<Bound>> {
    prop::collection::vec((0..9u32, set_by()).prop_map(|(replicas, by)| Bound { replicas, by }), 0..6)
}

proptest! {
    #[test]
    fn the_order_of_bounds_does_not_matter(minimums in bounds(), maximums in bounds(), by in 0..6usize) {
        let turned = |bounds: &[Bound]| {
            let mut turned = bounds.to_vec();
            turned.rotate_left(by.min(bounds.len()));
            turned.reverse();
            turned
        };
        let combined = combine(&minimums, &maximums);
        prop_assert_eq!(combine(&turned(&minimums), &turned(&maximums)), combined);
    }

    #[test]
    fn a_minimum_never_exceeds_the_maximum_and_the_winner_is_the_one_that_binds(
        minimums in bounds(),
        maximums in bounds(),
    ) {
        let Bounds { min, max } = combine(&minimums, &maximums);
        prop_assert!(min.replicas <= max.replicas);
        prop_assert!(maximums.iter().all(|bound| bound.replicas >= max.replicas));
        prop_assert!(maximums.is_empty() || maximums.contains(&max), "{max:?} is no input");
        if min != max {
            prop_assert!(minimums.iter().all(|bound| bound.replicas <= min.replicas));
            prop_assert!(minimums.is_empty() || minimums.contains(&min), "{min:?} is no input");
        }
    }

    #[test]
    fn a_bound_more_never_widens(minimums in bounds(), maximums in bounds(), more in (0..9u32, set_by())) {
        let more = Bound { replicas: more.0, by: more.1 };
        let before = combine(&minimums, &maximums);
        let narrower = combine(&minimums, &[&maximums[..], std::slice::from_ref(&more)].concat());
        prop_assert!(narrower.max.replicas <= before.max.replicas);
        let higher = combine(&[&minimums[..], &[more]].concat(), &maximums);
        prop_assert!(higher.min.replicas >= before.min.replicas);
    }
}

fn exams(replicas: u32) -> Floor {
    let (from, until) = (Time::from_secs(10_000), Time::from_secs(10_600));
    Floor { service: "a".into(), origin: Origin::Schedule("monday exams".into()), replicas, from, until }
}

/// In force with these bounds of the operator.
fn configured(min_replicas: Option<u32>, max_replicas: Option<u32>) -> World {
    let mut world = World::new();
    let services = [("a".to_owned(), Configured { min_replicas, max_replicas })].into();
    world.guard = Guard::new(Config { services, ..Config::default() });
    world
}

#[test]
fn the_operators_bounds_narrow_the_owners_and_never_widen_them() {
    let in_force = |world: &World| {
        let bounded = world.guard.bounded(&world.cluster, world.now);
        (bounded.workloads[0].min_replicas, bounded.workloads[0].max_replicas)
    };
    assert_eq!(in_force(&World::new()), (2, 20));
    assert_eq!(in_force(&configured(Some(4), Some(6))), (4, 6));
    assert_eq!(in_force(&configured(Some(1), Some(99))), (2, 20));
    assert_eq!(in_force(&configured(None, Some(1))), (2, 2), "not below what the owner says is the least");
    let reviewed = configured(None, Some(6)).tick(vec![scale_out("a", 9)]);
    assert_eq!(reviewed[0].decision.notes, ["asked for 9, cut to 6: its maximum (services.a of the configuration)"]);
}

#[test]
fn what_an_autoscaler_keeps_is_not_given_back() {
    let mut world = World::new().watched(301, 1);
    let name = "HorizontalPodAutoscaler shop/a".to_owned();
    world.cluster.workloads[0].autoscaler = Some(Autoscaler { name, min_replicas: 3, max_replicas: Some(8) });
    let reviewed = world.tick(vec![scale_in("a", 1)]);
    assert_eq!(
        reviewed[0].decision.notes,
        [
            "asked for 1, cut to 2: the furthest one step may go",
            "asked for 2, cut to 3: its minimum (HorizontalPodAutoscaler shop/a)"
        ]
    );
    let reason = "bounds: it is at its maximum of 8 replicas (HorizontalPodAutoscaler shop/a)";
    world.cluster.workloads[0].replicas = 8;
    world.cluster.workloads[0].resource_version += 1;
    world.guard.settled(reviewed[0].decision.id, true);
    assert_eq!(world.one(vec![scale_out("a", 12)]), reason);
}

#[test]
fn a_floor_from_a_schedule_is_raised_while_headroom_is_blind() {
    let mut world = World::new();
    world.findings.blind = true;
    world.guard.set_floors(vec![exams(8)]);
    let reviewed = world.tick(vec![scale_out("a", 9)]);
    world.act(&reviewed);
    let [refused, raised] = &reviewed[..] else { panic!("{reviewed:?}") };
    assert!(matches!(refused.decision.outcome, Outcome::Refused { gate: Gate::Telemetry, .. }), "a rule sees nothing");
    assert_eq!(raised.decision.outcome, Outcome::Permitted { from: 4, to: 8 });
    assert_eq!(raised.decision.proposal.origin, Origin::Schedule("monday exams".into()));
    let Change::Scale(Scaling { record, .. }) = raised.permit.as_ref().unwrap().change() else { panic!("a scaling") };
    let until = Time::from_secs(10_600);
    assert_eq!((Done::of(record), record.deadline), (Some(Done::RaisedFloor(RaisedFloor { until })), until));
    for _ in 0..5 {
        assert_eq!(world.tick(vec![]), [], "it is there");
    }
}

#[test]
fn a_floor_holds_until_its_end_and_only_then_is_anything_given_back() {
    let mut world = World::new();
    world.guard.set_floors(vec![exams(8)]);
    let reviewed = world.tick(vec![]);
    world.act(&reviewed);
    world.findings.services[0].replicas_needed = Some(2);
    for _ in 0..400 {
        world.tick(vec![]);
    }
    let refused = world.one(vec![scale_in("a", 2)]);
    assert_eq!(refused, "bounds: its minimum is 8: schedule \"monday exams\" until 1970-01-01T02:56:40.000Z");
    // A successor that knows no schedule yet reads the floor from the record.
    world.guard.floors = Floors::default();
    let refused = world.one(vec![scale_in("a", 2)]);
    assert_eq!(refused, "bounds: its minimum is 8: i-10000-1 until 1970-01-01T02:56:40.000Z");
    while world.now < Time::from_secs(10_600) {
        world.tick(vec![]);
    }
    assert_eq!(world.one(vec![scale_in("a", 2)]), "8->4", "half at a time, as ever");
}

#[test]
fn a_floor_that_nobody_asks_for_any_more_is_none_at_the_next_tick() {
    let raised = || {
        let mut world = World::new();
        world.guard.set_floors(vec![exams(8)]);
        let reviewed = world.tick(vec![]);
        world.act(&reviewed);
        world.findings.services[0].replicas_needed = Some(2);
        for _ in 0..400 {
            world.tick(vec![]);
        }
        world
    };
    let id = raised().cluster.workloads[0].interventions[0].id;
    let is_dropped = |floors: Vec<Floor>| {
        let mut world = raised();
        world.guard.set_floors(floors);
        let dropped = world.guard.dropped(&world.cluster, world.now).contains(&id);
        (dropped, world.one(vec![scale_in("a", 2)]))
    };
    // Cancelled; moved away; for fewer, which is held all the same; and still asked for under another name.
    assert_eq!(is_dropped(vec![]), (true, "8->4".into()));
    let later = Floor { from: Time::from_secs(20_000), until: Time::from_secs(20_600), ..exams(8) };
    assert_eq!(is_dropped(vec![later]), (true, "8->4".into()));
    assert_eq!(is_dropped(vec![exams(6)]), (true, "8->6".into()));
    let (dropped, refused) = is_dropped(vec![Floor { origin: Origin::Operator("ada".into()), ..exams(9) }]);
    assert!(!dropped && refused.starts_with("8->9"), "{refused}");
}

/// A floor of 16 was raised where nobody knows what the load needs, and nobody asks for it any more; so many seconds ago.
fn unmeasured(seconds: u64) -> World {
    let mut world = World::new();
    world.findings.services[0].replicas_needed = None;
    world.guard.set_floors(vec![exams(16)]);
    let reviewed = world.tick(vec![]);
    world.act(&reviewed);
    assert_eq!(world.cluster.workloads[0].replicas, 16);
    world.guard.set_floors(vec![]);
    for _ in 0..seconds {
        world.tick(vec![]);
    }
    world
}

fn give_back(to: u32) -> Proposal {
    Proposal { origin: Origin::GiveBack, ..scale_in("a", to) }
}

impl World {
    /// The replicas that follow one another in so many seconds; the cluster does what it is told.
    fn course(&mut self, seconds: u64) -> Vec<u32> {
        let mut seen = vec![self.cluster.workloads[0].replicas];
        for _ in 0..seconds {
            let reviewed = self.tick(vec![]);
            self.act(&reviewed);
            seen.push(self.cluster.workloads[0].replicas);
        }
        seen.dedup();
        seen
    }
}

#[test]
fn what_a_floor_raised_goes_back_step_by_step_although_nobody_knows_what_the_load_needs() {
    let mut world = unmeasured(10);
    assert!(world.one(vec![give_back(4)]).starts_with("cooldown:"), "not at once");
    let mut world = unmeasured(400);
    world.findings.services[0].objective_missed = true;
    assert!(world.one(vec![give_back(4)]).starts_with("telemetry:"), "not while an objective is missed");
    world.findings.services[0].objective_missed = false;
    assert_eq!(world.one(vec![give_back(1)]), "16->8");
    let step = world.cluster.workloads[0].interventions.last().unwrap();
    assert_eq!((step.replicas_before, step.replicas_after), (16, 8));
    assert_eq!(world.course(400), [8, 4], "half at a time, to what ran before and no further");
    assert_eq!(world.course(400), [4]);
}

#[test]
fn what_another_hand_scales_after_a_floor_is_not_taken_back() {
    let mut world = unmeasured(400);
    world.one(vec![give_back(4)]);
    // Somebody wants more, while 8 run of which 4 are left of the floor.
    world.cluster.workloads[0].replicas = 12;
    world.cluster.workloads[0].resource_version += 1;
    assert_eq!(world.course(800), [12]);
    assert_eq!(world.one(vec![give_back(4)]), "stabilisation: its need is not known");
    // Nor once it is by chance what headroom left.
    world.cluster.workloads[0].replicas = 8;
    world.cluster.workloads[0].interventions.clear();
    assert_eq!(world.course(800), [8]);
}

#[test]
fn a_successor_goes_on_giving_back_from_what_is_recorded() {
    let mut world = unmeasured(400);
    world.one(vec![give_back(4)]);
    assert_eq!(world.cluster.workloads[0].replicas, 8);
    world.guard = Guard::new(Config::default());
    world.guard.set_floors(vec![]);
    assert_eq!(world.course(100), [8], "not before the need was unknown for a whole window");
    assert_eq!(world.course(800), [8, 4]);
}

#[test]
fn a_need_that_is_known_holds_what_a_floor_raised() {
    let mut world = unmeasured(400);
    world.findings.services[0].replicas_needed = Some(16);
    world.tick(vec![]);
    assert!(world.one(vec![give_back(4)]).starts_with("stabilisation:"));
    assert_eq!(world.course(100), [16]);
}

#[test]
fn a_floor_above_the_maximum_or_the_budget_is_cut_and_says_so() {
    let raised = |mut world: World, floor: Floor| {
        world.guard.set_floors(vec![floor]);
        world.tick(vec![]).remove(0).decision
    };
    let cut = raised(World::new(), Floor { replicas: 50, ..exams(50) });
    assert_eq!(cut.outcome, Outcome::Permitted { from: 4, to: 20 });
    assert!(cut.notes.iter().any(|note| note.ends_with("its maximum (set by its owner)")), "{:?}", cut.notes);
    let mut world = World::new();
    world.guard = Guard::new(Config { added_replicas_max: 3, ..Config::default() });
    assert_eq!(raised(world, exams(12)).outcome, Outcome::Permitted { from: 4, to: 7 });
    let early = Floor { from: Time::from_secs(20_000), until: Time::from_secs(20_600), ..exams(12) };
    let mut world = World::new();
    world.guard.set_floors(vec![early]);
    assert_eq!(world.tick(vec![]), [], "not before its time");
}

#[test]
fn of_several_floors_the_highest_is_raised_and_a_larger_need_goes_before_it() {
    let mut world = World::new();
    let forecast = Floor { origin: Origin::Forecast("lunch".into()), ..exams(6) };
    world.guard.set_floors(vec![forecast, exams(8)]);
    let reviewed = world.tick(vec![]);
    assert_eq!(reviewed[0].decision.proposal.origin, Origin::Schedule("monday exams".into()));
    world.act(&reviewed);
    world.now = world.now + Duration::from_secs(10);
    assert_eq!(world.one(vec![scale_out("a", 12)]), "8->12");
    let record = &world.cluster.workloads[0].interventions[0];
    assert_eq!((record.replicas_before, Done::of(record)), (4, Some(Done::Scaled)), "it carries on from there");
}

#[test]
fn paused_or_not_opted_in_no_floor_is_raised() {
    let mut world = World::new();
    world.pauses = super::tests::everything();
    world.guard.set_floors(vec![exams(8)]);
    assert_eq!(world.one(vec![]), "pause: headroom is paused; resume it to let it act");
    let mut world = World::new();
    world.guard.set_floors(vec![Floor { service: "foreign".into(), ..exams(8) }]);
    assert_eq!(world.one(vec![]), "opt_in: no workload of foreign has opted in");
}
