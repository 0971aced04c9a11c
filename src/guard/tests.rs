//! Every gate, once letting through and once refusing.

use std::time::Duration;

use super::*;
use crate::action::{self, Action, Change, Notify, ScaleIn, ScaleOut, Scaling};
use crate::analyse::{Findings, ServiceFinding};
use crate::decide::Proposal;
use crate::model::{ClusterState, DecisionId, Hold, InterventionRecord, Origin, Pause, Pauses, Pod, Time, Workload};

/// A guard, and the world it looks at, that tests bend to their case.
pub(super) struct World {
    pub(super) guard: Guard,
    pub(super) now: Time,
    pub(super) mode: Mode,
    pub(super) pauses: Pauses,
    pub(super) cluster: ClusterState,
    pub(super) findings: Findings,
}

pub(super) fn workload(service: &str, replicas: u32, min_replicas: u32, max_replicas: u32) -> Workload {
    let ready = |n| Pod { name: format!("{service}-{n}"), created_at: Time(0), ready_at: Some(Time(0)) };
    Workload {
        service: service.into(),
        replicas,
        min_replicas,
        max_replicas,
        resource_version: 7,
        pods: (0..replicas).map(ready).collect(),
        ..Workload::default()
    }
}

pub(super) fn finding(service: &str, replicas: u32, need: Option<u32>) -> ServiceFinding {
    ServiceFinding {
        service: service.into(),
        throughput_per_s: 100.0,
        arrivals_per_s: 100.0,
        error_share: 0.0,
        p99_ms: 20.0,
        waiting_ms: 40.0,
        own_time_ms: 9.0,
        concurrency_per_pod: 1.0,
        capacity_per_pod_per_s: Some(80.0),
        replicas,
        ready: replicas,
        replicas_needed: need,
        objective_missed: false,
        low_traffic: false,
        pod_start_s: None,
    }
}

pub(super) fn scale_out(service: &str, to: u32) -> Proposal {
    let action = Action::ScaleOut(ScaleOut { service: service.into(), to, cooldown_s: None });
    Proposal { origin: "out".into(), action, because: "it saturates".into(), verdict: "saturated".into() }
}

pub(super) fn scale_in(service: &str, to: u32) -> Proposal {
    let action = Action::ScaleIn(ScaleIn { service: service.into(), to, stabilisation_s: None });
    Proposal { origin: "in".into(), action, because: "it idles".into(), verdict: String::new() }
}

/// Everything is paused.
pub(super) fn everything() -> Pauses {
    paused(None)
}

fn paused(service: Option<&str>) -> Pauses {
    let mut pauses = Pauses::default();
    pauses.pause(service, Pause { by: "ada: load test".into(), since: Time(0), until: None });
    pauses
}

impl World {
    /// `a` runs 4 of 2 to 20 replicas, needs 4, and has for longer than any window.
    pub(super) fn new() -> World {
        let mut world = World {
            guard: Guard::new(Config::default()),
            now: Time::from_secs(10_000),
            mode: Mode::Enforce,
            pauses: Pauses::default(),
            cluster: ClusterState { at: Time(0), workloads: vec![workload("a", 4, 2, 20)] },
            findings: Findings { services: vec![finding("a", 4, Some(4))], ..Findings::default() },
        };
        world.findings.at = world.now;
        world
    }

    /// The same need for so long, tick by tick.
    pub(super) fn watched(mut self, seconds: u64, need: u32) -> World {
        self.findings.services[0].replicas_needed = Some(need);
        for _ in 0..seconds {
            assert_eq!(self.tick(vec![]), []);
        }
        self
    }

    pub(super) fn review(&mut self, proposals: Vec<Proposal>) -> Vec<Reviewed> {
        let World { guard, now, mode, pauses, cluster, findings } = self;
        guard.review(proposals, &Context { now: *now, mode: *mode, pauses, cluster, findings, gateways_ask: true })
    }

    /// Review, then a second passes.
    pub(super) fn tick(&mut self, proposals: Vec<Proposal>) -> Vec<Reviewed> {
        self.findings.at = self.now;
        let reviewed = self.review(proposals);
        self.now = self.now + Duration::from_secs(1);
        reviewed
    }

