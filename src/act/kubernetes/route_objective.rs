//! `RouteObjective`, the custom resource by which the owner of a route lets headroom move its weights, and within which bounds.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objective::ObjectiveMode;

/// Lets the weights of one route of its own namespace be moved, away from a version that is slow. A route that no
/// RouteObjective names is never written.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "headroom.dev",
    version = "v1alpha1",
    kind = "RouteObjective",
    namespaced,
    shortname = "rto",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Kind", "type": "string", "jsonPath": ".spec.target.kind"}"#,
    printcolumn = r#"{"name": "Route", "type": "string", "jsonPath": ".spec.target.name"}"#,
    printcolumn = r#"{"name": "Service", "type": "string", "jsonPath": ".spec.service"}"#,
    printcolumn = r#"{"name": "Mode", "type": "string", "jsonPath": ".spec.mode"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.leastShare * double(size(self.backends)) <= 1.0")
        .message("leastShare of every backend is more than all requests"),
    validation = Rule::new("self.backends.all(b, self.backends.exists_one(other, other.name == b.name))")
        .message("a backend is named twice"),
    validation = Rule::new(
        "self.target.apiVersion.startsWith(self.target.kind == 'VirtualService' ? 'networking.istio.io/' : \
         'gateway.networking.k8s.io/')"
    )
    .message("a VirtualService has apiVersion networking.istio.io/v1, other routes have gateway.networking.k8s.io/v1")
)]
pub struct RouteObjectiveSpec {
    /// The route, in the namespace of this object.
    pub target: RouteTarget,
    /// The service that its backends serve, as their spans name it; a ServiceObjective of the same namespace opts it in.
    #[schemars(length(min = 1, max = 253))]
    pub service: String,
    /// What the route splits requests among.
    #[schemars(length(min = 2, max = 16))]
    pub backends: Vec<VersionedBackend>,
    /// The share of requests that each of them keeps at least, 0 to 0.5.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.5))]
    pub least_share: f64,
    /// The share of requests that one step moves at most.
    #[serde(default = "a_quarter")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub step: f64,
    /// `Observe` says what would be done. `Enforce` does it, where the ServiceObjective and the configuration enforce too.
    #[serde(default)]
    pub mode: ObjectiveMode,
}

fn a_quarter() -> f64 {
    0.25
}

/// An HTTPRoute, a GRPCRoute or a VirtualService.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTarget {
    /// `networking.istio.io/v1` of a VirtualService.
    #[serde(default = "gateway_v1")]
    #[schemars(length(min = 2, max = 253))]
    pub api_version: String,
    #[serde(default)]
    pub kind: RouteKind,
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn gateway_v1() -> String {
    "gateway.networking.k8s.io/v1".into()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RouteKind {
    #[default]
    HTTPRoute,
    GRPCRoute,
    VirtualService,
}

impl RouteKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            RouteKind::HTTPRoute => "HTTPRoute",
            RouteKind::GRPCRoute => "GRPCRoute",
            RouteKind::VirtualService => "VirtualService",
        }
    }
}

/// A backend of the route, and which version answers there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionedBackend {
    /// The Service, as the route names it; of a VirtualService its host, or `host/subset`.
    #[schemars(length(min = 1, max = 317))]
    pub name: String,
    /// `service.version` of the spans of its pods.
    #[schemars(length(min = 1, max = 128))]
    pub version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_an_http_route_that_is_only_observed() {
        let written = serde_json::json!({
            "target": {"name": "content"}, "service": "content",
            "backends": [{"name": "content-v1", "version": "v1"}, {"name": "content-v2", "version": "v2"}],
        });
        let spec: RouteObjectiveSpec = serde_json::from_value(written).unwrap();
        assert_eq!(
            (spec.target.kind, spec.target.api_version.as_str()),
            (RouteKind::HTTPRoute, "gateway.networking.k8s.io/v1")
        );
        assert_eq!((spec.least_share, spec.step, spec.mode), (0.0, 0.25, ObjectiveMode::Observe));
    }
}
