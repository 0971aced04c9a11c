//! Clocks step while headroom serves: its own alone, or all of them at once.
//!
//! A storm of logins on the simulated cluster, on virtual time, with the parts of the daemon that know of clocks around the
//! engine: the stamp of what is received, the comparison with the senders, the one step that follows them. The real daemon
//! with a clock that is really set is in [`crate::faketime`].

use std::collections::BTreeMap;

use headroom::commands::demo::course::{self, START, TICK_NS};
use headroom::decide;
use headroom::engine::{Effect, Engine, Event};
use headroom::guard::Outcome;
use headroom::journal::{Entry, What};
use headroom::model::{ClockStep, ClusterState, Time};
use headroom::receive::files::OtlpJsonLines;
use headroom::receive::{SourceClocks, decode};
use headroom::simulate::{Scenario, Simulation};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::process::run;

const STORM: &str = include_str!("demo/small.yaml");
const END_S: i64 = 100;
const SEED: u64 = 1;

/// How far clocks are set.
const STEPS_S: [i64; 4] = [-3_600, -5, 5, 3_600];
/// In the quiet before the storm, which breaks at 30 s, and while replicas are being added.
const WHEN_S: [i64; 2] = [26, 35];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    /// This machine's, and no other.
    Own,
    /// Every machine's: senders, the cluster and headroom.
    All,
}

#[derive(Clone, Copy, Debug)]
struct Stepping {
    whose: Whose,
    /// Second of the scenario.
    at_s: i64,
    by_s: i64,
}

impl Stepping {
    /// What a clock of the cluster shows at an instant of the scenario.
    fn shown(&self, time: Time) -> Time {
        let is_after = time >= Time(START.0 + self.at_s * TICK_NS);
        if self.whose == Whose::All && is_after { ClockStep { seconds: self.by_s }.time(time) } else { time }
    }

    /// Spans are stamped as they start; their durations are measured by clocks that do not step.
    fn stamp(&self, request: &mut ExportTraceServiceRequest) {
        let scopes = request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
        for span in scopes.flat_map(|scope| &mut scope.spans) {
            let duration = span.end_time_unix_nano - span.start_time_unix_nano;
            span.start_time_unix_nano = self.shown(Time(span.start_time_unix_nano as i64)).0 as u64;
            span.end_time_unix_nano = span.start_time_unix_nano + duration;
        }
    }

    fn cluster(&self, mut state: ClusterState) -> ClusterState {
        state.at = self.shown(state.at);
        for pod in state.workloads.iter_mut().flat_map(|workload| &mut workload.pods) {
            pod.created_at = self.shown(pod.created_at);
            pod.ready_at = pod.ready_at.map(|at| self.shown(at));
        }
        state
    }
}

/// What a run came to.
#[derive(Default)]
struct Run {
    /// Replicas that each service was scaled to, in order.
    scaled: BTreeMap<String, Vec<u32>>,
    /// Seconds of the scenario in which the tick saw no request, or nothing of the last four seconds.
    unseeing: Vec<i64>,
    /// Seconds in which the clock was anchored anew, and by how much.
    anchored: Vec<(i64, i64)>,
    journal: Vec<Entry>,
    spans: Vec<u8>,
}

