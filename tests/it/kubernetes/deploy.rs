//! What `deploy/` ships, before a real API server: it is valid, it runs restricted, and it may do what it must and
//! nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::control_plane::ControlPlane;

/// As the chart names it in the namespace `headroom`.
const ACCOUNT: &str = "system:serviceaccount:headroom:headroom";

fn deploy(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path).to_str().unwrap().to_owned()
}

/// The chart is installed once, for all tests here, in a namespace where only restricted pods are admitted.
fn installed(test: &str) -> Option<&'static ControlPlane> {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let cluster = ControlPlane::shared(test)?;
    ONCE.call_once(|| {
        cluster.kubectl(&["apply", "--server-side", "--filename", &deploy("kustomize/base/namespace.yaml")]);
        let secret = ["create", "secret", "generic", "headroom-tokens", "--namespace", "headroom"];
        let tokens =
            ["--from-literal", "receive-token=0123456789abcdef", "--from-literal", "api-token=0123456789abcdef"];
        cluster.kubectl(&[&secret[..], &tokens].concat());
        let install = ["install", "headroom", &deploy("helm/headroom"), "--namespace", "headroom"];
        cluster.program("helm", &install, "").unwrap();
    });
    Some(cluster)
}

#[test]
fn the_chart_the_base_and_the_examples_are_valid() {
    let Some(cluster) = ControlPlane::shared("the_chart_the_base_and_the_examples_are_valid") else { return };
    cluster.kubectl(&["create", "namespace", "deploy-valid"]);
    let dry = |objects: &str| {
        cluster.try_kubectl(
            &["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-"],
            objects,
        )
    };

    let chart = deploy("helm/headroom");
    cluster.program("helm", &["lint", "--strict", &chart], "").unwrap();
    let narrowed = "act.namespaces={deploy-valid},replicas=3,config.tick=500ms";
    for set in ["mode=enforce", narrowed, "dashboards.enabled=true"] {
        let template = ["template", "other", &chart, "--namespace", "deploy-valid", "--set", set];
        let rendered = cluster.program("helm", &template, "").unwrap();
        let answer = dry(&rendered).unwrap();
        assert!(answer.contains("statefulset.apps/other serverside-applied (server dry run)"), "{answer}");
    }

    // The kind is one of the Prometheus operator's, which is not here to try it.
    let rules = [
        "template",
        "other",
        &chart,
        "--set",
        "prometheusRule.enabled=true",
        "--show-only",
        "templates/prometheusrule.yaml",
    ];
    let rules = cluster.program("helm", &rules, "").unwrap();
    assert!(rules.contains("kind: PrometheusRule") && rules.contains("- alert: HeadroomBlind"), "{rules}");

    // Its namespace must be there for what is in it to be tried.
    cluster.kubectl(&["apply", "--server-side", "--filename", &deploy("kustomize/base/namespace.yaml")]);
    let base = cluster.kubectl(&["kustomize", &deploy("kustomize/base")]);
    dry(&base).unwrap();
    for example in ["examples/replicas-policy.yaml", "collector/rbac.yaml"] {
        dry(&fs::read_to_string(deploy(example)).unwrap()).unwrap();
    }
}

