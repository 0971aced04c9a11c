//! A week of twelve outages, looked back at: some ended by themselves, some by a hand that was not headroom's.

use super::*;
use crate::action::{self, Action, Notify, ScaleIn, ScaleOut, Scaling};
use crate::analyse::{Bottleneck, EntryFinding, Findings, ServiceFinding, Verdict};
use crate::decide::Proposal;
use crate::guard::{Gate, Refusal};
use crate::model::{ClusterState, InterventionRecord, Pod, Workload};
use crate::verify::{InterventionReport, Stage};

/// A journal that is written as a course goes.
struct Week {
    entries: Vec<Entry>,
    replicas: u32,
    pods_from: u32,
    load: f64,
}

const HOUR: i64 = 3_600;

fn at(second: i64) -> Time {
    Time::from_secs(1_795_000_000 + second)
}

impl Week {
    fn new() -> Week {
        let mut week = Week { entries: Vec::new(), replicas: 2, pods_from: 0, load: 100.0 };
        week.push(0, What::Started { version: "0.1.0".into(), config: serde_json::Value::Null, rules: vec![] });
        week.cluster(0);
        week.met(1);
        week
    }

    fn push(&mut self, second: i64, what: What) {
        self.entries.push(Entry { at: at(second), what });
    }

    fn cluster(&mut self, second: i64) {
        let pod = |n| Pod { name: format!("auth-{n}"), created_at: Time(0), ready_at: Some(Time(0)) };
        let workload = Workload {
            service: "auth".into(),
            replicas: self.replicas,
            pods: (self.pods_from..self.pods_from + self.replicas).map(pod).collect(),
            ..Workload::default()
        };
        let state = ClusterState { at: at(second), workloads: vec![workload] };
        self.push(second, What::Cluster { state });
    }

    fn findings(&self, second: i64, bottlenecks: Vec<Bottleneck>) -> Findings {
        let missed = !bottlenecks.is_empty();
        let entry = EntryFinding {
            entry: "ingress POST /login".into(),
            requests: 300,
            requests_per_s: self.load,
            p50_ms: 20.0,
            p99_ms: 900.0,
            objective_ms: 300.0,
            missed_share: if missed { 0.4 } else { 0.0 },
            error_share: 0.0,
            missed,
            remote_parent_share: 0.0,
            compliance: crate::analyse::Compliance::default(),
            work: crate::model::Work::default(),
        };
        let service: ServiceFinding = serde_json::from_value(serde_json::json!({
            "service": "auth", "throughput_per_s": self.load, "arrivals_per_s": self.load, "error_share": 0.0,
            "p99_ms": 800.0, "waiting_ms": 400.0, "own_time_ms": 9.0, "concurrency_per_pod": 4.0,
            "capacity_per_pod_per_s": null, "replicas": self.replicas, "ready": self.replicas, "replicas_needed": 6,
            "objective_missed": missed, "low_traffic": false,
        }))
        .unwrap();
        Findings { at: at(second), bottlenecks, services: vec![service], entries: vec![entry], ..Findings::default() }
    }

    fn missed(&mut self, second: i64, verdict: Verdict) {
        let bottleneck = Bottleneck {
            entry: "ingress POST /login".into(),
            service: "auth".into(),
            verdict,
            p99_ms: 900.0,
            objective_ms: 300.0,
            missed_share: 0.4,
            ..Bottleneck::default()
        };
        let findings = self.findings(second, vec![bottleneck]);
        self.push(second, What::Found { findings });
    }

    fn met(&mut self, second: i64) {
        let findings = self.findings(second, vec![]);
        self.push(second, What::Found { findings });
    }

    fn decided(&mut self, second: i64, action: Action, outcome: Outcome) -> DecisionId {
        let id = DecisionId::new(at(second).second(), 1);
        let proposal =
            Proposal { origin: "rule".into(), action, because: "it saturates".into(), verdict: String::new() };
        let decision = Decision { id, at: at(second), proposal, outcome, notes: vec![] };
        self.push(second, What::Decided { decision });
        id
    }

