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
    /// `Observe` says what would be done. `Enforce` does it, where the configuration enforces too.
    #[serde(default)]
    pub mode: ObjectiveMode,
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
