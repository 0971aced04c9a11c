//! `CapacityEvent`, the custom resource by which people plan capacity by hand, or keep what a calendar means in Git.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Instant;
use kube::api::DynamicObject;
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::survey::Surveyed;
use crate::model::{ServiceId, Time};

/// Something that will load services at a known time. Their capacity is raised a start-up time before, and given back after.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "headroom.dev",
    version = "v1alpha1",
    kind = "CapacityEvent",
    namespaced,
    shortname = "cev",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Title", "type": "string", "jsonPath": ".spec.title"}"#,
    printcolumn = r#"{"name": "Starts", "type": "string", "jsonPath": ".spec.starts"}"#,
    printcolumn = r#"{"name": "Ends", "type": "string", "jsonPath": ".spec.ends"}"#,
    printcolumn = r#"{"name": "Participants", "type": "integer", "jsonPath": ".spec.participants"}"#,
    printcolumn = r#"{"name": "Cancelled", "type": "boolean", "jsonPath": ".spec.cancelled"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.starts < self.ends").message("it ends before it begins"))]
pub struct CapacityEventSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    pub starts: Instant,
    pub ends: Instant,
    /// A kind of `schedule.kinds` of headroom's configuration: what each participant loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000), extend("format" = "int32"))]
    pub participants: Option<u32>,
    /// Replicas of services that a ServiceObjective of the same namespace opts in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub floors: Vec<FloorAsked>,
    /// It does not take place: its capacity is given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
}

/// No fewer replicas of a service than this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FloorAsked {
    /// As its spans name it: `name`, `namespace/name` or `cluster/namespace/name`.
    #[schemars(length(min = 1, max = 253))]
    pub service: String,
    #[schemars(range(min = 1, max = 100_000), extend("format" = "int32"))]
    pub replicas: u32,
}

/// One that stands in the cluster, for whoever plans.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// `namespace/name`
    pub name: String,
    pub uid: String,
    pub generation: i64,
    pub title: String,
    pub kind: Option<String>,
    pub starts: Time,
    pub ends: Time,
    pub participants: Option<u32>,
    pub cancelled: bool,
    pub floors: BTreeMap<String, u32>,
    /// What of it is not followed, and why.
    pub problems: Vec<String>,
}

/// What stands, with the services that its namespace may speak for.
pub fn list(events: &[Arc<DynamicObject>], surveyed: &[Surveyed]) -> Vec<Listed> {
    let owned = |namespace: &str| -> Vec<&ServiceId> {
        let of = surveyed.iter().filter(|one| one.objective.namespace().as_deref() == Some(namespace));
        of.filter_map(|one| one.found.as_ref().ok()).map(|found| &found.workload.service).collect()
    };
    let mut listed: Vec<Listed> = events
        .iter()
        .filter_map(|event| {
            // The API server has held it against the schema; one of a later version says more than is understood here.
            let event: CapacityEvent = (**event).clone().try_parse().ok()?;
            let (name, namespace) = (event.name_any(), event.namespace().unwrap_or_default());
            let (spec, own) = (&event.spec, owned(&namespace));
            let mut one = Listed {
                title: spec.title.clone().unwrap_or_else(|| name.clone()),
                uid: event.uid().unwrap_or_else(|| format!("{namespace}/{name}")),
                name: format!("{namespace}/{name}"),
                generation: event.metadata.generation.unwrap_or(0),
                kind: spec.kind.clone(),
                starts: time(&spec.starts)?,
                ends: time(&spec.ends)?,
                participants: spec.participants,
                cancelled: spec.cancelled,
                floors: BTreeMap::new(),
                problems: Vec::new(),
            };
            for FloorAsked { service, replicas } in &spec.floors {
                let known = own.iter().find(|id| id.as_str() == service || id.name() == service);
                match known {
                    Some(id) => _ = one.floors.insert(id.to_string(), *replicas),
                    None => one.problems.push(format!(
                        "no ServiceObjective of namespace {namespace} opts {service} in, so it is not raised; add one there"
                    )),
                }
            }
            Some(one)
        })
        .collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    listed
}

/// None beyond what nanoseconds can say.
fn time(instant: &Instant) -> Option<Time> {
    i64::try_from(instant.0.as_nanosecond()).ok().map(Time)
}
