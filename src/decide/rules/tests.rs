use super::*;
use crate::action::{Action, ResizeCpu, RestartPod, ScaleIn, ScaleOut};
use crate::analyse::{Bottleneck, Compliance, EntryFinding, Evidence, ServiceFinding, Verdict};
use crate::decide::shipped;
use crate::model::{Time, TraceId, Workload};

fn saturated() -> Bottle {
    crate::analyse::Bottleneck {
        entry: "ingress GET /exam".into(),
        service: "content-api".into(),
        operation: "GET /page".into(),
        verdict: Verdict::Saturated,
        score: 0.9,
        p99_ms: 812.0,
        objective_ms: 300.0,
        missed_share: 0.4,
        replicas: 3,
        replicas_needed: Some(9),
        evidence: vec![Evidence { measure: "waiting_ms".into(), now: 412.0, baseline: Some(1.0) }],
        exemplars: vec![TraceId([7; 16])],
        ..Bottle::default()
    }
}
type Bottle = crate::analyse::Bottleneck;

fn service(name: &str, replicas: u32, needed: Option<u32>) -> ServiceFinding {
    ServiceFinding {
        service: name.into(),
        throughput_per_s: 100.0,
        arrivals_per_s: 100.0,
        error_share: 0.0,
        p99_ms: 20.0,
        waiting_ms: 1.0,
        own_time_ms: 9.0,
        concurrency_per_pod: 1.0,
        capacity_per_pod_per_s: Some(80.0),
        replicas,
        ready: replicas,
        replicas_needed: needed,
        objective_missed: false,
        low_traffic: false,
        pod_start_s: None,
    }
}

fn findings(bottlenecks: Vec<Bottle>) -> Findings {
    Findings { at: Time::from_secs(1_000), complete_to: Time::from_secs(999), bottlenecks, ..Findings::default() }
}

fn run(text: &str, findings: &Findings) -> Evaluated {
    let (rules, errors) = Rules::compile(&[RuleSource::new("rule", text)], Limits::default());
    assert_eq!(errors, []);
    rules.evaluate(findings, &ClusterState::default())
}

/// The one line a rule's author reads, from compiling or from running.
fn error(text: &str) -> String {
    let (rules, errors) = Rules::compile(&[RuleSource::new("rule", text)], Limits::default());
    let ran = rules.evaluate(&findings(vec![saturated()]), &ClusterState::default());
    let lines: Vec<String> = errors.iter().chain(&ran.errors).map(ToString::to_string).collect();
    let start = &text[..text.len().min(80)];
    assert_eq!(lines.len(), 1, "{start}: {lines:?}");
    assert!(!lines[0].contains('\n'), "{}", lines[0]);
    lines[0].clone()
}

const FROM_THE_DESIGN: &str = r#"
// Scale out the service that saturates, by what the load needs.
const COOLDOWN = seconds(60);      // read by the host; inside a function write global::COOLDOWN

fn evaluate(now) {
    now.bottlenecks                // one for each entry operation that misses its objective; empty when all is well
        .filter(|b| b.verdict == "saturated")
        .map(|b| scale_out(b.service).to(b.replicas_needed).because(`${b.entry}: ${b.service} p99 ${b.p99}`))
}
"#;

#[test]
fn the_first_example_runs_as_printed() {
    let slow = Bottle { verdict: Verdict::SlowDependency, ..saturated() };
    let evaluated = run(FROM_THE_DESIGN, &findings(vec![slow, Bottle { entry: "x".into(), ..saturated() }]));
    assert_eq!(
        evaluated.proposals,
        [Proposal {
            origin: "rule".into(),
            action: Action::ScaleOut(ScaleOut { service: "content-api".into(), to: 9, cooldown_s: Some(60.0) }),
            because: "x: content-api p99 812 ms".into(),
            verdict: "saturated".into(), // of the bottleneck that it tells of, not of the worst at this service
        }]
    );
    assert_eq!(evaluated.errors, []);
}

