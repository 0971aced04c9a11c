//! What an older version wrote is read: its journal, what it had learnt, and what lies on the objects of a cluster. And
//! what a newer one will write is read by this one, as far as a rollback meets it: fields that are not known are ignored.

use std::path::{Path, PathBuf};

use headroom::act::kubernetes::objective::ServiceObjective;
use headroom::act::kubernetes::record;
use headroom::action::{Done, ResizedCpu};
use headroom::analyse::{Learnt, Verdict};
use headroom::journal::{self, Entry, What};
use headroom::model::{InterventionRecord, Time};
use serde_json::{Value, json};

use crate::process::run;

/// The versions whose files are kept.
const VERSIONS: [&str; 1] = ["0.1.0"];

fn fixture(version: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(version).join(name)
}

fn text(version: &str, name: &str) -> String {
    std::fs::read_to_string(fixture(version, name)).unwrap()
}

fn entries(version: &str) -> Vec<Entry> {
    let journal = journal::read(text(version, "journal.jsonl").as_bytes()).unwrap();
    assert!(journal.torn.is_empty(), "{version}: {:?}", journal.torn);
    journal.entries
}

/// The objects of a cluster, by kind and name.
fn object(version: &str, kind: &str, name: &str) -> Value {
    let list: Value = serde_json::from_str(&text(version, "objects.json")).unwrap();
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    list["items"].as_array().unwrap().iter().find(is_it).unwrap().clone()
}

fn annotated(version: &str, name: &str) -> InterventionRecord {
    let object = object(version, "Deployment", name);
    let annotations = serde_json::from_value(object["metadata"]["annotations"].clone()).unwrap();
    let records = record::interventions(Some(&annotations));
    records.into_iter().next().unwrap_or_else(|| panic!("{version}: the record on {name}"))
}

#[test]
fn a_journal_is_read_whole() {
    for version in VERSIONS {
        let lines = text(version, "journal.jsonl").lines().count();
        let entries = entries(version);
        assert_eq!(entries.len(), lines, "{version}");
        let found = entries.iter().filter_map(|entry| match &entry.what {
            What::Found { findings } => Some(findings),
            _ => None,
        });
        let verdicts: Vec<Verdict> = found.flat_map(|findings| &findings.bottlenecks).map(|b| b.verdict).collect();
        assert!(verdicts.contains(&Verdict::Saturated), "{version}: {verdicts:?}");
        let states = entries.iter().filter_map(|entry| match &entry.what {
            What::Cluster { state } => Some(state),
            _ => None,
        });
        let workloads: Vec<_> = states.flat_map(|state| &state.workloads).collect();
        assert!(workloads.iter().any(|workload| !workload.interventions.is_empty()), "{version}");
        assert!(workloads.iter().all(|workload| workload.terms.eviction_blocked_by.is_some()), "{version}");
    }
}

#[test]
fn a_journal_is_explained_and_replayed() {
    for version in VERSIONS {
        let path = fixture(version, "journal.jsonl");
        let path = path.to_str().unwrap();
        let permitted = entries(version).into_iter().find_map(|entry| match entry.what {
            What::Acted { decision, .. } => Some(decision),
            _ => None,
        });
        let (code, story, error) =
            run(Path::new("."), &["explain", &permitted.unwrap().to_string(), "--journal", path]);
        assert_eq!(code, 0, "{version}: {error}");
        for words in ["content-api", "saturated", "scale_out_bottleneck", "Effect"] {
            assert!(story.contains(words), "{version}: no '{words}' in {story}");
        }
        // Its spans are not kept: it can be read to its end all the same, and says what is missing.
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("none.jsonl"), "").unwrap();
        let (code, out, error) = run(directory.path(), &["replay", "none.jsonl", "--journal", path]);
        assert_eq!((code, error.as_str()), (1, ""), "{version}: {out}");
        assert!(out.contains("spans that the files do not hold"), "{version}: {out}");
    }
}

