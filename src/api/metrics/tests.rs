//! The whole answer: formats that their readers accept, and the documentation beside the declaration.

use std::collections::BTreeSet;

use super::declared::DECLARED;
use super::*;
use crate::analyse::{Bottleneck, Compliance, EntryFinding, Findings, ObjectiveStatus, ServiceFinding, Verdict};
use crate::model::{ClusterState, Origin, Time, Workload};

/// A tick that found `auth` saturated, and knows something of everything.
fn snapshot() -> Snapshot {
    let compliance = Compliance {
        latency: ObjectiveStatus::Missed,
        errors: ObjectiveStatus::Met,
        quantile: 0.99,
        latency_ms: 900.0,
        objective_ms: 300.0,
        slow_share: 0.2,
        error_share: 0.0,
        errors_allowed: 0.01,
    };
    let entry = EntryFinding {
        entry: "shop/web POST /login".into(),
        requests: 900,
        requests_per_s: 300.0,
        p50_ms: 120.0,
        p99_ms: 900.0,
        objective_ms: 300.0,
        missed_share: 0.2,
        error_share: 0.0,
        missed: true,
        remote_parent_share: 0.0,
        compliance,
        work: Default::default(),
    };
    let auth = ServiceFinding {
        service: "shop/auth".into(),
        throughput_per_s: 250.0,
        arrivals_per_s: 300.0,
        error_share: 0.0,
        p99_ms: 800.0,
        waiting_ms: 400.0,
        own_time_ms: 20.0,
        concurrency_per_pod: 8.0,
        capacity_per_pod_per_s: Some(100.0),
        replicas: 2,
        ready: 2,
        replicas_needed: Some(4),
        objective_missed: true,
        low_traffic: false,
        pod_start_s: Some(35.0),
    };
    let bottleneck = Bottleneck {
        entry: "shop/web POST /login".into(),
        service: "shop/auth".into(),
        operation: "POST /check".into(),
        verdict: Verdict::Saturated,
        score: 0.97,
        blame_ms: 12_000.0,
        ..Bottleneck::default()
    };
    let workload = Workload { service: "shop/auth".into(), replicas: 2, max_replicas: 9, ..Workload::default() };
    Snapshot {
        tick: 7,
        at: Time::from_secs(1_764_000_000),
        findings: Findings {
            bottlenecks: vec![bottleneck],
            services: vec![auth],
            entries: vec![entry],
            ..Findings::default()
        },
        cluster: ClusterState { at: Time::from_secs(1_764_000_000), workloads: vec![workload] },
        breakers: vec![(Origin::parse("scale_out_bottleneck"), "shop/auth".into())],
        ..Snapshot::default()
    }
}

fn written(format: Format) -> String {
    let metrics = Metrics::default().with_receivers(Arc::default()).with_sql(Arc::default(), Arc::default());
    metrics.tick(Duration::from_millis(3));
    String::from_utf8(metrics.write(format, &snapshot(), Duration::from_millis(200))).unwrap()
}

#[test]
fn what_a_tick_found_is_told_in_samples() {
    let text = written(Format::Text);
    // What depends on the machine and on the build is left out; buckets are arithmetic.
    let changing = ["process_", "_bucket", "build_info", "scrape_seconds"];
    let samples =
        text.lines().filter(|line| !line.starts_with('#') && !changing.iter().any(|word| line.contains(word)));
    // Of states, the one that holds.
    let is_off = |line: &&str| {
        line.ends_with(" 0") && ["verdict=", "status=", "level=", "mode="].iter().any(|l| line.contains(l))
    };
    insta::assert_snapshot!(samples.filter(|line| !is_off(line)).collect::<Vec<_>>().join("\n"));
}

#[test]
fn families_are_whole_and_each_has_its_head_once() {
    for (format, ending) in [(Format::Text, ""), (Format::OpenMetrics, "# EOF")] {
        let text = written(format);
        let (mut heads, mut at) = (BTreeSet::new(), "");
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                at = head.split(' ').next().unwrap();
                assert!(heads.insert(at), "{at} stands twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(name.starts_with(at), "{name} below {at}");
            }
        }
        assert!(text.ends_with(&format!("{ending}\n")));
    }
}

#[test]
fn open_metrics_names_families_without_the_endings_of_samples() {
    let text = written(Format::OpenMetrics);
    for lines in [
        "# TYPE headroom_engine_ticks counter\nheadroom_engine_ticks_total 1\n",
        "# TYPE headroom_build info\nheadroom_build_info{",
        "# TYPE headroom_engine_tick_duration_seconds histogram\n# UNIT headroom_engine_tick_duration_seconds seconds\n",
        "headroom_engine_tick_duration_seconds_bucket{le=\"1.0\"} 1\n",
    ] {
        assert!(text.contains(lines), "{lines}\n{text}");
    }
    let text = written(Format::Text);
    assert!(text.contains("# TYPE headroom_engine_ticks_total counter\nheadroom_engine_ticks_total 1\n"), "{text}");
    assert!(text.contains("# TYPE headroom_build_info gauge\n") && !text.contains("# UNIT"), "{text}");
}

#[test]
fn the_documentation_lists_every_metric() {
    let page = include_str!("../../../docs/metrics.md");
    assert!(page.contains(&table()), "put what `headroom config-schema --as metrics` prints into the page");
}

/// No list beside the declaration: whatever is declared is told by somebody.
#[test]
fn every_metric_that_is_declared_is_told_somewhere() {
    let sources =
        [include_str!("decided.rs"), include_str!("found.rs"), include_str!("own.rs"), include_str!("traffic.rs")]
            .concat();
    for (place, metric) in DECLARED.iter().enumerate() {
        // Names of the list are those of the declaration's first column, in its order.
        let name = declared::name(place);
        assert!(sources.contains(&format!("Name::{name}")), "{} is declared and told by nobody", metric.name);
    }
}