#[test]
fn the_base_is_the_chart_and_the_rules_are_those_shipped() {
    if ControlPlane::shared("the_base_is_the_chart_and_the_rules_are_those_shipped").is_none() {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    let status = Command::new(deploy("render.sh")).arg(made.path()).status().unwrap();
    assert!(status.success());
    assert_eq!(files(&made.path().join("base")), files(Path::new(&deploy("kustomize/base"))), "run `make deploy`");
    assert_eq!(
        files(&made.path().join("rules")),
        files(Path::new(&deploy("helm/headroom/rules"))),
        "run `make deploy`"
    );
    let crds = Path::new(&deploy("helm/headroom-crds/crds-as-made")).to_owned();
    assert_eq!(files(&made.path().join("crds")), files(&crds), "run `make deploy`");
    let collector = fs::read_to_string(made.path().join("collector/gateway.yaml")).unwrap();
    assert_eq!(collector, fs::read_to_string(deploy("collector/gateway.yaml")).unwrap(), "run `make deploy`");
}

fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn it_runs_restricted_and_the_collector_reaches_each_replica() {
    let Some(cluster) = installed("it_runs_restricted_and_the_collector_reaches_each_replica") else { return };
    let workload = ["statefulset", "headroom", "--namespace", "headroom"];
    cluster.wait_until(&workload, |workload| workload["status"]["readyReplicas"] == 2);

    let collector = fs::read_to_string(deploy("collector/gateway.yaml")).unwrap();
    let services = cluster.get(&["services", "--namespace", "headroom"]);
    let names =
        services["items"].as_array().unwrap().iter().map(|service| service["metadata"]["name"].as_str().unwrap());
    let replicas: Vec<_> = names.filter(|name| *name != "headroom").collect();
    assert_eq!(replicas, ["headroom-0", "headroom-1"]);
    for replica in replicas {
        assert!(collector.contains(&format!("endpoint: {replica}.headroom.svc:4317")), "an exporter for {replica}");
        let of = format!("kubernetes.io/service-name={replica}");
        let slices = cluster.get(&["endpointslices", "--namespace", "headroom", "--selector", &of]);
        let endpoints = slices["items"][0]["endpoints"].as_array().unwrap();
        assert_eq!(endpoints.len(), 1, "{replica} is one pod");
        assert_eq!(endpoints[0]["targetRef"]["name"], replica);
    }
}

/// `verb group/resource[/subresource] namespace [name]`; `-` is no group, `*` no namespace.
fn review(request: &str) -> Value {
    let words: Vec<&str> = request.split_whitespace().collect();
    let path: Vec<&str> = words[1].split('/').collect();
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": ACCOUNT,
            "groups": ["system:serviceaccounts", "system:serviceaccounts:headroom", "system:authenticated"],
            "resourceAttributes": {
                "verb": words[0],
                "group": if path[0] == "-" { "" } else { path[0] },
                "resource": path[1],
                "subresource": path.get(2).copied().unwrap_or_default(),
                "namespace": if words[2] == "*" { "" } else { words[2] },
                "name": words.get(3).copied().unwrap_or_default(),
            },
        },
    })
}

/// Those of the requests that get the other answer.
fn answered_otherwise<'a>(cluster: &ControlPlane, allowed: bool, requests: &[&'a str]) -> Vec<&'a str> {
    let list =
        json!({ "apiVersion": "v1", "kind": "List", "items": requests.iter().map(|r| review(r)).collect::<Vec<_>>() });
    let answer = cluster.try_kubectl(&["create", "--filename", "-", "--output", "json"], &list.to_string()).unwrap();
    let answers: Vec<bool> = serde_json::Deserializer::from_str(&answer)
        .into_iter::<Value>()
        .flat_map(|answer| match answer.unwrap() {
            Value::Object(mut list) if list["kind"] == "List" => list["items"].take().as_array().unwrap().clone(),
            one => vec![one],
        })
        .map(|review| review["status"]["allowed"] == true)
        .collect();
    assert_eq!(answers.len(), requests.len(), "{answer}");
    requests.iter().zip(answers).filter(|(_, answer)| *answer != allowed).map(|(request, _)| *request).collect()
}