    fn would_scale(&mut self, second: i64, to: u32) {
        let (from, action) = (self.replicas, out(to));
        self.decided(second, action, Outcome::Observed { from, to, refused_by: vec![] });
    }

    /// Somebody else scales it, or (the same number) replaces its pods.
    fn by_hand(&mut self, second: i64, to: u32) {
        if to == self.replicas {
            self.pods_from += 100;
        }
        self.replicas = to;
        self.cluster(second);
    }
}

fn out(to: u32) -> Action {
    Action::ScaleOut(ScaleOut { service: "auth".into(), to, cooldown_s: None })
}

/// The endings and judgements, outage by outage.
fn judged(hindsight: &Hindsight) -> Vec<String> {
    let one = |incident: &Incident| {
        let decisions = incident.decisions.iter().map(|judged| judged.judgement.in_words()).collect::<Vec<_>>();
        format!("{} [{}]", incident.ending.in_words(), decisions.join(" "))
    };
    hindsight.incidents.iter().map(one).collect()
}

fn week() -> Vec<Entry> {
    let mut week = Week::new();
    let start = |n: i64| n * 12 * HOUR;
    // 1 to 3: what headroom said is what somebody did, minutes later.
    for n in 1..=3 {
        let begins = start(n);
        week.missed(begins, Verdict::Saturated);
        week.would_scale(begins + 2, 6);
        week.by_hand(begins + 300, 6);
        week.met(begins + 360);
        week.by_hand(begins + 2 * HOUR, 2);
    }
    // 4: over before new pods would have been ready.
    week.missed(start(4), Verdict::Saturated);
    week.would_scale(start(4) + 2, 6);
    week.met(start(4) + 30);
    // 5, 6: the load fell by itself.
    for n in 5..=6 {
        week.missed(start(n), Verdict::Saturated);
        week.would_scale(start(n) + 2, 6);
        week.load = 40.0;
        week.met(start(n) + 900);
        week.load = 100.0;
        week.met(start(n) + 2_000);
    }
    // 7: met again at the same load, without anything.
    week.missed(start(7), Verdict::Degraded);
    week.would_scale(start(7) + 2, 6);
    week.met(start(7) + 900);
    // 8: people were told, and somebody replaced the pods.
    week.missed(start(8), Verdict::Failing);
    let notify = Action::Notify(Notify { service: "auth".into(), message: "check its log".into() });
    week.decided(start(8) + 5, notify, Outcome::Notified);
    week.by_hand(start(8) + 200, 2);
    week.met(start(8) + 260);
    // 9: it flapped, and is one outage.
    week.missed(start(9), Verdict::Saturated);
    week.met(start(9) + 20);
    week.missed(start(9) + 40, Verdict::Saturated);
    week.met(start(9) + 90);
    // 10: a gate would have refused it, without a cluster that opted in.
    week.missed(start(10), Verdict::Saturated);
    let refused_by = vec![Refusal { gate: Gate::OptIn, reason: "no workload of auth has opted in".into() }];
    week.decided(start(10) + 2, out(6), Outcome::Observed { from: 2, to: 6, refused_by });
    week.load = 50.0;
    week.met(start(10) + 600);
    week.load = 100.0;
    // 11: headroom acted, and it was confirmed.
    week.missed(start(11), Verdict::Saturated);
    let id = week.decided(start(11) + 2, out(6), Outcome::Permitted { from: 2, to: 6 });
    let record = InterventionRecord {
        id: id.intervention(),
        origin: "rule".into(),
        reason: String::new(),
        applied_at: at(start(11) + 2),
        deadline: at(start(11) + 150),
        replicas_before: 2,
        replicas_after: 6,
        waiting_ns_before: 0,
        details: None,
    };
    let change = action::Change::Scale(Scaling { service: "auth".into(), from: 2, to: 6, record });
    week.push(start(11) + 3, What::Acted { decision: id, change, error: None });
    week.by_hand(start(11) + 4, 6); // its own change, as the cluster shows it
    let report = InterventionReport {
        id: id.intervention(),
        decision: id,
        origin: "rule".into(),
        service: "auth".into(),
        from: 2,
        to: 6,
        applied_at: at(start(11) + 3),
        deadline: at(start(11) + 150),
        stage: Stage::Verified,
        reason: "waiting at auth went from 400 ms to 2 ms".into(),
        waiting_ms_before: 400.0,
        waiting_ms_now: Some(2.0),
        idle_pods: vec![],
    };
    week.push(start(11) + 70, What::Intervention { report });
    week.met(start(11) + 60);
    // A scale-in too early, and the outage that speaks against it; the journal ends in it.
    let scale_in = Action::ScaleIn(ScaleIn { service: "auth".into(), to: 3, stabilisation_s: None });
    week.decided(start(12) - 120, scale_in, Outcome::Observed { from: 6, to: 3, refused_by: vec![] });
    week.missed(start(12), Verdict::Saturated);
    week.would_scale(start(12) + 2, 9);
    week.push(start(12) + 100, What::Ticked);
    week.entries
}