#[test]
fn an_unknown_need_is_a_skipped_proposal_and_no_error() {
    let evaluated = run(FROM_THE_DESIGN, &findings(vec![Bottle { replicas_needed: None, ..saturated() }]));
    assert_eq!((evaluated.proposals.len(), evaluated.errors.len()), (0, 0));
    assert!(evaluated.skipped[0].reason.contains("not known"), "{:?}", evaluated.skipped);
    let healthy = run(
        "fn evaluate(now) { scale_out(now.bottleneck.service).to(now.bottleneck.replicas_needed) }",
        &findings(vec![]),
    );
    assert!(healthy.skipped[0].reason.contains("no service"), "{:?}", healthy.skipped);
}

#[test]
fn one_proposal_holes_nests_and_nothing_are_accepted() {
    for (returned, count) in [
        ("()", 0),
        ("[]", 0),
        ("scale_out(\"a\").to(2)", 1),
        ("[(), scale_out(\"a\").to(2), ()]", 1),
        ("[[scale_out(\"a\").to(2)], [scale_in(\"b\").to(1), notify(\"c\", \"text\")]]", 3),
    ] {
        let evaluated = run(&format!("// Words.\nfn evaluate(now) {{ {returned} }}"), &findings(vec![]));
        assert_eq!(evaluated.proposals.len(), count, "{returned}");
        assert!(evaluated.proposals.iter().all(|p| p.because == "Words."), "the first comment speaks for the rule");
    }
}

#[test]
fn durations_come_from_the_proposal_before_the_constant() {
    let text = r#"
        const COOLDOWN = seconds(60);
        const STABILISATION = minutes(5);
        fn evaluate(now) {
            [scale_out("a").to(2), scale_out("b").to(2).cooldown(seconds(1.5)),
             scale_in("c").to(1), scale_in("d").to(1).stabilisation(global::COOLDOWN * 2)]
        }"#;
    let seconds: Vec<Option<f64>> = run(text, &findings(vec![]))
        .proposals
        .into_iter()
        .map(|p| match p.action {
            Action::ScaleOut(ScaleOut { cooldown_s, .. }) => cooldown_s,
            Action::ScaleIn(ScaleIn { stabilisation_s, .. }) => stabilisation_s,
            _ => None,
        })
        .collect();
    assert_eq!(seconds, [Some(60.0), Some(1.5), Some(300.0), Some(120.0)]);
}

