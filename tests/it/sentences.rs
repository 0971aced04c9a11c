//! Sentences are read as a person reads them: a number that is said to be too much is more than the number it is held
//! against, wherever the sentence is shown.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser;
use headroom::analyse::statistics::significance::{LIKELY, SURELY, exceeds};
use headroom::analyse::{Bottleneck, Compliance, Evidence, ObjectiveStatus, Suspect, Verdict};
use headroom::commands::{Answer, Cli};
use headroom::journal::{self, Entry, What};
use proptest::prelude::*;

/// A number and its unit, as they stand in a sentence.
#[derive(Clone, Debug, PartialEq)]
struct Number {
    value: f64,
    unit: String,
    /// Digits written, without zeros before the first.
    digits: usize,
}

/// Every number of a text that stands as a word of its own, with the word behind it.
fn numbers(text: &str) -> Vec<Number> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let read = |(index, word): (usize, &&str)| {
        let word = word.trim_matches(|c| "(),;:\"".contains(c));
        let (number, unit) = match word.split_once('/') {
            Some((number, per)) => (number, format!("/{per}")),
            None => {
                let next = words.get(index + 1).copied().unwrap_or_default();
                (word, next.trim_matches(|c| "(),;:\"".contains(c)).to_owned())
            }
        };
        let value = number.parse::<f64>().ok().filter(|_| number.starts_with(|c: char| c.is_ascii_digit()))?;
        let significant = number.replace('.', "");
        Some(Number { value, unit, digits: significant.trim_start_matches('0').len() })
    };
    words.iter().enumerate().filter_map(read).collect()
}

/// What a sentence holds against what.
#[derive(Clone, Debug, PartialEq)]
enum Claim {
    /// The first is said to be more than the second.
    More(f64, f64),
    /// The first is said to be not yet more than the second.
    NotYetMore(f64, f64),
}

/// Every comparison that a sentence makes: `X (objective Y)`, `X (healthy Y)` of an undetermined cause, `self time X per
/// request, other pods Y`, `needs X of its Y replicas`.
fn claims(sentence: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    let parts: Vec<&str> = sentence.split("(objective ").collect();
    for (before, after) in parts.iter().zip(parts.iter().skip(1)) {
        let (inside, _) = after.split_once(')').expect("the bracket ends");
        let bound = numbers(inside).into_iter().next().expect("an objective is a number");
        let measured = numbers(before).into_iter().rfind(|n| n.unit == bound.unit);
        let measured =
            measured.unwrap_or_else(|| panic!("nothing in {} is held against {inside}: {sentence}", bound.unit));
        claims.push(match inside.ends_with("about to be missed") {
            true => Claim::NotYetMore(measured.value, bound.value),
            false => Claim::More(measured.value, bound.value),
        });
    }
    if let Some((_, evidence)) = sentence.split_once("cause not determined; evidence at ")
        && let Some((now, healthy)) = evidence.split_once("(healthy ")
    {
        let (now, healthy) = (numbers(now).pop(), numbers(healthy).into_iter().next());
        claims.push(Claim::More(now.expect("a measure").value, healthy.expect("its healthy value").value));
    }
    if let Some((this, others)) = sentence.split_once(" per request, other pods ") {
        let (this, others) = (numbers(this).pop(), numbers(others).into_iter().next());
        claims.push(Claim::More(this.expect("of the pod").value, others.expect("of the others").value));
    }
    if let Some((_, needs)) = sentence.split_once("which needs ") {
        let needs = numbers(needs);
        claims.push(Claim::More(needs[1].value, needs[0].value));
    }
    claims
}

