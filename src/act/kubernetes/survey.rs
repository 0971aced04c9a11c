//! What the watches hold, as the engine observes it: one workload for each objective whose service is known. Nothing
//! here talks to the server, so that it is tested as a function.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{Selector, SelectorExt};

use super::lever::{Autoscalers, Lever, Means, paused};
use super::mapping::{self, Seen};
use super::objective::{ObjectiveMode, ServiceObjective};
use crate::model::{self, Hold, ServiceId, Time, Workload};

/// An objective by namespace and name.
pub type Key = (String, String);

/// The objects of one moment.
#[derive(Default)]
pub struct Objects {
    pub objectives: Vec<Arc<ServiceObjective>>,
    pub pods: Vec<Arc<Pod>>,
    pub autoscalers: Autoscalers,
    /// What the objectives name, as far as it exists.
    pub targets: BTreeMap<Key, (ApiResource, Arc<DynamicObject>)>,
}

/// One objective and what became of it.
pub struct Surveyed {
    pub objective: Arc<ServiceObjective>,
    pub found: Result<Found, Missing>,
}

/// Why an objective has no effect yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("there is no {0}")]
    Target(String),
    #[error("{0}")]
    Service(String),
}

#[derive(Clone)]
pub struct Found {
    pub workload: Workload,
    pub lever: Lever,
    /// The workload itself, which Events are about.
    pub resource: ApiResource,
    pub object: Arc<DynamicObject>,
}

/// Every objective, in the order of namespace and name; the first that claims a workload or a service has it.
pub fn survey(objects: &Objects, seen: &Seen) -> Vec<Surveyed> {
    let pods = PodIndex::new(objects);
    let mut objectives = objects.objectives.clone();
    objectives.sort_by_key(|objective| key(objective));
    let (mut targets, mut services) = (BTreeSet::new(), BTreeMap::<ServiceId, String>::new());
    let mut one = |objective: &Arc<ServiceObjective>| {
        let (namespace, name) = key(objective);
        let target = &objective.spec.target;
        let named = format!("{} {namespace}/{}", target.kind, target.name);
        let Some((resource, object)) = objects.targets.get(&(namespace.clone(), name.clone())) else {
            return Err(Missing::Target(named));
        };
        if !targets.insert((namespace.clone(), target.clone())) {
            return Err(Missing::Service(format!("another ServiceObjective has {named} already")));
        }
        let pods = pods.of(&namespace, object);
        let names: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
        let service = mapping::service(objective, object, &names, seen).map_err(Missing::Service)?;
        if let Some(other) = services.insert(service.clone(), named.clone()) {
            services.insert(service.clone(), other.clone());
            return Err(Missing::Service(format!(
                "{other} serves {service} already; name the service in spec.service"
            )));
        }
        let (lever, hold) = lever(objects, &namespace, resource, object);
        let workload = workload(service, objective, object, &lever, hold, &pods);
        Ok(Found { workload, lever, resource: resource.clone(), object: object.clone() })
    };
    objectives.iter().map(|objective| Surveyed { objective: objective.clone(), found: one(objective) }).collect()
}

pub fn key(objective: &ServiceObjective) -> Key {
    (objective.namespace().unwrap_or_default(), objective.name_any())
}

/// The lever of a workload, and what its owner has against moving it.
fn lever(
    objects: &Objects,
    namespace: &str,
    resource: &ApiResource,
    object: &Arc<DynamicObject>,
) -> (Lever, Option<Hold>) {
    let owners = objects.autoscalers.of(namespace, &resource.kind, &object.name_any());
    let Some(&first) = owners.first() else {
        return (Lever { means: Means::Replicas, resource: resource.clone(), object: object.clone() }, None);
    };
    let reason = match owners.get(1) {
        Some(second) => Some(format!("{} and {} both scale it", first.name(), second.name())),
        None => paused(first),
    };
    (first.clone(), reason.map(|reason| Hold::Owner { reason }))
}