    /// The cluster does what the permits say.
    pub(super) fn act(&mut self, reviewed: &[Reviewed]) {
        for permit in reviewed.iter().filter_map(|r| r.permit.as_ref()) {
            let (service, record) = (permit.service(), permit.change().record().unwrap());
            let workload = self.cluster.workloads.iter_mut().find(|w| w.service == *service).unwrap();
            action::put(&mut workload.interventions, record.clone());
            workload.resource_version += 1;
            if let Change::Scale(Scaling { to, .. }) = permit.change() {
                workload.replicas = *to;
                let pod = |n| Pod { name: format!("{service}-{n}"), created_at: Time(0), ready_at: Some(Time(0)) };
                workload.pods = (0..*to).map(pod).collect();
            }
            self.guard.settled(permit.decision(), true);
        }
    }

    /// The one decision of a tick, as `from->to` or `gate: reason`.
    pub(super) fn one(&mut self, proposals: Vec<Proposal>) -> String {
        let reviewed = self.tick(proposals);
        assert_eq!(reviewed.len(), 1, "{reviewed:?}");
        self.act(&reviewed);
        match &reviewed[0].decision.outcome {
            Outcome::Permitted { from, to } => format!("{from}->{to}"),
            Outcome::Observed { from, to, refused_by } => {
                let refused: String = refused_by.iter().map(|refusal| format!("; {refusal}")).collect();
                format!("observed {from}->{to}{refused}")
            }
            Outcome::Notified => "notified".into(),
            Outcome::Refused { gate, reason } => format!("{}: {reason}", gate.as_str()),
        }
    }
}

#[test]
fn a_permit_carries_the_change_its_record_and_its_reason() {
    let mut world = World::new();
    let reviewed = world.tick(vec![scale_out("a", 9)]);
    let permit = reviewed[0].permit.as_ref().unwrap();
    assert_eq!((permit.decision(), reviewed[0].decision.id), (DecisionId::new(10_000, 1), DecisionId::new(10_000, 1)));
    assert_eq!((permit.resource_version(), permit.valid_until()), (7, Time::from_secs(10_005)));
    let record = InterventionRecord {
        id: DecisionId::new(10_000, 1).intervention(),
        origin: Origin::Rule("out".into()),
        reason: "it saturates".into(),
        applied_at: Time::from_secs(10_000),
        deadline: Time::from_secs(10_150),
        replicas_before: 4,
        replicas_after: 9,
        waiting_ns_before: 40_000_000,
        details: None,
    };
    assert_eq!(*permit.change(), Change::Scale(Scaling { service: "a".into(), from: 4, to: 9, record }));
}

#[test]
fn pause_refuses_and_resuming_acts() {
    let mut world = World::new();
    world.pauses = everything();
    assert_eq!(world.one(vec![scale_out("a", 9)]), "pause: headroom is paused; resume it to let it act");
    world.pauses = Pauses::default();
    assert_eq!(world.one(vec![scale_out("a", 9)]), "4->9");
}

#[test]
fn a_service_is_paused_alone() {
    let mut world = World::new();
    world.cluster.workloads.push(workload("b", 4, 2, 20));
    world.pauses = paused(Some("a"));
    assert_eq!(world.one(vec![scale_out("a", 9)]), "pause: a is paused; resume it to let headroom act on it");
    assert_eq!(world.one(vec![scale_out("b", 9)]), "4->9");
}

#[test]
fn only_workloads_that_opted_in_are_touched() {
    assert_eq!(World::new().one(vec![scale_out("b", 9)]), "opt_in: no workload of b has opted in");
}

#[test]
fn what_the_cluster_holds_against_a_change_is_said_at_its_gate() {
    let refused = |hold: Hold| {
        let mut world = World::new();
        world.cluster.workloads[0].held = Some(hold);
        world.one(vec![scale_out("a", 9)])
    };
    let reason = || "policy no-more-than-six".to_owned();
    assert_eq!(
        refused(Hold::Leader { leader: "headroom-1".into() }),
        "pause: headroom-1 leads and acts; this replica watches"
    );
    assert_eq!(refused(Hold::Owner { reason: reason() }), "opt_in: policy no-more-than-six");
    assert_eq!(refused(Hold::Admission { reason: reason() }), "admission: policy no-more-than-six");
    assert_eq!(
        refused(Hold::Reverted { manager: "argocd".into(), until: Time(0) }),
        "breaker: argocd undid the last change of a within a minute; closed again at 1970-01-01T00:00:00.000Z"
    );
}