/// The sentence is true as it stands, and readable.
#[track_caller]
fn check(sentence: &str) {
    for claim in claims(sentence) {
        match claim {
            Claim::More(now, bound) => assert!(now > bound, "{now} is not more than {bound}: {sentence}"),
            Claim::NotYetMore(now, bound) => assert!(now <= bound, "{now} is more than {bound} already: {sentence}"),
        }
    }
    // Identifiers aside, nobody reads more digits than a big number with a few behind the point.
    for number in numbers(sentence).iter().filter(|n| ["ms", "%", "s"].contains(&n.unit.as_str())) {
        assert!(number.digits <= 9, "{number:?} has too many digits: {sentence}");
    }
    for word in ["too slow", "may take", "holds requests", "NaN", "inf "] {
        assert!(!sentence.contains(word), "'{word}' in: {sentence}");
    }
}

#[test]
fn the_reader_finds_what_is_held_against_what() {
    let both = "p99 412 ms (objective 300 ms), 1.5 % of requests failed (objective 1 %, likely missed)";
    assert_eq!(claims(both), [Claim::More(412.0, 300.0), Claim::More(1.5, 1.0)]);
    let near = "a GET /1: p99 226 ms (objective 300 ms, about to be missed); b is saturated";
    assert_eq!(claims(near), [Claim::NotYetMore(226.0, 300.0)]);
    let pod = "auth has one bad pod (auth-1: self time 300 ms per request, other pods 20 ms)";
    assert_eq!(claims(pod), [Claim::More(300.0, 20.0)]);
    let evidence = "cause not determined; evidence at auth: self time per request 922 ms (healthy 22 ms)";
    assert_eq!(claims(evidence), [Claim::More(922.0, 22.0)]);
    assert_eq!(claims("auth serves 9 requests/s, which needs 3 of its 5 replicas"), [Claim::More(5.0, 3.0)]);
}

#[test]
#[should_panic(expected = "226 is not more than 300")]
fn the_reader_objects_to_a_number_that_is_not_too_much() {
    check("ingress GET /exam: p99 226 ms (objective 300 ms); content-api is saturated");
}

/// As the analysis finds it: which part is missed follows from the counts.
fn compliance(
    requests: i64,
    slow: i64,
    errors: i64,
    quantile: f64,
    errors_allowed: f64,
    latency_ms: [f64; 2],
) -> Compliance {
    let status = |bad: i64, allowed: f64| match () {
        () if exceeds(bad, requests, allowed, SURELY) => ObjectiveStatus::Missed,
        () if exceeds(bad, requests, allowed, LIKELY) => ObjectiveStatus::AtRisk,
        () => ObjectiveStatus::Met,
    };
    let share = |part: i64| part as f64 / requests as f64;
    Compliance {
        latency: status(slow, 1.0 - quantile),
        errors: status(errors, errors_allowed),
        quantile,
        latency_ms: latency_ms[0],
        objective_ms: latency_ms[1],
        slow_share: share(slow),
        error_share: share(errors),
        errors_allowed,
    }
}

fn bottleneck(verdict: Verdict, compliance: Compliance) -> Bottleneck {
    let evidence = |measure: &str, now: f64, baseline| Evidence { measure: measure.into(), now, baseline };
    Bottleneck {
        entry: "ingress GET /exam".into(),
        service: "auth".into(),
        pod: Some("auth-1".into()),
        verdict,
        p99_ms: compliance.latency_ms,
        objective_ms: compliance.objective_ms,
        missed_share: compliance.slow_share.max(compliance.error_share),
        evidence: vec![
            evidence("own_time_ms", compliance.latency_ms, Some(compliance.objective_ms)),
            evidence("pod_own_time_ms", compliance.objective_ms, None),
            evidence("other_pods_own_time_ms", compliance.latency_ms, None),
        ],
        compliance,
        ..Bottleneck::default()
    }
}

const VERDICTS: [Verdict; 10] = [
    Verdict::Saturated,
    Verdict::SlowDependency,
    Verdict::BadInstance,
    Verdict::Regression,
    Verdict::Amplification,
    Verdict::Exhausted,
    Verdict::Failing,
    Verdict::Unreachable,
    Verdict::Degraded,
    Verdict::Unknown,
];

