//! The Helm chart through its life on a real API server: values, installing, upgrading, a second release, removing; and
//! that its admission policies cover what its account may patch.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use crate::process::run;
use crate::skip::measured;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/helm/headroom");
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/helm/headroom-crds");
/// The chart of the first version, as it was.
const FIRST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/0.1.0/chart");
/// Every option.
const ALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/chart-all.yaml");
/// A policy is in force some time after it is written.
const UNTIL_IN_FORCE: usize = 300;

fn objects(yaml: &str) -> Vec<Value> {
    yaml.split("\n---")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap_or_else(|error| panic!("{error}: {document}")))
        .filter(|document| !document.is_null())
        .collect()
}

fn render(cluster: &ControlPlane, args: &[&str]) -> Vec<Value> {
    let template = [&["template", "headroom", CHART, "--namespace", "headroom"], args].concat();
    objects(&cluster.program("helm", &template, "").unwrap())
}

fn only<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().find(found).unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn mistakes_in_values_are_rejected_by_name() {
    let Some(cluster) = ControlPlane::shared("mistakes_in_values_are_rejected_by_name") else { return };
    let mistakes = [
        ("replica=3", "'replica'"),
        ("replicas=two", "'/replicas'"),
        ("replicas=0", "'/replicas'"),
        ("replicas=12", "'/replicas'"),
        ("mode=enforced", "'/mode'"),
        ("mode=Enforce", "'/mode'"),
        ("image.tga=1.0", "'tga'"),
        ("image.repository=team/headroom:1.0", "'/image/repository'"),
        ("image.pullPolicy=Sometimes", "'/image/pullPolicy'"),
        ("imagePullSecrets={registry}", "'/imagePullSecrets/0'"),
        ("tokens.secrets=x", "'secrets'"),
        ("tls.certificate=x", "'certificate'"),
        ("tls.certManager.kind=clusterissuer", "'/tls/certManager/kind'"),
        ("config.tikc=1s", "'tikc'"),
        ("rules.mine=x", "'mine'"),
        ("act.namespace=shop", "'namespace'"),
        ("scalable[0].apiGroup=argoproj.io,scalable[0].resource=Rollout", "'/scalable/0/resource'"),
        ("resources.limits.memory=1.5 gigabytes", "'/resources/limits/memory'"),
        ("resources.limit.memory=1Gi", "'limit'"),
        ("journal.size=256", "'/journal/size'"),
        ("journal.volume.emptyDir.medium=Memory,journal.volume.hostPath.path=/x", "'/journal/volume'"),
        ("admissionPolicy=maybe", "'/admissionPolicy'"),
        ("networkPolicy.enable=true", "'enable'"),
        ("serviceAccount.annotations.role=7", "'/serviceAccount/annotations/role'"),
        ("podAnnotations.a=true", "'/podAnnotations/a'"),
        ("tolerations[0].effect=Never", "'/tolerations/0/effect'"),
        ("affinity.nodeAfinity.x=y", "'nodeAfinity'"),
        ("extraEnv[0].value=x", "'name'"),
        ("extraVolumeMounts[0].name=x", "'mountPath'"),
        ("collector.backend=tempo", "'/collector/backend'"),
    ];
    let mut rejected = 0;
    for (set, named) in mistakes {
        let said = cluster.program("helm", &["template", "headroom", CHART, "--set", set], "").expect_err(set);
        assert!(said.contains(named), "{set}: {said}");
        rejected += 1;
    }
    measured("chart.mistakes_rejected_by_name", rejected, "mistakes");
}

