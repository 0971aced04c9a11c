//! A leader that is sent no spans hands over to the replica that is.

use super::stage;

const NAMESPACE: &str = "share";

#[test]
fn a_leader_that_misses_the_spans_hands_over() {
    let Some(cluster) = stage::opened("a_leader_that_misses_the_spans_hands_over", NAMESPACE) else { return };
    cluster.apply(&stage::deployment(NAMESPACE, "portion", 2));
    cluster.apply(&stage::objective(NAMESPACE, "portion", ""));
    let directory = tempfile::tempdir().unwrap();
    let mut first = stage::serve(cluster, directory.path(), NAMESPACE, "first", "");
    first.wait_for_start("leads");
    let second = stage::serve(cluster, directory.path(), NAMESPACE, "second", "");
    let traffic = stage::traffic(cluster, NAMESPACE, &["portion"], &second);
    let lease = ["lease", "headroom", "--namespace", NAMESPACE];
    let handed = cluster.wait_until(&lease, |lease| lease["spec"]["holderIdentity"] == "second");
    assert_eq!(handed["metadata"]["annotations"]["headroom.dev/handed-over-by"], "first");
    // It takes over, and keeps the Lease.
    let renewed = handed["spec"]["renewTime"].as_str().unwrap().to_owned();
    cluster.wait_until(&lease, |lease| {
        lease["spec"]["holderIdentity"] == "second" && lease["spec"]["renewTime"].as_str() > Some(renewed.as_str())
    });
    let said = first.wait_for_start("hands over");
    assert!(said.contains("% of the spans that second sees"), "{said}");
    drop(traffic);
    assert_eq!((first.terminate(), second.terminate()), (0, 0));
}