#[test]
fn the_account_may_do_what_it_must_and_nothing_else() {
    let Some(cluster) = installed("the_account_may_do_what_it_must_and_nothing_else") else { return };
    let must = [
        "watch headroom.dev/serviceobjectives *",
        "watch headroom.dev/capacityevents *",
        "watch headroom.dev/routeobjectives *",
        "watch gateway.networking.k8s.io/httproutes *",
        "watch gateway.networking.k8s.io/grpcroutes *",
        "watch networking.istio.io/virtualservices *",
        "patch headroom.dev/serviceobjectives/status shop auth",
        "watch -/pods *",
        "watch -/resourcequotas *",
        "watch -/nodes *",
        "watch policy/poddisruptionbudgets *",
        "create -/pods/eviction shop auth-1",
        "patch -/pods/resize shop auth-1",
        "watch apps/deployments *",
        "watch apps/statefulsets *",
        "watch argoproj.io/rollouts *",
        "watch autoscaling/horizontalpodautoscalers *",
        "watch keda.sh/scaledobjects *",
        "patch apps/deployments shop auth",
        "patch apps/deployments/scale shop auth",
        "patch apps/statefulsets/scale shop auth",
        "patch argoproj.io/rollouts/scale shop auth",
        "patch autoscaling/horizontalpodautoscalers shop auth",
        "patch keda.sh/scaledobjects shop auth",
        "patch gateway.networking.k8s.io/httproutes shop content",
        "patch gateway.networking.k8s.io/grpcroutes shop content",
        "patch networking.istio.io/virtualservices shop content",
        "create events.k8s.io/events shop",
        "create coordination.k8s.io/leases headroom",
        "patch coordination.k8s.io/leases headroom headroom",
        "get -/configmaps headroom headroom-learnt",
        "create -/configmaps headroom headroom-learnt",
        "patch -/configmaps headroom headroom-learnt",
    ];
    assert_eq!(answered_otherwise(cluster, true, &must), [""; 0], "it must be able to");

    let must_not = [
        "get -/secrets headroom headroom-tokens",
        "list -/secrets *",
        "get -/configmaps shop settings",
        "patch -/configmaps headroom headroom-config",
        "patch -/configmaps headroom headroom-rules",
        "create -/configmaps headroom",
        "patch -/configmaps shop headroom-learnt",
        "delete -/pods shop auth-1",
        "create -/pods shop",
        "create -/pods/exec shop auth-1",
        "get -/pods/log shop auth-1",
        "patch -/pods shop auth-1",
        "patch -/nodes * node-1",
        "create -/serviceaccounts/token headroom headroom",
        "create apps/deployments shop",
        "delete apps/deployments shop auth",
        "deletecollection apps/deployments shop",
        "patch apps/daemonsets shop agent",
        "patch apps/replicasets shop auth-1",
        "delete autoscaling/horizontalpodautoscalers shop auth",
        "create autoscaling/horizontalpodautoscalers shop",
        "delete keda.sh/scaledobjects shop auth",
        "patch headroom.dev/serviceobjectives shop auth",
        "create headroom.dev/serviceobjectives shop",
        "patch headroom.dev/capacityevents shop exam",
        "patch headroom.dev/routeobjectives shop content",
        "delete gateway.networking.k8s.io/httproutes shop content",
        "create gateway.networking.k8s.io/httproutes shop",
        "patch gateway.networking.k8s.io/gateways shop front",
        "patch policy/poddisruptionbudgets shop auth",
        "patch -/resourcequotas shop quota",
        "patch coordination.k8s.io/leases headroom other",
        "patch coordination.k8s.io/leases kube-system kube-scheduler",
        "create rbac.authorization.k8s.io/clusterrolebindings *",
        "patch admissionregistration.k8s.io/validatingadmissionpolicies * headroom-headroom",
        "impersonate -/users *",
    ];
    assert_eq!(answered_otherwise(cluster, false, &must_not), [""; 0], "it must be refused");
}

/// A policy is in force some time after it is written: this looks until something is refused.
fn await_policy(attempt: impl Fn() -> Result<String, String>) {
    assert!((0..300).any(|_| attempt().is_err()), "no policy refuses it");
}

#[test]
fn the_account_changes_replicas_and_annotations_alone() {
    let Some(cluster) = installed("the_account_changes_replicas_and_annotations_alone") else { return };
    cluster.kubectl(&["create", "namespace", "deploy-writes"]);
    cluster.kubectl(&[
        "create",
        "deployment",
        "web",
        "--image",
        "web",
        "--replicas",
        "2",
        "--namespace",
        "deploy-writes",
    ]);
    let patch = |subresource: &str, patch: &str| {
        let target = ["patch", "deployment", "web", "--namespace", "deploy-writes", "--as", ACCOUNT];
        let target = [&target[..], &["--dry-run=server", "--patch", patch]].concat();
        let part = ["--subresource", subresource];
        cluster.try_kubectl(&[&target[..], if subresource.is_empty() { &[] } else { &part[..] }].concat(), "")
    };
    let to_zero = r#"{"spec":{"replicas":0}}"#;
    await_policy(|| patch("", to_zero));
    let policy = ["validatingadmissionpolicy", "headroom-headroom"];
    let checked = cluster.wait_until(&policy, |policy| policy["status"]["typeChecking"].is_object());
    assert!(checked["status"]["typeChecking"].get("expressionWarnings").is_none(), "{checked:#}");

    patch("scale", r#"{"spec":{"replicas":3}}"#).unwrap();
    patch("", r#"{"metadata":{"annotations":{"headroom.dev/intervention":"i-1"}},"spec":{"replicas":4}}"#).unwrap();
    for subresource in ["", "scale"] {
        let refused = patch(subresource, to_zero).unwrap_err();
        assert!(refused.contains("headroom never scales to zero"), "{refused}");
    }
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"other"}]}}}}"#;
    let refused = patch("", image).unwrap_err();
    assert!(refused.contains("headroom never changes a pod template"), "{refused}");
}