proptest! {
    #[test]
    fn whatever_is_found_the_sentence_about_it_is_true(
        requests in 5_i64..200_000,
        slow in 0.0..1.0_f64,
        errors in 0.0..1.0_f64,
        quantile in prop::sample::select(vec![0.5, 0.9, 0.95, 0.99, 0.999, 0.9999]),
        errors_allowed in prop::sample::select(vec![0.0, 0.0001, 0.001, 0.01, 0.05, 0.5]),
        objective_ms in prop::sample::select(vec![1.0, 2.5, 50.0, 300.0, 1_500.0, 30_000.0]),
        factor in prop_oneof![0.01..1.0_f64, 0.999..1.001_f64, 1.0..100.0_f64],
        at_risk in any::<bool>(),
        verdict in prop::sample::select(VERDICTS.to_vec()),
    ) {
        // Small shares as often as large ones.
        let count = |share: f64| ((share * share * share) * requests as f64) as i64;
        let latency_ms = [objective_ms * factor, objective_ms];
        let mut found = compliance(requests, count(slow), count(errors), quantile, errors_allowed, latency_ms);
        let missed = (found.latency, found.errors);
        if missed == (ObjectiveStatus::Met, ObjectiveStatus::Met) {
            // Few of many came near missing it, or nothing is said.
            prop_assert_eq!(found.symptom(), "");
            found.latency = if at_risk { ObjectiveStatus::AtRisk } else { ObjectiveStatus::Met };
        }
        let bottleneck = bottleneck(verdict, found);
        let sentence = bottleneck.summary();
        check(&sentence);
        // The part that is missed is the part that is told.
        let symptom = bottleneck.symptom();
        if missed.1 == ObjectiveStatus::Missed {
            prop_assert!(symptom.contains("of requests failed (objective"), "{}", symptom);
        }
        if missed == (ObjectiveStatus::Met, ObjectiveStatus::Missed) {
            prop_assert!(!symptom.contains(" ms (objective"), "only errors: {}", symptom);
        }
        if missed.0 == ObjectiveStatus::Missed {
            prop_assert!(symptom.contains(" ms"), "{}", symptom);
        }
    }
}

/// Ways to miss an objective that once were told wrongly.
#[test]
fn the_part_of_the_objective_that_is_missed_is_the_part_that_is_told() {
    let p99_226 = [226.0, 300.0];
    let told = |c: Compliance| bottleneck(Verdict::Saturated, c).symptom();
    // By errors alone: 16 of 100 fail, fast.
    assert_eq!(told(compliance(100, 0, 16, 0.99, 0.01, [57.0, 500.0])), "16 % of requests failed (objective 1 %)");
    // By the quantile alone.
    assert_eq!(told(compliance(1_000, 40, 0, 0.99, 0.01, [412.0, 300.0])), "p99 412 ms (objective 300 ms)");
    // The p99 read off the histogram is below the objective, and yet too many requests took longer.
    assert_eq!(told(compliance(1_000, 40, 0, 0.99, 0.01, p99_226)), "4 % of requests took over 300 ms (objective 1 %)");
    // Two of twenty: likely.
    assert_eq!(told(compliance(20, 2, 0, 0.99, 0.01, [350.0, 300.0])), "p99 350 ms (objective 300 ms, likely missed)");
    // Many come near, none is slower.
    let near = Compliance { latency: ObjectiveStatus::AtRisk, ..compliance(50, 0, 0, 0.99, 0.01, p99_226) };
    assert_eq!(told(near), "p99 226 ms (objective 300 ms, about to be missed)");
    // Both.
    assert_eq!(
        told(compliance(1_000, 40, 30, 0.999, 0.001, [412.0, 300.0])),
        "p99.9 412 ms (objective 300 ms), 3 % of requests failed (objective 0.1 %)"
    );
    // As version 0.1.0 wrote it, without the part.
    let old = Bottleneck { p99_ms: 226.0, objective_ms: 300.0, missed_share: 0.02, ..Bottleneck::default() };
    assert_eq!(old.symptom(), "2 % of requests missed the objective");
}

