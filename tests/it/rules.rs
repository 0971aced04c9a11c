//! Rules as their authors meet them: every example of the documentation, and the shipped rules all the way
//! from findings to a permit, an intervention and its explanation.

use std::collections::BTreeSet;
use std::time::Duration;

use headroom::action::{Change, Scaling};
use headroom::analyse::{Bottleneck, Compliance, EntryFinding, Findings, PodsWithSpans, ServiceFinding, Verdict};
use headroom::decide::{Limits, RuleSource, Rules, shipped};
use headroom::guard::{self, Context, Guard, Mode, Outcome};
use headroom::journal::{Entry, What, Writer, explain, read};
use headroom::model::{ClusterState, Pauses, Pod, Time, Workload};
use headroom::verify::{self, Stage, Verification, Verifier};

/// content-api saturates at 3 of at most 20 replicas.
fn burst(now: Time) -> (Findings, ClusterState) {
    let service = ServiceFinding {
        service: "content-api".into(),
        throughput_per_s: 210.0,
        arrivals_per_s: 600.0,
        error_share: 0.0,
        p99_ms: 700.0,
        waiting_ms: 412.0,
        own_time_ms: 20.0,
        concurrency_per_pod: 8.0,
        capacity_per_pod_per_s: Some(70.0),
        replicas: 3,
        ready: 3,
        replicas_needed: Some(9),
        objective_missed: true,
        low_traffic: false,
        pod_start_s: None,
    };
    let bottleneck = Bottleneck {
        entry: "ingress GET /exam".into(),
        service: "content-api".into(),
        verdict: Verdict::Saturated,
        score: 0.9,
        p99_ms: 812.0,
        objective_ms: 300.0,
        missed_share: 0.4,
        replicas: 3,
        replicas_needed: Some(9),
        ..Bottleneck::default()
    };
    let entry = EntryFinding {
        entry: "ingress GET /exam".into(),
        requests: 1_000,
        requests_per_s: 200.0,
        p50_ms: 300.0,
        p99_ms: 812.0,
        objective_ms: 300.0,
        missed_share: 0.4,
        error_share: 0.2,
        missed: true,
        remote_parent_share: 0.0,
        work: Default::default(),
        compliance: Compliance::default(),
    };
    let ingress = ServiceFinding { service: "ingress".into(), replicas_needed: Some(2), ..service.clone() };
    let findings = Findings {
        at: now,
        bottlenecks: vec![bottleneck],
        services: vec![service, ingress],
        entries: vec![entry],
        ..Findings::default()
    };
    let pod = |n| Pod { name: format!("content-api-{n}"), created_at: Time(0), ready_at: Some(Time(0)) };
    let workload = Workload {
        service: "content-api".into(),
        replicas: 3,
        min_replicas: 2,
        max_replicas: 20,
        resource_version: 1,
        pods: (0..3).map(pod).collect(),
        ..Workload::default()
    };
    (findings, ClusterState { at: now, workloads: vec![workload] })
}