fn play(stepping: Stepping) -> Run {
    let scenario = Scenario::from_yaml("storm", STORM).unwrap();
    let mut simulation = Simulation::new(&scenario, SEED, START);
    let mut engine = Engine::new(START, course::settings(&scenario), &decide::shipped()).unwrap();
    let (mut sources, mut stepped) = (SourceClocks::default(), ClockStep { seconds: 0 });
    let (mut run, mut spans) = (Run::default(), OtlpJsonLines::new(Vec::new()));
    for second in 1..=END_S {
        let instant = Time(START.0 + second * TICK_NS);
        for mut delivery in simulation.run_until(instant) {
            stepping.stamp(&mut delivery.request);
            spans.write(&delivery.request).unwrap();
            let options = decode::Options { assume_weight: Some(1.0), ..decode::Options::default() };
            let bytes = delivery.request.encode_to_vec();
            let batch = decode::decode(decode::Encoding::Protobuf, &bytes, &options).unwrap().batch;
            let received_at = stepped.time(delivery.at);
            sources.hear(received_at, &batch);
            engine.ingest(received_at, batch);
        }
        let now = stepped.time(instant);
        engine.observe(now, Event::Cluster(stepping.cluster(simulation.state())));
        for effect in engine.tick(now) {
            match effect {
                Effect::Record(entry) => run.journal.push(entry),
                Effect::Apply(permit) => {
                    let error = simulation.apply(permit.change(), permit.resource_version()).err();
                    let (decision, change) = (permit.decision(), permit.change().clone());
                    engine.observe(now, Event::Acted { decision, change, error });
                }
            }
        }
        let findings = engine.findings();
        if findings.blind || findings.entries.is_empty() || now.seconds_since(findings.complete_to) > 4.0 {
            run.unseeing.push(second);
        }
        let own_s = if second >= stepping.at_s { stepping.by_s } else { 0 };
        if let Some(step) = sources.judge(now, ClockStep { seconds: own_s - stepped.seconds }.nanos()) {
            run.anchored.push((second, step.seconds));
            engine.observe(now, Event::ClockStepped(step));
            sources.stepped(step);
            stepped.seconds += step.seconds;
        }
        run.journal.extend(engine.take_records());
    }
    for entry in &run.journal {
        if let What::Decided { decision } = &entry.what
            && let Outcome::Permitted { to, .. } = decision.outcome
        {
            run.scaled.entry(decision.proposal.service().to_string()).or_default().push(to);
        }
    }
    run.spans = spans.into_inner();
    run
}

/// Every run of one kind, beside the one without a step.
fn all(whose: Whose) -> (Run, Vec<(Stepping, Run)>) {
    let runs = WHEN_S.iter().flat_map(|&at_s| STEPS_S.map(|by_s| Stepping { whose, at_s, by_s }));
    (play(Stepping { whose, at_s: 0, by_s: 0 }), runs.map(|stepping| (stepping, play(stepping))).collect())
}

#[test]
fn setting_our_own_clock_changes_nothing() {
    let (unbroken, runs) = all(Whose::Own);
    assert!(!unbroken.scaled.is_empty());
    for (stepping, run) in runs {
        assert_eq!(run.anchored, [], "{stepping:?}");
        assert_eq!((run.scaled, run.unseeing), (unbroken.scaled.clone(), unbroken.unseeing.clone()), "{stepping:?}");
        assert!(run.journal == unbroken.journal, "{stepping:?}: the journals differ");
    }
}

#[test]
fn when_all_clocks_are_set_the_loop_follows_and_does_nothing_else_for_it() {
    let (unbroken, runs) = all(Whose::All);
    assert_eq!(unbroken.anchored, []);
    for (stepping, run) in runs {
        let [(anchored_s, by_s)] = run.anchored[..] else { panic!("{stepping:?}: anchored {:?}", run.anchored) };
        assert!((by_s - stepping.by_s).abs() <= 1, "{stepping:?}: by {by_s} s");
        assert!((stepping.at_s..stepping.at_s + 12).contains(&anchored_s), "{stepping:?}: after {anchored_s} s");
        let late: Vec<_> = run.unseeing.iter().filter(|second| **second > stepping.at_s + 12).collect();
        assert!(late.is_empty(), "{stepping:?}: sees nothing at {late:?}");
        // The same service is scaled and no other, in one direction, and to what the load needs.
        let (scaled, expected) = (&run.scaled["auth"], &unbroken.scaled["auth"]);
        assert_eq!(run.scaled.len(), unbroken.scaled.len(), "{stepping:?}: {:?}", run.scaled);
        assert!(
            scaled.is_sorted() && scaled.last() <= expected.last().map(|most| most + 1).as_ref(),
            "{stepping:?}: {scaled:?}, not {expected:?}"
        );
    }
}

#[test]
fn a_step_is_an_input_that_a_replay_takes_too() {
    let played = play(Stepping { whose: Whose::All, at_s: 35, by_s: -5 });
    let directory = tempfile::tempdir().unwrap();
    let lines = played.journal.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect::<String>();
    assert!(lines.contains("\"what\":\"clock_stepped\",\"seconds\":-5"));
    std::fs::write(directory.path().join("journal.jsonl"), lines).unwrap();
    std::fs::write(directory.path().join("spans.jsonl"), &played.spans).unwrap();
    let (code, out, error) = run(directory.path(), &["replay", "spans.jsonl", "--journal", "journal.jsonl"]);
    assert!(code == 0 && out.contains("all reproduced"), "{out}{error}");
}
