//! A simulated course looked back at: headroom observes a storm of logins, and somebody else scales the service out.

use std::path::Path;

use headroom::action::{Change, Scaling};
use headroom::commands::demo::course::{self, START, TICK_NS};
use headroom::decide;
use headroom::engine::{Effect, Engine, Event, Settings};
use headroom::guard::Mode;
use headroom::journal::Entry;
use headroom::journal::hindsight::{Ending, Hindsight, Judgement, Means, look_back};
use headroom::model::{InterventionRecord, Time};
use headroom::receive::decode;
use headroom::simulate::{Scenario, Simulation};
use prost::Message;

use crate::process::run;
use crate::skip::measured;

const STORM: &str = include_str!("demo/small.yaml");
/// The storm breaks at 30 s and is over at 130 s.
const END_S: i64 = 240;
const HAND_AT_S: i64 = 80;
const HAND_TO: u32 = 8;

/// The journal of the course; with a hand, or without one.
fn play(hand: bool) -> Vec<Entry> {
    play_at(START, 1, hand)
}

fn play_at(start: Time, seed: u64, hand: bool) -> Vec<Entry> {
    let scenario = Scenario::from_yaml("storm", STORM).unwrap();
    let mut simulation = Simulation::new(&scenario, seed, start);
    let settings = Settings { mode: Mode::Observe, ..course::settings(&scenario) };
    let mut engine = Engine::new(start, settings, &decide::shipped()).unwrap();
    let mut journal = Vec::new();
    for second in 1..=END_S {
        let now = Time(start.0 + second * TICK_NS);
        for delivery in simulation.run_until(now) {
            let options = decode::Options { assume_weight: Some(1.0), ..decode::Options::default() };
            let bytes = delivery.request.encode_to_vec();
            let batch = decode::decode(decode::Encoding::Protobuf, &bytes, &options).unwrap().batch;
            engine.ingest(delivery.at, batch);
        }
        if hand && second == HAND_AT_S {
            let auth = simulation.state().workload("auth").unwrap().clone();
            let record = InterventionRecord {
                id: "i-1-1".parse().unwrap(),
                origin: "hand".into(),
                reason: String::new(),
                applied_at: now,
                deadline: now,
                replicas_before: auth.replicas,
                replicas_after: HAND_TO,
                waiting_ns_before: 0,
                details: None,
            };
            let scaling = Scaling { service: "auth".into(), from: auth.replicas, to: HAND_TO, record };
            simulation.apply(&Change::Scale(scaling), auth.resource_version).unwrap();
        }
        // Somebody else leaves no record of headroom's on what they change.
        let mut state = simulation.state();
        state.workloads.iter_mut().for_each(|workload| workload.interventions.clear());
        engine.observe(now, Event::Cluster(state));
        for effect in engine.tick(now) {
            match effect {
                Effect::Record(entry) => journal.push(entry),
                Effect::Apply(permit) => panic!("it only observes: {permit:?}"),
            }
        }
    }
    journal
}

/// The first step that would have been taken at `auth`.
fn first_step(hindsight: &Hindsight) -> (usize, &headroom::journal::hindsight::Judged) {
    let steps = hindsight
        .incidents
        .iter()
        .enumerate()
        .flat_map(|(n, incident)| incident.decisions.iter().map(move |judged| (n, judged)));
    steps.into_iter().find(|(_, judged)| judged.of.service == "auth" && judged.of.means == Means::Would).unwrap()
}

#[test]
fn a_simulated_course_is_told_by_who_ended_it() {
    let journal = play(true);
    let hindsight = look_back(&journal, Time::MIN);
    let (n, step) = first_step(&hindsight);
    assert_eq!(hindsight.incidents[n].ending, Ending::SomebodyElse, "{:#?}", hindsight.incidents[n]);
    assert_eq!(step.judgement, Judgement::Right, "{step:#?}");
    assert!(step.why.contains("by somebody else"), "{}", step.why);
    assert!(step.of.at < Time(START.0 + 45 * TICK_NS), "long before the hand: {step:#?}");

    let alone = play(false);
    let hindsight = look_back(&alone, Time::MIN);
    let (n, step) = first_step(&hindsight);
    assert_eq!(hindsight.incidents[n].ending, Ending::ByItself, "the storm is over");
    assert_eq!(step.judgement, Judgement::Right, "it lasted until the load fell: {step:#?}");

    let directory = tempfile::tempdir().unwrap();
    let lines: String = journal.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    std::fs::write(directory.path().join("journal.jsonl"), lines).unwrap();
    let report = |output: &str| report(directory.path(), output);
    let text = report("markdown");
    assert!(text.contains("after somebody else acted") && text.contains("would scale auth "), "{text}");
    let page = report("html");
    assert!(page.contains("<svg") && page.ends_with("</body></html>\n") && !page.contains("<script"), "{page}");
    let document: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(document["incidents"][n]["decisions"][0]["judgement"], "right", "{document:#}");
}

/// Twelve storms in a week, of which somebody else ended three.
#[test]
fn a_week_of_twelve_incidents_is_told_by_who_ended_each() {
    const INCIDENTS: i64 = 12;
    const APART_S: i64 = 14 * 3600;
    let by_hand = |n: i64| n % 4 == 1;
    let start = |n: i64| Time(START.0 + n * APART_S * TICK_NS);
    let week: Vec<Entry> = (0..INCIDENTS).flat_map(|n| play_at(start(n), n as u64 + 1, by_hand(n))).collect();
    let hindsight = look_back(&week, Time::MIN);
    let rightly = |n: &i64| {
        let until = Time(start(*n).0 + END_S * TICK_NS);
        let of_course = hindsight.incidents.iter().filter(|of| start(*n) <= of.from && of.from <= until);
        let is_of_auth = |judged: &&headroom::journal::hindsight::Judged| judged.of.service == "auth";
        let of_auth: Vec<_> = of_course.filter(|of| of.decisions.iter().any(|judged| is_of_auth(&judged))).collect();
        let ended_by_hand = of_auth.iter().any(|of| of.ending == Ending::SomebodyElse);
        !of_auth.is_empty() && ended_by_hand == by_hand(*n)
    };
    let right = (0..INCIDENTS).filter(rightly).count();
    measured("report.classified_rightly", right, "incidents of 12");
    assert_eq!(
        right as i64,
        INCIDENTS,
        "{:#?}",
        hindsight.incidents.iter().map(|of| (of.from, of.ending)).collect::<Vec<_>>()
    );
}

fn report(directory: &Path, output: &str) -> String {
    let (code, out, error) = run(directory, &["report", "--since", "1d", "--journal", "journal.jsonl", "-o", output]);
    assert_eq!(code, 0, "{error}");
    out
}