#[test]
fn blind_or_stale_holds_still() {
    let mut world = World::new();
    world.findings.blind = true;
    assert_eq!(world.one(vec![scale_out("a", 9)]), "telemetry: no spans arrive; nothing is changed while blind");
    let mut world = World::new();
    world.now = world.now + Duration::from_secs(11);
    let outcome = &world.review(vec![scale_out("a", 9)])[0].decision.outcome;
    assert!(matches!(outcome, Outcome::Refused { gate: Gate::Telemetry, .. }), "{outcome:?}");
}

#[test]
fn giving_back_needs_good_sight_of_the_target() {
    let refused = |bend: fn(&mut World)| {
        let mut world = World::new().watched(301, 2);
        bend(&mut world);
        world.one(vec![scale_in("a", 2)])
    };
    assert!(refused(|w| w.findings.services[0].low_traffic = true).starts_with("telemetry: too few requests"));
    assert!(refused(|w| w.findings.services[0].objective_missed = true).starts_with("telemetry: an objective"));
    assert!(refused(|w| w.findings.services.clear()).starts_with("telemetry: no spans of it"));
    assert_eq!(refused(|_| ()), "4->2");
}

#[test]
fn an_open_breaker_stops_its_rule_at_its_target_for_a_time() {
    let mut world = World::new();
    world.guard.open_breaker(&"out".into(), &"a".into(), "i-1-1 had no effect", world.now);
    let refused = world.one(vec![scale_out("a", 9)]);
    assert_eq!(
        refused,
        "breaker: the breaker of out for a is open until 1970-01-01T02:56:40.000Z: i-1-1 had no effect"
    );
    let other = Proposal { origin: "other".into(), ..scale_out("a", 5) };
    assert_eq!(world.one(vec![other]), "4->5", "another rule may");
    world.now = world.now + Duration::from_secs(600);
    assert_eq!(world.one(vec![scale_out("a", 9)]), "5->9");
}

#[test]
fn pods_that_are_coming_count_and_a_rising_need_waits_for_the_cooldown() {
    let mut world = World::new();
    assert_eq!(world.one(vec![scale_out("a", 9)]), "4->9");
    assert_eq!(world.tick(vec![scale_out("a", 9)]), [], "9 are wanted already");
    assert!(world.one(vec![scale_out("a", 12)]).starts_with("cooldown: its last scale-out was at"));
    assert_eq!(world.tick(vec![]), []);
    assert_eq!(world.one(vec![scale_out("a", 12)]), "9->12");
    let before_the_first = world.cluster.workloads[0].interventions.first().map(|r| r.replicas_before);
    assert_eq!(before_the_first, Some(4), "the newer record keeps what was there before the first step");
}

#[test]
fn a_rule_sets_its_own_cooldown() {
    let slow = |to| {
        let action = Action::ScaleOut(ScaleOut { service: "a".into(), to, cooldown_s: Some(60.0) });
        Proposal { action, ..scale_out("a", to) }
    };
    let mut world = World::new();
    assert_eq!(world.one(vec![slow(9)]), "4->9");
    world.now = world.now + Duration::from_secs(30);
    assert!(world.one(vec![slow(12)]).contains("less than 60 s ago"));
}

#[test]
fn no_scale_in_soon_after_a_scale_out_not_even_after_a_restart() {
    let mut world = World::new().watched(301, 2);
    assert_eq!(world.one(vec![scale_out("a", 5)]), "4->5");
    assert!(world.one(vec![scale_in("a", 2)]).starts_with("cooldown: its last scale-out"));

    world.guard = Guard::new(Config::default());
    world.guard.adopt(&world.cluster);
    assert!(world.one(vec![scale_in("a", 2)]).starts_with("cooldown: its last scale-out"));
}

#[test]
fn an_unanswered_permit_makes_its_target_wait_and_a_failed_one_is_decided_anew() {
    let mut world = World::new();
    let first = world.tick(vec![scale_out("a", 9)]);
    let id = first[0].permit.as_ref().unwrap().decision();
    assert_eq!(world.tick(vec![scale_out("a", 12)]), []);
    world.guard.settled(id, false);
    assert_eq!(world.one(vec![scale_out("a", 12)]), "4->12", "no cooldown for what was not done");
    let lost = world.tick(vec![scale_out("a", 14)]);
    assert!(matches!(lost[0].decision.outcome, Outcome::Refused { gate: Gate::Cooldown, .. }));
}