#[test]
fn the_schema_of_values_knows_every_key_of_the_configuration_and_every_value() {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(format!("{CHART}/values.schema.json")).unwrap()).unwrap();
    let keys = |of: &Value| of["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let (_, configuration, _) = run(Path::new("."), &["config-schema"]);
    let configuration: Value = serde_json::from_str(&configuration).unwrap();
    let missing: Vec<_> = keys(&configuration).difference(&keys(&schema["properties"]["config"])).cloned().collect();
    assert_eq!(missing, [""; 0], "name the key under `config` of deploy/helm/headroom/values.schema.json");

    let values: Value = serde_saphyr::from_str(&fs::read_to_string(format!("{CHART}/values.yaml")).unwrap()).unwrap();
    let named: BTreeSet<String> = values.as_object().unwrap().keys().cloned().collect();
    let unknown: Vec<_> = named.difference(&keys(&schema)).cloned().collect();
    assert_eq!(unknown, [""; 0], "of values.yaml, not in values.schema.json");
}

#[test]
fn every_option_is_rendered_and_taken_by_the_server() {
    let Some(cluster) = ControlPlane::shared("every_option_is_rendered_and_taken_by_the_server") else { return };
    cluster.program("helm", &["lint", "--strict", CHART, "--values", ALL], "").unwrap();
    let api_tls = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/values-api-tls.yaml");
    cluster.program("helm", &["lint", "--strict", CHART, "--values", api_tls], "").unwrap();
    let with_tls = render(cluster, &["--values", api_tls]);
    let container = &only(&with_tls, "StatefulSet", "headroom")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["readinessProbe"]["httpGet"]["scheme"], "HTTPS", "or it would never be ready");
    cluster.program("helm", &["lint", "--strict", CRDS], "").unwrap();
    let rendered = render(cluster, &["--values", ALL]);

    let set = only(&rendered, "StatefulSet", "headroom");
    let pod = &set["spec"]["template"]["spec"];
    let expected = [
        (&pod["imagePullSecrets"], json!([{"name": "registry"}])),
        (&pod["serviceAccountName"], json!("the-account")),
        // Values are merged: a volume of one's own must not come beside the default one.
        (&pod["volumes"][4], json!({"name": "journal", "persistentVolumeClaim": {"claimName": "journal"}})),
        (&pod["nodeSelector"], json!({"pool": "tools"})),
        (&pod["tolerations"][0]["key"], json!("tools")),
        (&pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["weight"], json!(1)),
        (&pod["containers"][0]["image"], json!("registry.example:5000/team/headroom:0.1.0")),
        (&pod["containers"][0]["env"], json!([{"name": "HEADROOM_LOG", "value": "debug"}])),
        (&pod["containers"][0]["envFrom"][0]["configMapRef"]["name"], json!("more")),
        (&pod["containers"][1]["name"], json!("proxy")),
        (&set["spec"]["template"]["metadata"]["labels"]["team"], json!("ops")),
        (&set["spec"]["template"]["metadata"]["annotations"]["example.com/scrape"], json!("false")),
        (&only(&rendered, "Service", "headroom")["metadata"]["annotations"]["example.com/team"], json!("ops")),
        (&only(&rendered, "NetworkPolicy", "headroom")["spec"]["egress"][2]["ports"][0]["port"], json!(8443)),
        (&only(&rendered, "NetworkPolicy", "headroom")["spec"]["ingress"][3]["ports"][0]["port"], json!(9443)),
    ];
    for (found, wanted) in expected {
        assert_eq!(*found, wanted);
    }
    let mounts: Vec<&str> =
        pod["containers"][0]["volumeMounts"].as_array().unwrap().iter().filter_map(|of| of["name"].as_str()).collect();
    assert_eq!(mounts, ["config", "rules", "tokens", "tls", "journal", "more"]);
    assert!(rendered.iter().all(|object| object["kind"] != "ServiceAccount"), "create: false makes none");
    let certificate = only(&rendered, "Certificate", "headroom");
    let names = json!([
        "headroom.headroom.svc",
        "headroom-0.headroom.svc",
        "headroom-1.headroom.svc",
        "headroom-2.headroom.svc",
    ]);
    assert_eq!(certificate["spec"]["dnsNames"], names, "as the Collector calls each replica");

    for namespace in ["chart-all", "shop", "pay"] {
        // The second time another test made it.
        let _ = cluster.try_kubectl(&["create", "namespace", namespace], "");
    }
    let foreign = ["Certificate", "ServiceMonitor", "PrometheusRule"];
    for object in rendered.iter().filter(|object| !foreign.contains(&object["kind"].as_str().unwrap())) {
        let mut object = object.clone();
        if object["metadata"]["namespace"] == "headroom" {
            object["metadata"]["namespace"] = json!("chart-all");
        }
        let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-"];
        cluster.try_kubectl(&apply, &object.to_string()).unwrap();
    }
}

