//! What is moved so that a workload grows: an autoscaler's floor where one owns it, else its replicas. An owner is
//! never fought: what it would undo is not written.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};

use super::record::{self, Floor};
use crate::action::Slot;
use crate::model::InterventionRecord;

/// In the metadata of an external trigger: that it asks headroom, and about which ServiceObjective of its namespace.
pub const SCALER_KEY: &str = "headroomObjective";

/// The kind of a lever, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A KEDA ScaledObject has a trigger that asks headroom: it is told the wanted replicas, and nothing drifts.
    ExternalScaler,
    /// A KEDA ScaledObject without one: its minimum is raised. The autoscaler it generates is never touched.
    KedaMinimum,
    /// A plain HorizontalPodAutoscaler: its minimum is raised for a time, which its behaviour limits do not slow.
    HpaMinimum,
    /// Nothing owns the replicas.
    Replicas,
}

impl Means {
    /// The field that is written, as a JSON Pointer; None where an annotation alone is.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Means::ExternalScaler => None,
            Means::KedaMinimum => Some("/spec/minReplicaCount"),
            Means::HpaMinimum => Some("/spec/minReplicas"),
            Means::Replicas => Some("/spec/replicas"),
        }
    }

    /// A floor is given back to its owner; replicas stay where they were put.
    pub const fn is_floor(self) -> bool {
        !matches!(self, Means::Replicas)
    }
}

/// The lever of one workload, and the object it is on.
#[derive(Clone, Debug)]
pub struct Lever {
    pub means: Means,
    pub resource: ApiResource,
    pub object: Arc<DynamicObject>,
}

impl Lever {
    /// What stands in the field now; None where it is not set.
    pub fn value(&self) -> Option<u32> {
        value(self.means, &self.object)
    }

    pub fn floor(&self) -> Option<Floor> {
        record::floor(self.object.metadata.annotations.as_ref()).filter(|_| self.means.is_floor())
    }

    /// The open interventions, one of each place.
    pub fn interventions(&self) -> Vec<InterventionRecord> {
        record::interventions(self.object.metadata.annotations.as_ref())
    }

    pub fn intervention(&self, slot: Slot) -> Option<InterventionRecord> {
        record::intervention(self.object.metadata.annotations.as_ref(), slot)
    }

    /// As one number, to compare states by. Kubernetes promises that resource versions are such since 1.35; of one
    /// that is not, no change is told from the next and a permit runs out instead.
    pub fn resource_version(&self) -> u64 {
        self.object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
    }

    /// `Deployment shop/auth`, for people.
    pub fn name(&self) -> String {
        let namespace = self.object.namespace().unwrap_or_default();
        format!("{} {namespace}/{}", self.resource.kind, self.object.name_any())
    }

    /// The most that the owner allows; None where it states nothing.
    pub fn owner_max(&self) -> Option<u32> {
        let count = |key| number(&self.object, key);
        match self.means {
            Means::Replicas => None,
            Means::HpaMinimum => count("maxReplicas"),
            // What KEDA takes where it is not written.
            Means::KedaMinimum | Means::ExternalScaler => Some(count("maxReplicaCount").unwrap_or(100)),
        }
    }

    /// Who last wrote the field, from `metadata.managedFields`, and whether that was a part of headroom.
    pub fn manager(&self) -> Option<String> {
        let field = self.means.field()?.trim_start_matches("/spec/");
        let owners = self.object.managed_fields().iter().filter(|entry| {
            let spec = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
            spec.is_some_and(|spec| spec.get(format!("f:{field}")).is_some())
        });
        owners.max_by_key(|entry| entry.time.as_ref().map(|time| time.0)).and_then(|entry| entry.manager.clone())
    }
}

pub fn value(means: Means, object: &DynamicObject) -> Option<u32> {
    match means {
        Means::ExternalScaler => record::floor(object.metadata.annotations.as_ref()).map(|floor| floor.wanted),
        Means::KedaMinimum => number(object, "minReplicaCount"),
        Means::HpaMinimum => number(object, "minReplicas"),
        Means::Replicas => number(object, "replicas"),
    }
}

/// An autoscaler of the cluster, by what it scales: an index over all of them, built once a survey.
#[derive(Default)]
pub struct Autoscalers {
    by_target: BTreeMap<(String, String, String), Vec<Lever>>,
}

impl Autoscalers {
    /// Adds HorizontalPodAutoscalers; those that KEDA generates belong to their ScaledObject and are left out.
    pub fn add_hpas(&mut self, resource: &ApiResource, objects: Vec<Arc<DynamicObject>>) {
        for object in objects {
            let generated = object.owner_references().iter().any(|owner| owner.kind == "ScaledObject");
            if !generated {
                self.add(Means::HpaMinimum, "Deployment", resource, object);
            }
        }
    }

    /// Adds ScaledObjects.
    pub fn add_scaled_objects(&mut self, resource: &ApiResource, objects: Vec<Arc<DynamicObject>>) {
        for object in objects {
            self.add(means(Means::KedaMinimum, &object), "Deployment", resource, object);
        }
    }

    fn add(&mut self, means: Means, default_kind: &str, resource: &ApiResource, object: Arc<DynamicObject>) {
        let target = &object.data["spec"]["scaleTargetRef"];
        let kind = target["kind"].as_str().unwrap_or(default_kind).to_owned();
        let name = target["name"].as_str().unwrap_or_default().to_owned();
        let key = (object.namespace().unwrap_or_default(), kind, name);
        self.by_target.entry(key).or_default().push(Lever { means, resource: resource.clone(), object });
    }

    /// Those that scale this workload: KEDA's before others, then by name.
    pub fn of(&self, namespace: &str, kind: &str, name: &str) -> Vec<&Lever> {
        let key = (namespace.to_owned(), kind.to_owned(), name.to_owned());
        let mut levers: Vec<&Lever> = self.by_target.get(&key).into_iter().flatten().collect();
        levers.sort_by_key(|lever| (lever.means == Means::HpaMinimum, lever.object.name_any()));
        levers
    }
}

/// How an object of this kind is moved: a ScaledObject that asks headroom is told, any other has its minimum raised.
pub fn means(of_kind: Means, object: &DynamicObject) -> Means {
    if of_kind == Means::KedaMinimum && asks(object) { Means::ExternalScaler } else { of_kind }
}

/// Whether a trigger of the ScaledObject asks headroom: its metadata says which service it stands for, under a key
/// that is headroom's own, as an address alone would not tell.
fn asks(object: &DynamicObject) -> bool {
    let triggers = object.data["spec"]["triggers"].as_array();
    triggers.into_iter().flatten().any(|trigger| {
        let external = matches!(trigger["type"].as_str(), Some("external" | "external-push"));
        external && trigger["metadata"][SCALER_KEY].is_string()
    })
}

/// Why its owner wants it left alone; KEDA deletes or freezes its autoscaler where it is paused.
pub fn paused(lever: &Lever) -> Option<String> {
    let annotations = lever.object.annotations();
    let set = |key: &str| annotations.get(key).is_some_and(|value| value != "false");
    let paused = set("autoscaling.keda.sh/paused") || set("autoscaling.keda.sh/paused-replicas");
    paused.then(|| format!("{} is paused by its owner", lever.name()))
}

fn number(object: &DynamicObject, key: &str) -> Option<u32> {
    object.data["spec"][key].as_u64().and_then(|value| u32::try_from(value).ok())
}