#[test]
fn scale_in_goes_to_the_highest_need_of_its_window() {
    let mut world = World::new().watched(301, 4);
    world.cluster.workloads[0].replicas = 8;
    world.findings.services[0].replicas_needed = Some(3);
    assert_eq!(world.one(vec![scale_in("a", 3)]), "8->4", "held at the need of 4 of a moment ago");
    let mut world = world.watched(301, 3);
    assert_eq!(world.one(vec![scale_in("a", 3)]), "4->3");
}

#[test]
fn scale_in_waits_for_a_whole_window_after_a_restart() {
    let mut world = World::new().watched(100, 2);
    assert!(world.one(vec![scale_in("a", 2)]).starts_with("stabilisation: its need is known since"));
    let longer = |world: &mut World| {
        let action = Action::ScaleIn(ScaleIn { service: "a".into(), to: 2, stabilisation_s: Some(600.0) });
        world.one(vec![Proposal { action, ..scale_in("a", 2) }])
    };
    let mut world = world.watched(250, 2);
    assert!(longer(&mut world).ends_with("the window is 600 s"), "a rule may ask for a longer window");
    assert_eq!(world.one(vec![scale_in("a", 2)]), "4->2");
}

#[test]
fn no_scale_in_in_panic() {
    let mut world = World::new().watched(301, 4);
    world.cluster.workloads[0].replicas = 20; // ordered, but 4 are ready
    world.findings.services[0].replicas_needed = Some(9);
    assert!(world.one(vec![scale_in("a", 9)]).starts_with("stabilisation: scale-in held: demand exceeded"));
}

#[test]
fn bounds_clamp_and_say_so() {
    let mut world = World::new();
    let reviewed = world.tick(vec![scale_out("a", 30)]);
    assert_eq!(reviewed[0].decision.outcome, Outcome::Permitted { from: 4, to: 20 });
    assert_eq!(reviewed[0].decision.notes, ["asked for 30, cut to 20: its maximum (set by its owner)"]);
    world.act(&reviewed);
    world.now = world.now + Duration::from_secs(10);
    assert_eq!(world.one(vec![scale_out("a", 30)]), "bounds: it is at its maximum of 20 replicas (set by its owner)");
}

#[test]
fn one_step_goes_only_so_far_either_way() {
    let mut world = World::new();
    world.cluster.workloads = vec![workload("a", 1, 1, 100)];
    assert_eq!(world.one(vec![scale_out("a", 50)]), "1->10");
    let mut world = World::new().watched(301, 1);
    world.cluster.workloads[0] = workload("a", 16, 2, 20);
    assert_eq!(world.one(vec![scale_in("a", 0)]), "16->8", "half at a time");
    world.now = world.now + Duration::from_secs(29);
    assert_eq!(world.one(vec![scale_in("a", 0)]), "8->4");
    world.now = world.now + Duration::from_secs(29);
    assert_eq!(world.one(vec![scale_in("a", 0)]), "4->2");
    world.now = world.now + Duration::from_secs(29);
    assert_eq!(world.tick(vec![scale_in("a", 0)]), [], "at its minimum it rests");
}

#[test]
fn the_budget_bounds_all_targets_together() {
    let mut world = World::new();
    world.guard = Guard::new(Config { added_replicas_max: 10, ..Config::default() });
    world.cluster.workloads.push(workload("b", 4, 2, 20));
    let reviewed = world.tick(vec![scale_out("a", 12), scale_out("b", 12)]);
    let outcomes: Vec<&Outcome> = reviewed.iter().map(|r| &r.decision.outcome).collect();
    assert_eq!(outcomes, [&Outcome::Permitted { from: 4, to: 12 }, &Outcome::Permitted { from: 4, to: 6 }]);
    assert_eq!(reviewed[1].decision.notes, ["asked for 12, cut to 6: it may add 10 replicas at once"]);
    world.act(&reviewed);
    world.now = world.now + Duration::from_secs(10);
    let refused = "budget: headroom has added all of the 10 replicas it may add at once";
    assert_eq!(world.one(vec![scale_out("b", 12)]), refused);

    world.guard = Guard::new(Config { added_replicas_max: 10, ..Config::default() });
    assert_eq!(world.one(vec![scale_out("b", 12)]), refused, "a restart reads it from the records");
}