#[test]
fn a_cause_is_told_as_far_as_it_is_known() {
    let missed = || compliance(1_000, 40, 0, 0.99, 0.01, [412.0, 300.0]);
    let lines: Vec<String> = VERDICTS.map(|verdict| bottleneck(verdict, missed()).summary()).into();
    insta::assert_snapshot!(lines.join("\n"));
}

/// A login storm that a test has time for, and variants of it whose load stays and something breaks.
const STORM: &str = include_str!("demo/small.yaml");

fn broken(fault: &str) -> String {
    let calm = STORM.replacen("factor: 7", "factor: 1.2", 1).replacen("targets: [auth]", "targets: []", 1);
    let text = calm.replacen("\nentries:", &format!("\nfaults:\n  - {fault}\n\nentries:"), 1);
    assert!(text.contains(fault) && !text.contains("factor: 7"));
    text
}

/// The scenario played in this process: what is printed, and the journal.
fn played(directory: &Path, scenario: &str, until_s: u32) -> (String, Vec<Entry>) {
    let (file, journal) = (directory.join("scenario.yaml"), directory.join("journal.jsonl"));
    fs::write(&file, scenario).unwrap();
    let until = until_s.to_string();
    let args = ["headroom", "demo", "--speed", "max", "--until", &until, "--scenario", file.to_str().unwrap()];
    let mut out = Vec::new();
    let args = args.into_iter().chain(["--journal", journal.to_str().unwrap()]);
    assert_eq!(Cli::try_parse_from(args).unwrap().command.run(&mut out).unwrap(), Answer::Yes);
    let entries = journal::read(fs::read(&journal).unwrap().as_slice()).unwrap().entries;
    (String::from_utf8(out).unwrap(), entries)
}

/// Runs a scenario and reads everything that is said about it, on every surface. The verdicts that were met.
fn read_all(scenario: &str, until_s: u32) -> BTreeSet<Verdict> {
    let directory = tempfile::tempdir().unwrap();
    let (printed, entries) = played(directory.path(), scenario, until_s);
    printed.lines().for_each(check);
    let mut verdicts = BTreeSet::new();
    for entry in &entries {
        match &entry.what {
            What::Found { findings } => {
                for bottleneck in &findings.bottlenecks {
                    check(&bottleneck.summary());
                    assert_ne!(bottleneck.symptom(), "objective about to be missed", "a part is named: {bottleneck:?}");
                    verdicts.insert(bottleneck.verdict);
                }
                findings.suspects.iter().map(Suspect::summary).for_each(|sentence| check(&sentence));
                findings.silent_failures.iter().for_each(|suspect| {
                    verdicts.insert(suspect.verdict);
                });
            }
            What::Decided { decision } => {
                check(&decision.proposal.because);
                let told = journal::explain(&entries, &decision.id.to_string(), decision.at).unwrap().to_string();
                told.lines().for_each(check);
            }
            What::Intervention { report } => check(&report.reason),
            _ => {}
        }
    }
    verdicts
}

#[test]
fn everything_said_in_a_burst_is_true() {
    assert!(read_all(STORM, 75).contains(&Verdict::Saturated));
}

#[test]
fn everything_said_of_errors_is_true() {
    let failing =
        broken("failing_operation: { service: auth, operation: POST /login, share: 0.33, from_s: 30, to_s: 400 }");
    assert!(read_all(&failing, 60).contains(&Verdict::Failing));
}

#[test]
fn everything_said_of_one_bad_pod_is_true() {
    let slow = broken("slow_pod: { service: auth, pod: 0, factor: 10, from_s: 30, to_s: 400 }");
    assert!(read_all(&slow, 60).contains(&Verdict::BadInstance));
}

#[test]
fn everything_said_of_a_slow_dependency_is_true() {
    let locked = broken("slow_peer: { peer: content-db, factor: 80, from_s: 30, to_s: 400 }");
    assert!(read_all(&locked, 60).contains(&Verdict::SlowDependency));
}
