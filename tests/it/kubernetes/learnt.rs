//! What was learnt outlives the replica that learnt it, in a ConfigMap.

use serde_json::Value;

use super::stage;

const NAMESPACE: &str = "learnt";
const KEPT: [&str; 4] = ["configmap", "headroom-learnt", "--namespace", NAMESPACE];

/// The snapshot that lies in the cluster.
fn document(map: &Value) -> Value {
    serde_json::from_str(map["data"]["learnt.json"].as_str().unwrap_or("null")).unwrap()
}

#[test]
fn what_was_learnt_outlives_who_learnt_it() {
    let Some(cluster) = stage::opened("what_was_learnt_outlives_who_learnt_it", NAMESPACE) else { return };
    cluster.apply(&stage::deployment(NAMESPACE, "lesson", 2));
    cluster.apply(&stage::objective(NAMESPACE, "lesson", ""));
    let directory = tempfile::tempdir().unwrap();

    // It learns from healthy seconds, and leaves in peace: the quarantine of what it saw is 15 s.
    let mut first = stage::serve(cluster, directory.path(), NAMESPACE, "first", "");
    first.wait_for_start("leads");
    let traffic = stage::traffic(cluster, NAMESPACE, &["lesson"], &first);
    stage::await_journal(directory.path(), "first", |entries| {
        let ticks = entries.iter().filter(|entry| entry["what"] == "ticked").count();
        ticks >= 23
    });
    drop(traffic);
    assert_eq!(first.terminate(), 0);
    let map = cluster.get(&[&["--show-managed-fields"], &KEPT[..]].concat());
    let kept = document(&map);
    let requests = &kept["learnt"]["services"]["lesson"]["healthy"]["sums"]["requests"];
    assert!(requests.as_i64() > Some(25), "{kept:#}");
    assert_eq!(map["metadata"]["managedFields"][0]["manager"], "headroom");

    // The next one knows it.
    let second = stage::serve(cluster, directory.path(), NAMESPACE, "second", "");
    let learnt = |entries: &[Value]| entries.iter().any(|entry| entry["what"] == "learnt");
    stage::await_journal(directory.path(), "second", learnt);
    let entries = stage::journal(directory.path(), "second");
    let told = entries.iter().find(|entry| entry["what"] == "learnt").unwrap();
    assert_eq!(told["learnt"]["services"]["lesson"], kept["learnt"]["services"]["lesson"]);
    assert_eq!(second.terminate(), 0);
    // Of its own services: those of other tests start and end beside them.
    let handed_on = document(&cluster.get(&KEPT));
    for service in ["door", "lesson"] {
        let [before, after] = [&kept, &handed_on].map(|document| &document["learnt"]["services"][service]);
        assert_eq!(before, after, "one that saw nothing takes nothing away");
    }

    // What is none of headroom's is said to be so, and nothing is learnt from it.
    let foreign = r#"{"data": {"learnt.json": "{\"kind\": \"recipe\", \"schema\": 1, \"learnt\": {}}"}}"#;
    cluster.kubectl(&[&["patch", "--patch", foreign], &KEPT[..]].concat());
    let mut third = stage::serve(cluster, directory.path(), NAMESPACE, "third", "");
    let said = third.wait_for_start("cannot use learnt state");
    assert!(said.contains("its kind is `recipe`, not headroom.dev/learnt"), "{said}");
    assert_eq!(third.terminate(), 0);
    assert!(!learnt(&stage::journal(directory.path(), "third")));
}