fn workload(
    service: ServiceId,
    objective: &ServiceObjective,
    object: &DynamicObject,
    lever: &Lever,
    hold: Option<Hold>,
    pods: &[Arc<Pod>],
) -> Workload {
    let spec = &objective.spec;
    // The API server's default where it is not written.
    let wanted = super::lever::value(Means::Replicas, object).unwrap_or(1);
    let (replicas, min_replicas) = match (lever.means, lever.floor()) {
        (Means::Replicas, _) => (wanted, spec.min_replicas),
        // What is headroom's to give back is its own floor, down to what the owner had. The autoscaler may keep
        // more, for reasons of its own.
        (_, Some(floor)) => (lever.value().unwrap_or(wanted), floor.before.unwrap_or(1)),
        (_, None) => (wanted, wanted),
    };
    let observe =
        || Hold::Owner { reason: format!("its ServiceObjective {} is in mode Observe", objective.name_any()) };
    let mut pods: Vec<model::Pod> = pods.iter().filter_map(|pod| model_pod(pod)).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Workload {
        service,
        replicas,
        min_replicas,
        max_replicas: lever.owner_max().map_or(spec.max_replicas, |max| max.min(spec.max_replicas)),
        resource_version: lever.resource_version(),
        pods,
        intervention: lever.intervention(),
        held: hold.or_else(|| (spec.mode == ObjectiveMode::Observe).then(observe)),
    }
}

/// None for a pod that has ended or is going.
fn model_pod(pod: &Pod) -> Option<model::Pod> {
    let status = pod.status.as_ref();
    let ended = status.and_then(|status| status.phase.as_deref()).is_some_and(|p| p == "Succeeded" || p == "Failed");
    if ended || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let time = |at: k8s_openapi::jiff::Timestamp| Time(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX));
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let ready = conditions.into_iter().find(|c| c.type_ == "Ready" && c.status == "True");
    let created_at = pod.metadata.creation_timestamp.as_ref().map(|at| time(at.0)).unwrap_or_default();
    Some(model::Pod {
        name: pod.name_any(),
        created_at,
        ready_at: ready.map(|c| c.last_transition_time.as_ref().map_or(created_at, |at| time(at.0))),
    })
}

/// The pods by namespace and one label, so that a workload's are found without looking at all of them.
struct PodIndex {
    by_label: HashMap<(String, String, String), Vec<Arc<Pod>>>,
    by_namespace: HashMap<String, Vec<Arc<Pod>>>,
}

impl PodIndex {
    /// Indexed by the labels that selectors begin with, and no others.
    fn new(objects: &Objects) -> PodIndex {
        let keys: BTreeSet<String> =
            objects.targets.values().filter_map(|(_, object)| first_label(object)).map(|(key, _)| key).collect();
        let mut index = PodIndex { by_label: HashMap::new(), by_namespace: HashMap::new() };
        for pod in &objects.pods {
            let namespace = pod.namespace().unwrap_or_default();
            for key in &keys {
                if let Some(value) = pod.labels().get(key) {
                    let place = (namespace.clone(), key.clone(), value.clone());
                    index.by_label.entry(place).or_default().push(pod.clone());
                }
            }
            index.by_namespace.entry(namespace).or_default().push(pod.clone());
        }
        index
    }

    /// The pods that the selector of a workload selects; none where it has no selector that can be read.
    fn of(&self, namespace: &str, object: &DynamicObject) -> Vec<Arc<Pod>> {
        let Some(selector) = selector(object) else { return Vec::new() };
        let candidates = match first_label(object) {
            Some((key, value)) => self.by_label.get(&(namespace.to_owned(), key, value)),
            None => self.by_namespace.get(namespace),
        };
        candidates.into_iter().flatten().filter(|pod| selector.matches(pod.labels())).cloned().collect()
    }
}

fn first_label(object: &DynamicObject) -> Option<(String, String)> {
    let (key, value) = object.data["spec"]["selector"]["matchLabels"].as_object()?.iter().next()?;
    Some((key.clone(), value.as_str()?.to_owned()))
}

fn selector(object: &DynamicObject) -> Option<Selector> {
    let selector: LabelSelector = serde_json::from_value(object.data["spec"]["selector"].clone()).ok()?;
    // An empty selector selects everything, which nobody means.
    let empty = selector.match_labels.is_none() && selector.match_expressions.is_none();
    if empty { None } else { selector.try_into().ok() }
}
