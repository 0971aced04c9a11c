//! `ServiceObjective`, the custom resource by which a team opts a workload in and bounds what headroom may do to it.
//! `headroom crd` prints its definition, made from these types.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Opts one workload of its own namespace in. A workload that no ServiceObjective names is never written.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "headroom.dev",
    version = "v1alpha1",
    kind = "ServiceObjective",
    namespaced,
    shortname = "svo",
    status = "ServiceObjectiveStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Service", "type": "string", "jsonPath": ".status.service"}"#,
    printcolumn = r#"{"name": "Verdict", "type": "string", "jsonPath": ".status.verdict"}"#,
    printcolumn = r#"{"name": "P99", "type": "string", "jsonPath": ".status.p99"}"#,
    printcolumn = r#"{"name": "Replicas", "type": "string", "jsonPath": ".status.replicas"}"#,
    printcolumn = r#"{"name": "Last decision", "type": "string", "jsonPath": ".status.lastDecision"}"#,
    printcolumn = r#"{"name": "Mode", "type": "string", "jsonPath": ".status.mode"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas is above maxReplicas")
)]
pub struct ServiceObjectiveSpec {
    /// The workload, in the namespace of this object.
    pub target: Target,
    /// The service that the workload serves, as its spans name it: `name`, `namespace/name` or
    /// `cluster/namespace/name`. Left out, it is found by the pods that spans come from, then by the workload's
    /// label `app.kubernetes.io/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service: Option<String>,
    /// Replicas that headroom never goes below.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000), extend("format" = "int32"))]
    pub min_replicas: u32,
    /// Replicas that headroom never goes above, nor above what the workload's autoscaler allows.
    #[schemars(range(min = 1, max = 100_000), extend("format" = "int32"))]
    pub max_replicas: u32,
    /// The most replicas that one step adds. Left out, the configuration's bounds hold alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), extend("format" = "int32"))]
    pub step: Option<u32>,
    /// Of workloads that together want more than the budget has, the higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = -1000, max = 1000), extend("format" = "int32"))]
    pub priority: i32,
    /// What users are promised: these go before the objectives of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub objectives: Vec<LatencyObjective>,
    /// What each replica takes of a database, a broker, a third party that bears only so many connections. The sum over
    /// all ServiceObjectives that name the same one never exceeds what it bears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub connections: Vec<ConnectionBound>,
    /// Lets rules lend CPU to the pods in place for a time (`pods/resize`). No shipped rule does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resize_pods: bool,
    /// Lets rules turn requests away at the gateways that ask headroom, the lowest priority first, while the workload cannot
    /// serve all that cross it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shape_traffic: bool,
    /// `Observe` says what would be done. `Enforce` does it, where the configuration enforces too.
    #[serde(default)]
    pub mode: ObjectiveMode,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}

fn one() -> u32 {
    1
}

/// Anything with a scale subresource and `spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    #[serde(default = "apps_v1")]
    #[schemars(length(min = 2, max = 253))]
    pub api_version: String,
    #[serde(default = "deployment")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn apps_v1() -> String {
    "apps/v1".into()
}

fn deployment() -> String {
    "Deployment".into()
}

/// An objective of one entry operation, or of every one that begins at the service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.latency) > duration('0s')").message("latency must be above 0s"))]
pub struct LatencyObjective {
    /// `service operation` of the root span; `*` stands for any text. Left out: all entry operations of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub entry: Option<String>,
    /// That the quantile of the requests stays under, for example `300ms` or `1.5s`.
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^[0-9]+(\.[0-9]+)?(ms|s|m)$"))]
    pub latency: String,
    /// The share of requests that stays under it.
    #[serde(default = "p99")]
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub quantile: f64,
    /// The share of requests that may fail.
    #[serde(default = "one_percent")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub errors: f64,
}

fn p99() -> f64 {
    0.99
}

fn one_percent() -> f64 {
    0.01
}

impl LatencyObjective {
    /// In nanoseconds; None for a text that the schema would have refused.
    pub fn latency_ns(&self) -> Option<i64> {
        // `ms` ends with an s as well.
        let (number, unit_ns) = [("ms", 1e6), ("s", 1e9), ("m", 60e9)]
            .into_iter()
            .find_map(|(unit, ns)| Some((self.latency.strip_suffix(unit)?, ns)))?;
        let nanos = number.parse::<f64>().ok()? * unit_ns;
        (nanos >= 1.0 && nanos < i64::MAX as f64).then_some(nanos as i64)
    }
}

/// How much of something that bears only so much each replica takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionBound {
    /// What is connected to; the same name in several ServiceObjectives is the same thing.
    #[schemars(length(min = 1, max = 253))]
    pub to: String,
    /// Connections of one replica: the size of its pool.
    #[schemars(range(min = 1, max = 100_000), extend("format" = "int32"))]
    pub per_replica: u32,
    /// Connections that it bears in all. Of different numbers the least holds.
    #[schemars(range(min = 1, max = 1_000_000), extend("format" = "int32"))]
    pub max: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ObjectiveMode {
    #[default]
    Observe,
    Enforce,
}

/// What headroom last saw and did: the operator's glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceObjectiveStatus {
    /// The service that the workload was found to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// 99th percentile of the service's own spans over the last seconds, for example `230ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<String>,
    /// `ready/wanted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<String>,
    /// The last decision about the service and its outcome; `headroom explain` takes the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<String>,
    /// `Enforce` only where both this object and the configuration say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Set while headroom leaves the workload alone because somebody undid its change. Whoever leads next reads it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// `TargetFound`, `ServiceMapped` and `Actionable`, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A change that was undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Breaker {
    /// Who undid it, as `metadata.managedFields` names it.
    pub manager: String,
    /// Until then nothing is changed.
    pub until: Time,
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;

    #[test]
    fn what_is_left_out_is_a_deployment_that_is_only_observed() {
        let written = serde_json::json!({"target": {"name": "auth"}, "maxReplicas": 9});
        let spec: ServiceObjectiveSpec = serde_json::from_value(written).unwrap();
        let target = Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "auth".into() };
        assert_eq!((spec.target, spec.min_replicas, spec.mode), (target, 1, ObjectiveMode::Observe));
    }

    #[test]
    fn the_definition_is_served_and_has_a_status() {
        let crd = ServiceObjective::crd();
        assert_eq!(crd.metadata.name.as_deref(), Some("serviceobjectives.headroom.dev"));
        let version = &crd.spec.versions[0];
        assert!(version.subresources.as_ref().unwrap().status.is_some());
        let columns: Vec<&str> =
            version.additional_printer_columns.iter().flatten().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, ["Service", "Verdict", "P99", "Replicas", "Last decision", "Mode"]);
        let schema = serde_json::to_string(version).unwrap();
        assert!(schema.contains("self.minReplicas <= self.maxReplicas"), "{schema}");
    }
}