#[test]
fn every_example_of_the_documentation_runs() {
    let page = include_str!("../../docs/rules.md");
    let examples: Vec<&str> = page.split("```rhai\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 6);
    let (findings, cluster) = burst(Time::from_secs(1_000));
    for (n, example) in examples.into_iter().enumerate() {
        let (rules, errors) = Rules::compile(&[RuleSource::new(format!("example_{n}"), example)], Limits::default());
        assert_eq!(errors, [], "{example}");
        let evaluated = rules.evaluate(&findings, &cluster);
        assert_eq!(evaluated.errors, [], "{example}");
        // Nothing can be given back in a burst, and what has to last does not at its first tick; the others have something to say.
        assert_eq!(evaluated.proposals.is_empty(), [1, 4, 5].contains(&n), "{example}");
    }
}

#[test]
fn the_limits_on_the_page_are_those_in_force() {
    let page = include_str!("../../docs/rules.md").replace('\n', " ");
    let limits = Limits::default();
    for said in [
        "200 000 operations".to_string(),
        format!("calls {} deep", limits.call_levels),
        format!("expressions {} deep", limits.expression_depth),
        format!("strings of {} KiB", limits.string_bytes / 1024),
        format!("maps of {}", limits.map_entries),
        format!("{} variables", limits.variables),
        format!("return {} proposals", limits.proposals),
        format!("{} KiB and {} functions", limits.source_bytes / 1024, limits.functions),
        format!("{} lines an evaluation", limits.printed_lines),
    ] {
        assert!(page.contains(&said), "{said}");
    }
    assert_eq!((limits.operations, limits.array_elements), (200_000, 2_000));
}

#[test]
fn from_findings_to_an_explained_intervention() {
    let mut now = Time::from_secs(1_795_528_987);
    let (mut findings, mut cluster) = burst(now);
    let (rules, errors) = Rules::compile(&shipped(), Limits::default());
    assert_eq!(errors, []);
    let mut guard = Guard::new(guard::Config::default());
    let mut verifier = Verifier::new(verify::Config::default());
    let mut written = Vec::new();
    let mut write = |at: Time, what: What| written.push(Entry { at, what });
    write(now, What::Found { findings: findings.clone() });

    // One proposal, one permit.
    let evaluated = rules.evaluate(&findings, &cluster);
    assert_eq!(evaluated.errors, []);
    let context = Context {
        now,
        mode: Mode::Enforce,
        pauses: &Pauses::default(),
        cluster: &cluster,
        findings: &findings,
        gateways_ask: true,
    };
    let reviewed = guard.review(evaluated.proposals, &context);
    assert_eq!(reviewed.len(), 1);
    assert_eq!(reviewed[0].decision.outcome, Outcome::Permitted { from: 3, to: 9 });
    write(now, What::Decided { decision: reviewed[0].decision.clone() });

    // The cluster does it, with the record in the same write; the pods come after 20 s.
    let permit = reviewed[0].permit.as_ref().expect("permitted");
    let Change::Scale(Scaling { to, record, .. }) = permit.change() else { panic!("a scale-out") };
    let id = record.id;
    let workload = &mut cluster.workloads[0];
    (workload.replicas, workload.interventions) = (*to, vec![record.clone()]);
    for n in 3..9 {
        let ready_at = Some(now + Duration::from_secs(20));
        workload.pods.push(Pod { name: format!("content-api-{n}"), created_at: now, ready_at });
    }
    guard.settled(permit.decision(), true);
    let answer = What::Acted { decision: permit.decision(), change: permit.change().clone(), error: None };
    write(now, answer);
    let mut said = verifier.applied(permit, now);

    // Then all is calm, and the intervention proves itself.
    findings.bottlenecks.clear();
    (findings.services[0].waiting_ms, findings.services[0].objective_missed) = (2.0, false);
    let pods: PodsWithSpans =
        [("content-api".into(), (0..9).map(|n| format!("content-api-{n}")).collect::<BTreeSet<_>>())].into();
    let mut stages = Vec::new();
    for _ in 0..40 {
        for verification in said.drain(..) {
            match verification {
                Verification::Reported(report) => {
                    stages.push(report.stage);
                    write(now, What::Intervention { report });
                }
                Verification::Close { intervention, .. } if intervention == id => {
                    cluster.workloads[0].interventions.clear();
                }
                other => panic!("{other:?}"),
            }
        }
        now = now + Duration::from_secs(1);
        (findings.at, cluster.at) = (now, now);
        said = verifier.tick(now, &findings, &cluster, &pods, &BTreeSet::new());
    }
    assert_eq!(stages, [Stage::Applied, Stage::Judging, Stage::Verified]);
    assert_eq!(verifier.open().count(), 0);

    // And the journal tells it.
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, 0, Box::new(|| unreachable!("one file is enough")));
    written.iter().for_each(|entry| writer.append(entry).unwrap());
    drop(writer);
    let entries = read(file.as_slice()).unwrap().entries;
    assert_eq!(entries, written, "what is written comes back");
    let story = explain(&entries, &id.to_string(), now).unwrap();
    let text = story.to_string();
    for words in ["content-api was scaled out from 3 to 9 replicas", "scale_out_bottleneck", "verified: waiting"] {
        assert!(text.contains(words), "{text}");
    }
}