#[test]
fn the_account_changes_weights_of_a_route_alone() {
    let Some(cluster) = installed("the_account_changes_weights_of_a_route_alone") else { return };
    cluster.install_crds("sigs.k8s.io/gateway-api");
    cluster.kubectl(&["create", "namespace", "deploy-routes"]);
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "deploy-routes"},
        "spec": {"hostnames": ["web.example"], "rules": [
            {"backendRefs": [{"name": "v1", "port": 80, "weight": 50}, {"name": "v2", "port": 80, "weight": 50}]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/static"}}], "backendRefs": [{"name": "static", "port": 80}]},
        ]},
    });
    cluster.apply(&route.to_string());
    let patch = |operations: Value| {
        let target = ["patch", "httproute", "web", "--namespace", "deploy-routes", "--as", ACCOUNT, "--type=json"];
        cluster.try_kubectl(&[&target[..], &["--dry-run=server", "--patch", &operations.to_string()]].concat(), "")
    };
    let replace = |path: &str, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
    await_policy(|| patch(replace("/spec/hostnames/0", json!("other.example"))));

    patch(replace("/spec/rules/0/backendRefs/0/weight", json!(75))).unwrap();
    let first = json!({"name": "v1", "port": 80, "weight": 50});
    let rules = &route["spec"]["rules"];
    for (what, operations) in [
        ("another backend in the place of one", replace("/spec/rules/0/backendRefs/1", first)),
        ("another port", replace("/spec/rules/0/backendRefs/1/port", json!(81))),
        ("another path", replace("/spec/rules/1/matches/0/path/value", json!("/"))),
        ("rules in another order", replace("/spec/rules", json!([rules[1], rules[0]]))),
        ("a rule less", json!([{"op": "remove", "path": "/spec/rules/1"}])),
    ] {
        let refused = patch(operations).expect_err(what);
        assert!(
            refused.contains("headroom changes nothing of a route but the weights of its backends"),
            "{what}: {refused}"
        );
    }
}

#[test]
fn the_example_policy_hears_of_either_way_to_scale() {
    let Some(cluster) = ControlPlane::shared("the_example_policy_hears_of_either_way_to_scale") else { return };
    cluster.kubectl(&["apply", "--server-side", "--filename", &deploy("examples/replicas-policy.yaml")]);
    cluster.kubectl(&["create", "namespace", "deploy-policy"]);
    cluster.kubectl(&["label", "namespace", "deploy-policy", "headroom.dev/replicas-max=4"]);
    cluster.kubectl(&[
        "create",
        "deployment",
        "web",
        "--image",
        "web",
        "--replicas",
        "2",
        "--namespace",
        "deploy-policy",
    ]);
    cluster.wait_until(&["validatingadmissionpolicy", "replicas-max"], |policy| {
        policy["status"]["typeChecking"].is_object()
    });
    let scale = |replicas: &str, subresource: &[&str]| {
        let patch = format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
        let args =
            ["patch", "deployment", "web", "--namespace", "deploy-policy", "--dry-run=server", "--patch", &patch];
        cluster.try_kubectl(&[&args[..], subresource].concat(), "")
    };
    await_policy(|| scale("5", &[]));
    for subresource in [&[][..], &["--subresource", "scale"]] {
        scale("4", subresource).unwrap();
        let refused = scale("5", subresource).unwrap_err();
        assert!(refused.contains("at most 4 replicas here, not 5"), "{refused}");
    }
}