#[test]
fn each_outage_of_a_week_is_told_by_how_it_ended() {
    let hindsight = look_back(&week(), Time::MIN);
    assert_eq!(
        judged(&hindsight),
        [
            "after somebody else acted [right]",
            "after somebody else acted [right]",
            "after somebody else acted [right]",
            "by itself [needless]",
            "by itself [right]",
            "by itself [right]",
            "by itself [open]",
            "after somebody else acted [right]",
            "by itself []",
            "by itself [right]",
            "after headroom acted [right]",
            "not over yet [open]",
        ]
    );
    let given_back = &hindsight.others[0];
    assert_eq!((given_back.judgement, given_back.of.effect.as_str()), (Judgement::Wrong, "scale auth 6 -> 3"));
    assert_eq!(hindsight.first_steps().len(), 10);
    // 40 of 100 requests a second for six minutes.
    assert_eq!(hindsight.incidents[0].missed_requests.round(), 14_400.0);
    let why = "auth was scaled 2 -> 6 5 min later by somebody else, and 60 s after that it was over";
    assert_eq!(hindsight.incidents[0].decisions[0].why, why);
}

#[test]
fn only_what_is_asked_for_is_told() {
    let entries = week();
    let late = look_back(&entries, at(11 * 12 * HOUR - 60));
    assert_eq!((late.incidents.len(), late.starts), (2, 0));
    let nothing = look_back(&entries[..3], Time::MIN);
    assert_eq!((nothing.incidents.len(), nothing.first_steps().len()), (0, 0));
}

/// Without a cluster the pods that sent spans tell what somebody else did.
#[test]
fn pods_that_sent_spans_stand_in_for_a_cluster() {
    let mut week = Week::new();
    week.entries.retain(|entry| !matches!(entry.what, What::Cluster { .. }));
    week.missed(HOUR, Verdict::Saturated);
    week.would_scale(HOUR + 2, 6);
    week.replicas = 6;
    week.missed(HOUR + 200, Verdict::Exhausted);
    week.met(HOUR + 260);
    assert_eq!(judged(&look_back(&week.entries, Time::MIN)), ["after somebody else acted [right]"]);
}

#[test]
fn what_misses_as_the_journal_ends_has_missed_until_then() {
    let mut week = Week::new();
    week.missed(HOUR, Verdict::Saturated);
    week.push(HOUR + 30, What::Ticked);
    let looked = look_back(&week.entries, Time::MIN);
    let [incident] = &looked.incidents[..] else { panic!("one outage: {:?}", looked.incidents) };
    // 100 requests a second, of which 0.4 miss.
    assert_eq!(incident.missed_requests, 30.0 * 100.0 * 0.4);
}