#[test]
fn the_rate_of_actions_is_bounded() {
    let mut world = World::new();
    world.guard = Guard::new(Config { actions_per_minute_max: 2, ..Config::default() });
    for to in [5, 6] {
        assert_eq!(world.one(vec![scale_out("a", to)]), format!("{}->{to}", to - 1));
        world.now = world.now + Duration::from_secs(5);
    }
    assert!(world.one(vec![scale_out("a", 7)]).starts_with("budget: 2 changes within a minute"));
    world.now = world.now + Duration::from_secs(50);
    assert_eq!(world.one(vec![scale_out("a", 7)]), "6->7");
}

#[test]
fn refusals_are_said_once_until_they_change_or_recur() {
    let mut world = World::new();
    world.pauses = everything();
    assert_eq!(world.tick(vec![scale_out("a", 9)]).len(), 1);
    for _ in 0..200 {
        assert_eq!(world.tick(vec![scale_out("a", 9)]), []);
    }
    world.findings.blind = true;
    world.pauses = Pauses::default();
    assert_eq!(world.tick(vec![scale_out("a", 9)]).len(), 1, "another reason");
    world.now = world.now + Duration::from_secs(61);
    assert_eq!(world.tick(vec![scale_out("a", 9)]).len(), 1, "it recurs");
}

#[test]
fn observing_says_what_it_would_do_and_touches_nothing() {
    let mut world = World::new();
    world.mode = Mode::Observe;
    assert_eq!(world.one(vec![scale_out("a", 9)]), "observed 4->9");
    assert_eq!(world.tick(vec![scale_out("a", 8)]), [], "no news");
    assert_eq!(world.one(vec![scale_out("a", 11)]), "observed 4->11");
    assert_eq!(world.cluster.workloads[0].replicas, 4);
}

/// FIELD 14: without a cluster there was a refusal by the opt-in gate and no word of what would be done.
#[test]
fn observing_without_a_cluster_says_what_it_would_do_and_what_stands_against_it() {
    let mut world = World::new();
    world.mode = Mode::Observe;
    world.cluster.workloads.clear();
    let would = "observed 4->9; opt_in gate: no workload of a has opted in";
    assert_eq!(world.one(vec![scale_out("a", 9)]), would, "4 pods sent spans");
    assert_eq!(world.tick(vec![scale_out("a", 9)]), [], "no news");
    assert_eq!(world.tick(vec![scale_out("a", 3)]), [], "there are more already");
    let unseen = "observed 0->9; opt_in gate: no workload of b has opted in";
    assert_eq!(world.one(vec![scale_out("b", 9)]), unseen);
}

#[test]
fn observing_names_every_gate_that_would_refuse_in_their_order() {
    let mut world = World::new();
    world.mode = Mode::Observe;
    world.pauses = everything();
    world.cluster.workloads[0].max_replicas = 4;
    world.cluster.workloads[0].held = Some(Hold::Admission { reason: "policy no-more-than-six".into() });
    let said = world.tick(vec![scale_out("a", 9)]);
    assert_eq!(
        said[0].decision.would().unwrap(),
        "would scale a 4 -> 9; refused by pause gate: headroom is paused; resume it to let it act; \
         bounds gate: it is at its maximum of 4 replicas (set by its owner); \
         admission gate: policy no-more-than-six"
    );
    world.pauses = Pauses::default();
    assert_eq!(world.tick(vec![scale_out("a", 9)]).len(), 1, "other gates are news");
}

/// As 0.1.0 and the first builds of 0.2 wrote it.
#[test]
fn a_decision_of_an_older_journal_is_read() {
    let old = r#"{"id":"d-1-1","at":1,"proposal":{"rule":"out","wish":{"wish":"scale_out","service":"a","to":9},"because":"","verdict":""},"outcome":"observed","from":4,"to":9}"#;
    let decision: Decision = serde_json::from_str(old).unwrap();
    assert_eq!(decision.outcome, Outcome::Observed { from: 4, to: 9, refused_by: vec![] });
}

