//! One afternoon's journal, and the questions that are asked of it.

use super::*;
use crate::action::{Action, Notify, ScaleOut, Scaling};
use crate::analyse::{Evidence, Findings, Verdict};
use crate::decide::Proposal;
use crate::guard::{Gate, Outcome};
use crate::model::{InterventionRecord, TraceId};
use crate::verify::Stage;

/// 2026-11-24, 14:03:07 UTC.
const START_S: i64 = 1_795_528_987;

fn at(seconds: i64) -> Time {
    Time::from_secs(START_S + seconds)
}

fn proposal(service: &str, to: u32) -> Proposal {
    Proposal {
        origin: "scale_out_bottleneck".into(),
        action: Action::ScaleOut(ScaleOut { service: service.into(), to, cooldown_s: Some(3.0) }),
        because: format!("ingress GET /exam: p99 812 ms (objective 300 ms); {service} is saturated"),
        verdict: "saturated".into(),
    }
}

fn decided(seconds: i64, proposal: Proposal, outcome: Outcome, notes: &[&str]) -> Entry {
    let id = DecisionId::new(START_S + seconds, 1);
    let notes = notes.iter().map(ToString::to_string).collect();
    let decision = Decision { id, at: at(seconds), proposal, outcome, notes };
    Entry { at: at(seconds), what: What::Decided { decision } }
}

fn report(seconds: i64, stage: Stage, reason: &str) -> Entry {
    let report = InterventionReport {
        id: DecisionId::new(START_S, 1).intervention(),
        decision: DecisionId::new(START_S, 1),
        origin: "scale_out_bottleneck".into(),
        service: "content-api".into(),
        from: 3,
        to: 9,
        applied_at: at(0),
        deadline: at(150),
        stage,
        reason: reason.into(),
        waiting_ms_before: 412.0,
        waiting_ms_now: None,
        idle_pods: Vec::new(),
    };
    Entry { at: at(seconds), what: What::Intervention { report } }
}

fn afternoon() -> Vec<Entry> {
    let bottleneck = Bottleneck {
        entry: "ingress GET /exam".into(),
        service: "content-api".into(),
        operation: "GET /page".into(),
        verdict: Verdict::Saturated,
        score: 0.92,
        blame_ms: 310_000.0,
        p99_ms: 812.0,
        objective_ms: 300.0,
        missed_share: 0.41,
        replicas: 3,
        replicas_needed: Some(12),
        evidence: vec![
            Evidence { measure: "waiting_ms".into(), now: 412.0, baseline: Some(1.2) },
            Evidence { measure: "throughput_per_pod_per_s".into(), now: 70.1, baseline: Some(34.0) },
            Evidence { measure: "growth".into(), now: 3.0, baseline: None },
        ],
        exemplars: vec![TraceId([0xab; 16]), TraceId([0xcd; 16])],
        ..Bottleneck::default()
    };
    let findings = |seconds, bottlenecks| Findings { at: at(seconds), bottlenecks, ..Findings::default() };
    let record = InterventionRecord {
        id: DecisionId::new(START_S, 1).intervention(),
        origin: "scale_out_bottleneck".into(),
        reason: String::new(),
        applied_at: at(0),
        deadline: at(150),
        replicas_before: 3,
        replicas_after: 9,
        waiting_ns_before: 412_000_000,
        details: None,
    };
    let change = Change::Scale(Scaling { service: "content-api".into(), from: 3, to: 9, record });
    let intervention = DecisionId::new(START_S, 1).intervention();
    let close = Change::Close { service: "content-api".into(), intervention };
    let acted = |seconds, change, error| {
        let decision = DecisionId::new(START_S, 1);
        Entry { at: at(seconds), what: What::Acted { decision, change, error } }
    };
    let full = || Outcome::Refused { gate: Gate::Bounds, reason: "it is at its maximum of 9 replicas".into() };
    let tell = Proposal {
        origin: "notify_slow_dependency".into(),
        action: Action::Notify(Notify {
            service: "exam-db".into(),
            message:
                "exam-api waits on a slow dependency (exam-db); check that dependency: more replicas will not help"
                    .into(),
        }),
        because: "ingress POST /submit: p99 900 ms (objective 500 ms)".into(),
        verdict: "slow_dependency".into(),
    };
    vec![
        Entry { at: at(-60), what: What::Ticked },
        Entry { at: at(-2), what: What::Found { findings: findings(-2, vec![bottleneck.clone()]) } },
        decided(
            0,
            proposal("content-api", 12),
            Outcome::Permitted { from: 3, to: 9 },
            &["asked for 12, cut to 9: its maximum"],
        ),
        acted(1, change, None),
        report(1, Stage::Applied, "3 to 9 replicas, written to the cluster; its pods are coming"),
        decided(5, proposal("content-api", 14), full(), &[]),
        decided(20, tell, Outcome::Notified, &[]),
        report(33, Stage::Judging, "all 9 pods ready and warm; measuring effect"),
        decided(58, proposal("auth", 4), Outcome::Observed { from: 2, to: 4, refused_by: vec![] }, &[]),
        report(
            95,
            Stage::Verified,
            "waiting at content-api went from 900 ms to 2 ms, and it is no longer a bottleneck",
        ),
        Entry { at: at(96), what: What::Found { findings: findings(96, vec![]) } },
        acted(97, close.clone(), Some(ActError::Conflict { service: "content-api".into() })),
        acted(102, close, None),
        Entry { at: at(150), what: What::Ticked },
    ]
}