#[test]
fn every_field_of_the_findings_can_be_read() {
    let mut all = findings(vec![Bottle { peer: Some("db".into()), ..saturated() }]);
    all.services = vec![service("content-api", 3, Some(9))];
    all.entries = vec![EntryFinding {
        entry: "ingress GET /exam".into(),
        requests: 100,
        requests_per_s: 10.0,
        p50_ms: 40.0,
        p99_ms: 812.0,
        objective_ms: 300.0,
        missed_share: 0.4,
        error_share: 0.0,
        missed: true,
        remote_parent_share: 0.5,
        work: Default::default(),
        compliance: Compliance::default(),
    }];
    let text = r#"
        fn evaluate(now) {
            let b = now.bottleneck;
            let s = now.service("content-api");
            let e = now.entries[0];
            print(`${now.at} ${now.complete_to} ${now.blind} ${now.bottlenecks.len()} ${now.services.len()}`);
            print(`${b.entry} ${b.service} ${b.operation} ${b.pod} ${b.peer} ${b.verdict} ${b.score} ${b.blame} ${b.blame_ms}`);
            print(`${b.p99} ${b.p99_ms} ${b.objective} ${b.objective_ms} ${b.missed_share} ${b.replicas} ${b.replicas_needed}`);
            print(`${b.evidence[0].measure} ${b.evidence[0].now} ${b.evidence[0].baseline} ${b.exemplars[0]}`);
            print(`${s.service} ${s.throughput_per_s} ${s.arrivals_per_s} ${s.error_share} ${s.p99} ${s.p99_ms} ${s.waiting} ${s.waiting_ms}`);
            print(`${s.own_time} ${s.own_time_ms} ${s.concurrency_per_pod} ${s.capacity_per_pod_per_s} ${s.replicas} ${s.ready}`);
            print(`${s.replicas_needed} ${s.objective_missed} ${s.low_traffic} ${s.opted_in} ${s.min_replicas} ${s.max_replicas}`);
            print(`${e.entry} ${e.requests} ${e.requests_per_s} ${e.p50} ${e.p50_ms} ${e.p99} ${e.p99_ms} ${e.objective} ${e.objective_ms} ${e.missed_share} ${e.error_share} ${e.missed}`);
            print(`${now.service("other") == ()} ${b.p99 > seconds(0.5)} ${b.p99 - b.objective} ${b.p99 / b.objective > 2.7}`);
        }"#;
    let evaluated = run(text, &all);
    assert_eq!(evaluated.errors, []);
    let lines: Vec<&str> = evaluated.printed.iter().map(|p| p.text.as_str()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn errors_name_the_rule_the_place_and_the_remedy() {
    let inputs = [
        "fn evaluate(now) { now.bottlenecks.map(|b| scale_out(b.service).to(b.replica_needed)) }",
        "fn evaluate(now) {\n    now.bottlenecks.map(|b| b.p99 > 300)\n}",
        "fn evaluate(now) { \"scale out\" }",
        "fn evaluate(now) { scale_out(\"a\").to(1.5) }",
        "fn evaluate(now) { scale_out(\"a\").to(-1) }",
        "fn evaluate(now) { notify(\"a\", \"b\").to(3) }",
        "fn evaluate(now) { scale_up(\"a\") }",
        "fn evaluate(now) { scale_out(\"a\" }",
        "fn evaluate() { }",
        "const COOLDOWN = 60;\nfn evaluate(now) { }",
        "const COOLDOWN = seconds(60);\nfn evaluate(now) { COOLDOWN }",
        "const C = 3;\nfn evaluate(now) { C }",
        "fn evaluate(now) { now.bottlenecs }",
        "fn evaluate(now) { scale_out(\"a\").to(3.0) }",
        "const COOLDOWN = seconds(-1);\nfn evaluate(now) { }",
        "fn evaluate(now) { throw \"no pods at all\"; }",
    ];
    let lines: Vec<String> = inputs.into_iter().map(error).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// FIELD 17: a verdict that does not exist was never reported.
#[test]
fn a_verdict_that_does_not_exist_is_named_and_the_rule_runs() {
    let slips = |text: &str| {
        let source = RuleSource { name: "rule".into(), source: text.into() };
        let (rules, errors) = Rules::compile(&[source], Limits::default());
        assert_eq!(errors, []);
        rules.slips().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let wrong = "fn evaluate(now) {\n    if now.bottleneck.verdict == \"saturatd\" { now.bottlenecks.filter(|b| \"slow\" != b.verdict) }\n}";
    insta::assert_snapshot!(slips(wrong).join("\n"));
    assert!(
        slips("fn evaluate(now) { now.bottlenecks.filter(|b| b.verdict == \"blind\" || b.entry == \"x\") }").is_empty()
    );
    assert!(shipped().iter().all(|rule| slips(&rule.source).is_empty()));
}

/// FIELD 17: it was told that the capacity is not learnt yet.
#[test]
fn a_scaling_without_replicas_says_so() {
    let source = RuleSource { name: "rule".into(), source: "fn evaluate(now) { scale_out(\"auth\") }".into() };
    let (rules, _) = Rules::compile(&[source], Limits::default());
    let skipped = rules.evaluate(&Findings::default(), &ClusterState::default()).skipped;
    assert_eq!(skipped[0].reason, "scale_out(\"auth\") without .to(n); say how many replicas");
}

/// FIELD 51: a notice carried the verdict of the service's worst bottleneck, and was told again when that changed.
#[test]
fn a_notice_carries_the_verdict_that_it_tells_of() {
    let bottleneck = |entry: &str, verdict| Bottleneck {
        entry: entry.into(),
        service: "auth".into(),
        verdict,
        ..Bottleneck::default()
    };
    let findings = Findings {
        bottlenecks: vec![
            bottleneck("ingress POST /login", Verdict::Saturated),
            bottleneck("ingress GET /me", Verdict::Failing),
        ],
        ..Findings::default()
    };
    let (rules, _) = Rules::compile(&shipped(), Limits::default());
    let evaluated = rules.evaluate(&findings, &ClusterState::default());
    let notices: Vec<_> = evaluated.proposals.iter().map(|p| (p.action.name(), p.verdict.as_str())).collect();
    assert_eq!(notices, [("notify", "failing")]);
}

#[test]
fn every_limit_holds() {
    let deep = format!("fn evaluate(now) {{ {}1{} }}", "(1+".repeat(200), ")".repeat(200));
    let inputs = [
        "fn evaluate(now) { loop { } }".to_string(),
        "loop { }\nfn evaluate(now) { }".to_string(),
        "fn f(n) { f(n + 1) } fn evaluate(now) { f(0) }".to_string(),
        deep,
        "fn evaluate(now) { let s = \"x\"; loop { s += s; } }".to_string(),
        "fn evaluate(now) { let a = [1]; loop { a += a; } }".to_string(),
        format!("fn evaluate(now) {{ #{{ {} }} }}", (0..300).map(|n| format!("k{n}: {n},")).collect::<String>()),
        // rhai does not count a map that grows in place; the operations end it.
        "fn evaluate(now) { let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; } }".to_string(),
        format!("fn evaluate(now) {{ {} }}", (0..200).map(|n| format!("let v{n} = {n};")).collect::<String>()),
        format!("{} fn evaluate(now) {{ }}", (0..100).map(|n| format!("fn f{n}() {{}} ")).collect::<String>()),
        "fn evaluate(now) { let a = []; for i in 0..200 { a += scale_out(`s${i}`).to(1); } a }".to_string(),
        format!("fn evaluate(now) {{ }} //{}", "x".repeat(70_000)),
    ];
    let lines: Vec<String> = inputs.iter().map(|text| error(text)).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn nothing_outside_can_be_reached() {
    for text in [
        "fn evaluate(now) { eval(\"1\") }",
        "import \"other\" as o; fn evaluate(now) { }",
        "fn evaluate(now) { sleep(1) }",
        "fn evaluate(now) { timestamp() }",
        "fn evaluate(now) { open_file(\"x\") }",
        "fn evaluate(now) { now.blind = false }",
    ] {
        assert!(error(text).starts_with("rule.rhai:1:"), "{text}");
    }
}

#[test]
fn printing_goes_to_the_log_and_is_bounded() {
    let evaluated = run("fn evaluate(now) { for i in 0..100 { print(i); } debug(1) }", &findings(vec![]));
    assert_eq!(evaluated.printed.len(), Limits::default().printed_lines);
    assert_eq!(evaluated.printed[3], Printed { rule: "rule".into(), text: "3".into() });
}

#[test]
fn a_bad_rule_leaves_the_others_and_its_last_good_version_in_force() {
    let good = RuleSource::new("a", "fn evaluate(now) { scale_out(\"a\").to(2) }");
    let bad = RuleSource::new("b", "fn evaluate(now) {");
    let (mut rules, errors) = Rules::compile(&[bad.clone(), good.clone()], Limits::default());
    assert_eq!(errors.len(), 1);
    assert_eq!(rules.sources(), std::slice::from_ref(&good));

    let errors = rules
        .replace(
            &[RuleSource::new("a", "fn evaluate(now) { oops }"), RuleSource::new("c", &good.source)],
            &mut Here,
            None,
        )
        .0;
    assert_eq!(errors[0].rule, "a");
    let names: Vec<String> = rules.sources().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(rules.sources()[0], good, "the last good version stays");
    assert_eq!(rules.evaluate(&findings(vec![]), &ClusterState::default()).proposals.len(), 2);

    assert_eq!(rules.replace(&[], &mut Here, None).0, []);
    assert_eq!(rules.sources(), []);
}

#[test]
fn the_name_of_the_give_back_is_reserved_and_the_number_of_rules_bounded() {
    let rule = |name: String| RuleSource::new(name, "fn evaluate(now) { }");
    let (_, errors) = Rules::compile(&[rule("give_back".into())], Limits::default());
    assert!(errors[0].to_string().contains("rename the file"), "{errors:?}");
    let many: Vec<RuleSource> = (0..300).map(|n| rule(format!("r{n}"))).collect();
    let (rules, errors) = Rules::compile(&many, Limits::default());
    assert_eq!((rules.sources().len(), errors.len()), (256, 44));
}

#[test]
fn shipped_rules_say_what_they_should() {
    let (rules, errors) = Rules::compile(&shipped(), Limits::default());
    assert_eq!(errors, []);
    let verdicts = [
        Verdict::Saturated,
        Verdict::SlowDependency,
        Verdict::BadInstance,
        Verdict::Regression,
        Verdict::Exhausted,
        Verdict::Failing,
        Verdict::Unreachable,
        Verdict::Degraded,
        Verdict::Amplification,
        Verdict::Unknown,
    ];
    let mut all = findings(vec![]);
    for verdict in verdicts {
        let service = verdict.as_str().to_string();
        all.bottlenecks.push(Bottle { service, verdict, pod: Some("auth-7".into()), ..saturated() });
    }
    all.bottlenecks.push(Bottle { service: "enough".into(), replicas: 9, ..saturated() });
    all.bottlenecks.push(Bottle { service: "unknown-need".into(), replicas_needed: None, ..saturated() });
    all.services = vec![
        service("idle", 9, Some(3)),
        service("busy", 3, Some(3)),
        service("foreign", 9, Some(3)),
        service("unsaid", 9, None),
        ServiceFinding { low_traffic: true, ..service("low_traffic", 9, Some(3)) },
        ServiceFinding { objective_missed: true, ..service("missing", 9, Some(3)) },
    ];
    let workload = |name: &str| Workload {
        service: name.into(),
        replicas: 9,
        min_replicas: 1,
        max_replicas: 20,
        resource_version: 1,
        pods: Vec::new(),
        ..Workload::default()
    };
    let workloads = ["idle", "busy", "unsaid", "low_traffic", "missing"].map(workload).to_vec();
    let evaluated = rules.evaluate(&all, &ClusterState { at: all.at, workloads });
    assert_eq!(evaluated.errors, []);
    let lines: Vec<String> =
        evaluated.proposals.iter().map(|p| format!("{}\n    {:?}\n    {}", p.origin, p.action, p.because)).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn pods_are_restarted_and_lent_cpu_by_their_names() {
    let text = r#"fn evaluate(now) {
        [restart_pod("a", "a-1"), restart_pod("b", ()), resize_cpu("c", 1.5).for_duration(minutes(1)), resize_cpu("d", 0.0)]
    }"#;
    let evaluated = run(text, &findings(vec![]));
    let actions: Vec<Action> = evaluated.proposals.into_iter().map(|p| p.action).collect();
    let restart = Action::RestartPod(RestartPod { service: "a".into(), pod: "a-1".into() });
    let resize = ResizeCpu { service: "c".into(), factor: 1.5, lasting_s: 60.0 };
    assert_eq!(actions, [restart, Action::ResizeCpu(resize)]);
    let reasons: Vec<&str> = evaluated.skipped.iter().map(|s| s.reason.as_str()).collect();
    assert_eq!(reasons, ["the verdict names no pod", "its factor is no number above 0"]);
}