#[test]
fn what_was_learnt_is_taken_over_from_a_file_and_from_a_config_map() {
    for version in VERSIONS {
        let document = text(version, "learnt.json");
        let written: Value = serde_json::from_str(&document).unwrap();
        let soon_after = Time(written["learnt"]["at"].as_i64().unwrap() + 60_000_000_000);
        let learnt = Learnt::decode(&document, soon_after).unwrap();
        assert!(["auth", "ingress", "content-api"].iter().all(|name| learnt.services.contains_key(*name)), "{version}");
        assert_eq!(learnt.entries.len(), 2, "{version}");
        // Written again, by today's names, it is the same.
        assert_eq!(Learnt::decode(&learnt.encode(1 << 20).0, soon_after).unwrap(), learnt, "{version}");
        let map: Value = serde_json::from_str(&text(version, "learnt-configmap.json")).unwrap();
        let kept = map["data"]["learnt.json"].as_str().unwrap();
        assert_eq!(Learnt::decode(kept, soon_after).unwrap(), learnt, "{version}");
    }
}

#[test]
fn what_lies_on_objects_is_read() {
    for version in VERSIONS {
        let scaled = annotated(version, "content-api");
        assert_eq!(Done::of(&scaled), Some(Done::Scaled), "{version}");
        assert!(scaled.replicas_after > scaled.replicas_before, "{version}: {scaled:?}");
        let restarted = Done::of(&annotated(version, "auth"));
        assert!(matches!(restarted, Some(Done::RestartedPod(pod)) if pod.pod == "auth-1"), "{version}");
        let resized = Done::of(&annotated(version, "search"));
        assert_eq!(resized, Some(Done::ResizedCpu(ResizedCpu { factor: 2.0 })), "{version}");

        let autoscaler = object(version, "HorizontalPodAutoscaler", "content-api");
        let annotations = serde_json::from_value(autoscaler["metadata"]["annotations"].clone()).unwrap();
        let floor = record::floor(Some(&annotations)).unwrap();
        assert_eq!((floor.before, floor.wanted), (Some(2), 6), "{version}");

        let written = object(version, "ServiceObjective", "content-api");
        let objective: ServiceObjective = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&objective.spec).unwrap(), written["spec"], "{version}: nothing of it is lost");
        assert_eq!(serde_json::to_value(&objective.status).unwrap(), written["status"], "{version}");
    }
}

/// A document with a field that no version knows in each of its objects.
fn from_the_future(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let known = map.iter().map(|(key, value)| (key.clone(), from_the_future(value)));
            known.chain([("from_the_future".to_owned(), json!({"and": 1}))]).collect()
        }
        Value::Array(values) => values.iter().map(from_the_future).collect(),
        other => other.clone(),
    }
}

#[test]
fn fields_of_a_newer_version_are_ignored_where_a_rollback_meets_them() {
    let record = annotated("0.1.0", "content-api");
    let newer = from_the_future(&serde_json::to_value(&record).unwrap());
    assert_eq!(serde_json::from_value::<InterventionRecord>(newer).unwrap(), record);

    let document: Value = serde_json::from_str(&text("0.1.0", "learnt.json")).unwrap();
    let soon_after = Time(document["learnt"]["at"].as_i64().unwrap());
    let known = Learnt::decode(&document.to_string(), soon_after).unwrap();
    let mut newer = document;
    newer["from_the_future"] = 1.into();
    newer["learnt"]["from_the_future"] = 1.into();
    for part in ["services", "entries"] {
        // Their keys are names.
        for one in newer["learnt"][part].as_object_mut().unwrap().values_mut() {
            one["from_the_future"] = json!([1, 2]);
        }
    }
    assert_eq!(Learnt::decode(&newer.to_string(), soon_after).unwrap(), known);

    for entry in entries("0.1.0") {
        // The settings of a run and the text of its rules are read by `replay` alone.
        if matches!(entry.what, What::Started { .. }) {
            continue;
        }
        let newer = from_the_future(&serde_json::to_value(&entry).unwrap());
        match serde_json::from_value::<Entry>(newer.clone()) {
            Ok(read) => assert_eq!(read, entry),
            Err(error) => panic!("{error}: {newer:#}"),
        }
    }
}