fn answer(asked: &str) -> String {
    match explain(&afternoon(), asked, at(200)) {
        Ok(explanation) => explanation.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_whole_story_of_a_decision() {
    insta::assert_snapshot!(answer("d-1795528987-1"));
    assert_eq!(answer("i-1795528987-1"), answer("d-1795528987-1"));
}

#[test]
fn everything_decided_in_a_minute() {
    insta::assert_snapshot!(answer("14:03"));
    assert_eq!(answer("2026-11-24T14:03"), answer("14:03"));
    assert!(answer("14:03:07").ends_with(&answer("d-1795528987-1")), "a second is narrower");
}

#[test]
fn a_quiet_minute_says_what_stood() {
    insta::assert_snapshot!(answer("14:05"));
    // The minute before: found nothing yet, nothing decided, nothing open.
    insta::assert_snapshot!(answer("14:02"));
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    insta::assert_snapshot!(["d-1-1", "15:00", "yesterday", "auht", "2026-11-25T14:03"].map(answer).join("\n"));
    assert_eq!(explain(&[], "14:03", at(0)), Err(ExplainError::Empty));
    let ticked = Entry { at: at(0), what: What::Ticked };
    assert_eq!(explain(&[ticked], "last", at(0)), Err(ExplainError::NoDecision { from: at(0), to: at(0) }));
}

/// FIELD 11: three minutes into an outage 'the journal has nothing', as nothing new had been written in that minute.
#[test]
fn a_minute_in_which_nothing_was_written_shows_the_state_that_held() {
    let entries = &afternoon()[..2]; // a bottleneck was found at 14:03:05, and then nothing
    let said = |asked: &str, now: i64| explain(entries, asked, at(now)).map(|said| said.to_string());
    let outage = said("14:06", 180).unwrap();
    assert!(outage.contains("content-api is saturated") && outage.contains("nothing was decided"), "{outage}");
    assert!(said("14:07", 180).is_err(), "it is yet to come");
    assert!(said("14:06:30Z", 220).unwrap().contains("content-api is saturated"));
}

/// FIELD 11: 18 s of failure within the minute, and 'all objectives held'.
#[test]
fn what_began_and_ended_within_a_minute_is_told() {
    let mut entries = afternoon();
    entries.truncate(2);
    let over = Findings { at: at(16), ..Findings::default() };
    entries.push(Entry { at: at(16), what: What::Found { findings: over } });
    entries.push(Entry {
        at: at(20),
        what: What::Paused { by: "ada (claimed): load test".into(), service: Some("auth".into()), until: Some(at(50)) },
    });
    entries.push(Entry {
        at: at(50),
        what: What::PauseEnded { by: "ada (claimed): load test".into(), service: Some("auth".into()) },
    });
    let said = |asked| explain(&entries, asked, at(60)).unwrap().to_string();
    insta::assert_snapshot!(said("14:03"));
    assert!(said("14:03:30").contains("Paused: auth, by ada (claimed): load test"), "{}", said("14:03:30"));
}

#[test]
fn a_service_and_the_last_decision_can_be_asked_for() {
    assert_eq!(answer("last"), answer("d-1795529045-1"));
    let said = answer("content-api");
    assert!(said.starts_with("State on 2026-11-24 at 14:06:27 UTC\n"), "{said}");
    assert!(said.contains("d-1795528987-1") && said.contains("d-1795528992-1") && !said.contains("auth"), "{said}");
    assert!(answer("now").contains("No bottleneck"));
}