/// `check-config` reads what the chart writes, with TLS and without.
#[test]
fn the_configuration_it_renders_is_one_that_headroom_takes() {
    let Some(cluster) = ControlPlane::shared("the_configuration_it_renders_is_one_that_headroom_takes") else { return };
    for args in [&[][..], &["--values", ALL]] {
        let rendered = render(cluster, args);
        let config = only(&rendered, "ConfigMap", "headroom-config")["data"]["headroom.yaml"].as_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let tls = rcgen::generate_simple_self_signed(["headroom-0.headroom.svc".to_owned()]).unwrap();
        for (name, text) in [
            ("receive-token", "0123456789abcdef".to_owned()),
            ("api-token", "fedcba9876543210".to_owned()),
            ("tls.crt", tls.cert.pem()),
            ("ca.crt", tls.cert.pem()),
            ("tls.key", tls.signing_key.serialize_pem()),
        ] {
            write_private(&here.join(name), &text);
        }
        let here = here.to_str().unwrap();
        let moved = ["/etc/headroom/tokens", "/etc/headroom/tls", "/var/lib/headroom"];
        let config = moved.iter().fold(config.to_owned(), |text, folder| text.replace(folder, here));
        let config = config.replace("/etc/headroom/rules", &format!("{CHART}/rules"));
        let path = folder.path().join("headroom.yaml");
        fs::write(&path, config).unwrap();
        let (code, said, error) = run(folder.path(), &["check-config", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{said}{error}");
    }
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[test]
fn the_collector_has_an_exporter_for_each_of_any_number_of_replicas() {
    let Some(cluster) = ControlPlane::shared("the_collector_has_an_exporter_for_each_of_any_number_of_replicas") else {
        return;
    };
    for replicas in [1, 2, 5, 9] {
        for tls in ["tls.secret=", "tls.secret=certificates"] {
            let rendered = render(cluster, &["--set", &format!("replicas={replicas},{tls}")]);
            let text = only(&rendered, "ConfigMap", "headroom-collector")["data"]["gateway.yaml"].as_str().unwrap();
            let config: Value = serde_saphyr::from_str(text).unwrap();
            let used = config["service"]["pipelines"]["traces"]["exporters"].as_array().unwrap();
            assert_eq!(used.len(), replicas + 1, "each replica and the backend");
            for name in used {
                let exporter = &config["exporters"][name.as_str().unwrap()];
                assert!(exporter["endpoint"].is_string(), "{name} of {replicas}: {exporter}");
            }
            let first = &config["exporters"]["otlp/headroom-0"];
            assert_eq!(first["tls"]["insecure"] == true, tls == "tls.secret=", "{first}");
            assert_eq!(first["tls"]["ca_file"].is_string(), tls != "tls.secret=", "{first}");
        }
    }
}

/// `patch` of a ClusterRole without a policy over the same kind would be a promise that nobody keeps.
#[test]
fn admission_policies_cover_every_kind_that_the_account_may_patch() {
    let Some(cluster) = ControlPlane::shared("admission_policies_cover_every_kind_that_the_account_may_patch") else {
        return;
    };
    let rendered = render(cluster, &["--values", ALL]);
    let pairs = |rule: &Value| -> BTreeSet<String> {
        let texts = |key: &str| rule[key].as_array().unwrap().iter().map(|of| of.as_str().unwrap().to_owned());
        texts("apiGroups").flat_map(|group| texts("resources").map(move |of| format!("{group}/{of}"))).collect()
    };
    let act = only(&rendered, "ClusterRole", "headroom-headroom-act");
    let patched = act["rules"].as_array().unwrap().iter().filter(|rule| rule["verbs"][0] == "patch").flat_map(pairs);
    let policies = rendered.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy");
    let rules = policies.flat_map(|policy| policy["spec"]["matchConstraints"]["resourceRules"].as_array().unwrap());
    let covered: BTreeSet<String> = rules.flat_map(pairs).collect();
    // Its own kind's status: nothing of anybody else.
    let open: Vec<String> =
        patched.filter(|of| of != "headroom.dev/serviceobjectives/status" && !covered.contains(of)).collect();
    assert_eq!(open, [""; 0], "may be patched and no policy looks at it");
    assert!(covered.contains("apps.example/shards/scale"), "{covered:?}");
}

/// What the account may not do where RBAC lets it: `kind`, patch, subresource, and the words of the refusal.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("deployment", r#"{"spec":{"replicas":0}}"#, "", "never scales to zero"),
    ("deployment", r#"{"spec":{"replicas":0}}"#, "scale", "never scales to zero"),
    ("deployment", r#"{"spec":{"paused":true}}"#, "", "nothing of spec but replicas"),
    ("deployment", r#"{"spec":{"minReadySeconds":4}}"#, "", "nothing of spec but replicas"),
    ("deployment", r#"{"metadata":{"annotations":{"owner":"other"}}}"#, "", "no annotation but its own"),
    ("deployment", r#"{"metadata":{"annotations":{"owner":null}}}"#, "", "no annotation but its own"),
    ("deployment", r#"{"metadata":{"labels":{"new":"x"}}}"#, "", "no label, owner or finalizer"),
    ("deployment", r#"{"metadata":{"finalizers":["a/b"]}}"#, "", "no label, owner or finalizer"),
    ("hpa", r#"{"spec":{"maxReplicas":40}}"#, "", "nothing of an autoscaler but minReplicas"),
    ("scaledobject", r#"{"spec":{"maxReplicaCount":40}}"#, "", "nothing of a ScaledObject but minReplicaCount"),
    ("scaledobject", r#"{"metadata":{"annotations":{"autoscaling.keda.sh/paused":"true"}}}"#, "", "no annotation but"),
    ("rollout", r#"{"spec":{"replicas":0}}"#, "", "never scales to zero"),
    ("rollout", r#"{"spec":{"replicas":0}}"#, "scale", "never scales to zero"),
    ("rollout", r#"{"spec":{"template":{"spec":{"x":"other"}}}}"#, "", "never changes a pod template"),
    ("rollout", r#"{"spec":{"paused":true}}"#, "", "nothing of spec but replicas"),
];
const ALLOWED: &[(&str, &str, &str)] = &[
    ("deployment", r#"{"spec":{"replicas":3},"metadata":{"annotations":{"headroom.dev/intervention":"x"}}}"#, ""),
    ("deployment", r#"{"spec":{"replicas":3}}"#, "scale"),
    ("hpa", r#"{"spec":{"minReplicas":4},"metadata":{"annotations":{"headroom.dev/floor":"x"}}}"#, ""),
    ("scaledobject", r#"{"spec":{"minReplicaCount":4},"metadata":{"annotations":{"headroom.dev/floor":"x"}}}"#, ""),
    ("scaledobject", r#"{"spec":{"minReplicaCount":null}}"#, ""),
    ("rollout", r#"{"spec":{"replicas":4}}"#, ""),
    ("rollout", r#"{"spec":{"replicas":4}}"#, "scale"),
];

const OBJECTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {owner: somebody}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web, resources: {requests: {cpu: 100m, memory: 64Mi}}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {minReplicas: 2, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: other}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web}
spec: {minReplicaCount: 2, maxReplicaCount: 9, scaleTargetRef: {name: other}, triggers: [{type: cpu, metadata: {value: "50"}}]}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec: {replicas: 2, template: {spec: {x: y}}}
"#;

/// A kind with a scale subresource, as Argo's is.
const ROLLOUTS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  names: {kind: Rollout, plural: rollouts, singular: rollout}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    subresources: {scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

/// One cluster of its own, from nothing to nothing, as `docs/install-kubernetes.md`, `docs/upgrade.md` and
/// `docs/uninstall.md` say.
#[test]
fn the_first_chart_is_upgraded_a_second_release_refused_and_nothing_left_behind() {
    let test = "the_first_chart_is_upgraded_a_second_release_refused_and_nothing_left_behind";
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chart");
    let Some(cluster) = ControlPlane::start(test, &directory, 2) else { return };
    cluster.apply(ROLLOUTS);
    cluster.install_crds("github.com/kedacore/keda/v2");
    let helm = |args: &[&str]| cluster.program("helm", args, "");
    let before = everything(&cluster);

    cluster.kubectl(&["create", "namespace", "headroom"]);
    let secret = ["create", "secret", "generic", "headroom-tokens", "--namespace", "headroom"];
    let tokens = ["--from-literal", "receive-token=0123456789abcdef", "--from-literal", "api-token=0123456789abcdef"];
    cluster.kubectl(&[&secret[..], &tokens].concat());
    helm(&["install", "headroom", FIRST, "--namespace", "headroom", "--set", "replicas=3"]).unwrap();

    helm(&["upgrade", "--install", "headroom-crds", CRDS, "--namespace", "headroom", "--take-ownership"]).unwrap();
    let said = helm(&["upgrade", "headroom", CHART, "--namespace", "headroom", "--reset-then-reuse-values"]).unwrap();
    assert!(said.contains("image.repository is `headroom`, which no registry serves"), "{said}");
    let schema = |crd: &Value| with_one_kind_of_number(&crd["spec"]["versions"][0]["schema"]);
    let wanted: Value =
        serde_saphyr::from_str(&fs::read_to_string(format!("{CHART}/crds/serviceobjectives.yaml")).unwrap()).unwrap();
    let crd = cluster.get(&["crd", "serviceobjectives.headroom.dev"]);
    assert_eq!(schema(&crd), schema(&wanted), "the definition is that of the new version");
    cluster.wait_until(&["statefulset", "headroom", "--namespace", "headroom"], |set| {
        set["status"]["readyReplicas"] == 3 && set["status"]["updatedReplicas"] == 3
    });

    let second = helm(&["install", "second", CHART, "--namespace", "default"]).unwrap_err();
    assert!(second.contains("headroom-one-release-per-cluster") && second.contains("\"headroom\""), "{second}");
    let left =
        cluster.get(&["all,configmaps", "--namespace", "default", "--selector", "app.kubernetes.io/instance=second"]);
    assert_eq!(left["items"], json!([]), "what was refused left nothing");

    the_account_changes_nothing_but_what_it_says(&cluster);

    helm(&["uninstall", "headroom", "--namespace", "headroom", "--wait"]).unwrap();
    helm(&["uninstall", "headroom-crds", "--namespace", "headroom"]).unwrap();
    cluster.get(&["crd", "serviceobjectives.headroom.dev"]);
    let crds = ["serviceobjectives.headroom.dev", "capacityevents.headroom.dev", "routeobjectives.headroom.dev"];
    cluster.kubectl(&[&["delete", "crd"], &crds[..]].concat());
    cluster.kubectl(&["delete", "namespace", "headroom", "chart-writes"]);
    let after = everything(&cluster);
    let left: Vec<_> = after.difference(&before).collect();
    assert_eq!(left, [""; 0], "left behind");
    measured("chart.left_behind", left.len(), "objects");
}

/// What YAML writes as 1.0 the server answers as 1.
fn with_one_kind_of_number(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(of) => of.iter().map(with_one_kind_of_number).collect(),
        Value::Object(of) => of.iter().map(|(key, value)| (key.clone(), with_one_kind_of_number(value))).collect(),
        other => other.clone(),
    }
}

/// The names of all objects, but Events and Leases, which the control plane itself renews.
fn everything(cluster: &ControlPlane) -> BTreeSet<String> {
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list", "--output", "name"]);
    let listed = |kind: &&str| !["events", "leases", "componentstatuses"].iter().any(|of| kind.starts_with(of));
    let kinds: Vec<&str> = kinds.lines().filter(listed).collect();
    let names = cluster.kubectl(&["get", &kinds.join(","), "--all-namespaces", "--output", "name"]);
    names.lines().map(str::to_owned).collect()
}

fn the_account_changes_nothing_but_what_it_says(cluster: &ControlPlane) {
    cluster.kubectl(&["create", "namespace", "chart-writes"]);
    let apply = ["apply", "--server-side", "--namespace", "chart-writes", "--filename", "-"];
    cluster.try_kubectl(&apply, OBJECTS).unwrap();
    let patch = |kind: &str, patch: &str, subresource: &str| {
        let target = ["patch", kind, "web", "--namespace", "chart-writes", "--dry-run=server", "--type", "merge"];
        let account = ["--as", "system:serviceaccount:headroom:headroom", "--patch", patch];
        let part = ["--subresource", subresource];
        let part = if subresource.is_empty() { &[][..] } else { &part[..] };
        cluster.try_kubectl(&[&target[..], &account, part].concat(), "")
    };
    for kind in ["deployment", "hpa", "scaledobject"] {
        let (_, attempt, part, _) = REFUSED.iter().find(|(of, ..)| *of == kind).unwrap();
        assert!((0..UNTIL_IN_FORCE).any(|_| patch(kind, attempt, part).is_err()), "no policy looks at {kind}");
    }
    let policies = cluster.get(&["validatingadmissionpolicies"]);
    for policy in policies["items"].as_array().unwrap() {
        let name = ["validatingadmissionpolicy", policy["metadata"]["name"].as_str().unwrap()];
        let checked = cluster.wait_until(&name, |policy| policy["status"]["typeChecking"].is_object());
        assert!(checked["status"]["typeChecking"].get("expressionWarnings").is_none(), "{checked:#}");
    }
    for (kind, change, part) in ALLOWED {
        patch(kind, change, part).unwrap_or_else(|said| panic!("{kind} {change} {part}: {said}"));
    }
    for (kind, change, part, words) in REFUSED {
        let said = patch(kind, change, part).expect_err(change);
        assert!(said.contains(words), "{kind} {change} {part}: {said}");
    }

    let selector = ["pods", "--namespace", "chart-writes", "--selector", "app=web"];
    let pods = cluster.get(&selector);
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    // As admin by rights and the account by name: kubectl reads the subresource first, which the account may not.
    let resize = |resources: &str| {
        let patch = format!(r#"{{"spec":{{"containers":[{{"name":"web","resources":{resources}}}]}}}}"#);
        let target =
            ["patch", "pod", pod, "--namespace", "chart-writes", "--dry-run=server", "--subresource", "resize"];
        let account = ["--as", "system:serviceaccount:headroom:headroom", "--as-group", "system:masters"];
        cluster.try_kubectl(&[&target[..], &account, &["--patch", &patch]].concat(), "")
    };
    let memory = r#"{"requests":{"cpu":"200m","memory":"100Mi"}}"#;
    assert!((0..UNTIL_IN_FORCE).any(|_| resize(memory).is_err()), "no policy looks at pods/resize");
    let said = resize(memory).unwrap_err();
    assert!(said.contains("never changes the memory of a pod"), "{said}");
    resize(r#"{"requests":{"cpu":"200m"}}"#).unwrap();
}