#[test]
fn the_larger_scale_out_wins_and_silences_scale_in() {
    let mut world = World::new().watched(301, 2);
    let larger = Proposal { origin: "z".into(), ..scale_out("a", 9) };
    let reviewed = world.tick(vec![scale_in("a", 2), scale_out("a", 6), larger.clone()]);
    assert_eq!(reviewed.len(), 1);
    assert_eq!(reviewed[0].decision.proposal, larger);
}

#[test]
fn notifications_pass_even_when_paused_and_are_not_repeated_at_once() {
    let notify = |verdict: &str| Proposal {
        origin: "tell".into(),
        action: Action::Notify(Notify { service: "db".into(), message: "slow".into() }),
        because: String::new(),
        verdict: verdict.into(),
    };
    let mut world = World::new();
    world.pauses = everything();
    assert_eq!(world.one(vec![notify("slow_dependency")]), "notified");
    assert_eq!(world.tick(vec![notify("slow_dependency")]), []);
    assert_eq!(world.one(vec![notify("failing")]), "notified");
    assert_eq!(world.tick(vec![notify("slow_dependency")]), [], "a verdict that flaps is told once each");
    let repeats = (0..600).filter(|_| !world.tick(vec![notify("failing")]).is_empty()).count();
    assert_eq!(repeats, 2, "every five minutes while it lasts");
}

/// FIELD 12: an outage that ended at 14:02:50 and began again at 14:04:44 was not told of.
#[test]
fn a_notification_is_told_again_when_its_cause_ended_in_between() {
    let notify = || Proposal {
        origin: "tell".into(),
        action: Action::Notify(Notify { service: "db".into(), message: "slow".into() }),
        because: String::new(),
        verdict: "slow_dependency".into(),
    };
    let mut world = World::new();
    assert_eq!(world.one(vec![notify()]), "notified");
    (0..30).for_each(|_| assert_eq!(world.tick(vec![]), []));
    assert_eq!(world.tick(vec![notify()]), [], "a verdict that flaps");
    (0..114).for_each(|_| assert_eq!(world.tick(vec![]), []));
    assert_eq!(world.one(vec![notify()]), "notified", "another outage");
}

#[test]
fn closing_takes_the_record_of_the_intervention_it_names() {
    let mut world = World::new();
    assert_eq!(world.one(vec![scale_out("a", 9)]), "4->9");
    let close = |world: &World, id: &str| {
        let World { now, mode, pauses, cluster, findings, .. } = world;
        let context = Context { now: *now, mode: *mode, pauses, cluster, findings, gateways_ask: true };
        world.guard.close(&"a".into(), id.parse().unwrap(), &context)
    };
    let permit = close(&world, "i-10000-1").unwrap();
    assert_eq!(*permit.change(), Change::Close { service: "a".into(), intervention: "i-10000-1".parse().unwrap() });
    assert_eq!((permit.decision(), permit.resource_version()), (DecisionId::new(10_000, 1), 8));
    assert_eq!(close(&world, "i-1-1"), None, "not the one on the object");
    world.pauses = everything();
    assert_eq!(close(&world, "i-10000-1"), None, "paused");
}

#[test]
fn a_state_from_before_the_write_brings_no_second_step() {
    let mut world = World::new();
    let first = world.tick(vec![scale_out("a", 9)]);
    world.guard.settled(first[0].decision.id, true);
    for _ in 0..4 {
        assert_eq!(world.tick(vec![scale_out("a", 9)]), [], "the state still shows 4 replicas");
    }
    world.act(&first);
    assert_eq!(world.one(vec![scale_out("a", 12)]), "9->12");
}

#[test]
fn a_restart_within_the_second_makes_no_id_twice() {
    let mut world = World::new();
    let reviewed = world.review(vec![scale_out("a", 9)]);
    world.act(&reviewed);
    world.guard = Guard::new(Config::default());
    assert_eq!(world.review(vec![scale_out("b", 9)])[0].decision.id, DecisionId::new(10_000, 2));
}

#[test]
fn ids_count_within_a_second() {
    let mut world = World::new();
    let ids: Vec<DecisionId> =
        world.tick(vec![scale_out("b", 9), scale_out("c", 9)]).into_iter().map(|r| r.decision.id).collect();
    assert_eq!(ids, [DecisionId::new(10_000, 1), DecisionId::new(10_000, 2)]);
    assert_eq!(world.tick(vec![scale_out("d", 9)])[0].decision.id, DecisionId::new(10_001, 1));
}
