//! What the watches hold, as the engine observes it: one workload for each objective whose service is known. Nothing
//! here talks to the server, so that it is tested as a function.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{Selector, SelectorExt};

use super::lever::{Autoscalers, Lever, Means, paused};
use super::mapping::{self, Seen};
use super::objective::{ObjectiveMode, ServiceObjective, ServiceObjectiveSpec};
use super::routes::{self, FoundRoute, Named};
use super::scheduling_capacity::{self, Demand, Nodes};
use crate::model::{self, Autoscaler, Connections, Hold, InterventionId, Promise, ServiceId, Terms, Time, Workload};

/// An objective by namespace and name.
pub type Key = (String, String);

/// The objects of one moment.
#[derive(Default)]
pub struct Objects {
    pub objectives: Vec<Arc<ServiceObjective>>,
    pub pods: Vec<Arc<Pod>>,
    pub quotas: Vec<Arc<ResourceQuota>>,
    pub budgets: Vec<Arc<PodDisruptionBudget>>,
    /// None of them where their room bounds nothing.
    pub nodes: Vec<Arc<Node>>,
    pub autoscalers: Autoscalers,
    /// What RouteObjectives name, and who else may move its weights.
    pub routes: Vec<Named>,
    pub rollouts: Option<Vec<Arc<DynamicObject>>>,
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
    /// Those that are there to stay.
    pub pods: Vec<Arc<Pod>>,
    /// Those that exist of the routes to it.
    pub routes: Vec<FoundRoute>,
}

impl Found {
    /// The object that carries the record of an intervention: a route, or what the lever is on.
    pub fn lever_of(&self, intervention: InterventionId) -> Lever {
        let carries = |found: &&FoundRoute| found.interventions().iter().any(|record| record.id == intervention);
        match self.routes.iter().find(carries) {
            Some(FoundRoute { resource, object, .. }) => {
                Lever { means: self.lever.means, resource: resource.clone(), object: object.clone() }
            }
            None => self.lever.clone(),
        }
    }

    /// Takes up the routes to its service that RouteObjectives of its namespace name.
    fn take_routes(&mut self, namespace: &str, objects: &Objects) {
        let service = &self.workload.service;
        let is_of = |named: &&Named| {
            let spec = &named.objective.spec;
            named.objective.namespace().as_deref() == Some(namespace)
                && (spec.service == service.as_str() || spec.service == service.name())
        };
        let rollouts = objects.rollouts.as_deref();
        let all: Vec<_> = objects.routes.iter().filter(is_of).map(|named| routes::found(named, rollouts)).collect();
        for (route, found) in all {
            self.workload.routes.push(route);
            if let Some(found) = found {
                self.workload.interventions.extend(found.interventions());
                self.routes.push(found);
            }
        }
    }
}

/// Every objective, in the order of namespace and name; the first that claims a workload or a service has it.
pub fn survey(objects: &Objects, seen: &Seen) -> Vec<Surveyed> {
    let pods = PodIndex::new(objects);
    let nodes = Nodes::new(&objects.nodes, &objects.pods);
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
        let pods: Vec<Arc<Pod>> = pods.into_iter().filter(|pod| !is_leaving(pod)).collect();
        let mut workload = workload(service, objective, object, &lever, hold, &pods);
        workload.terms = Terms {
            ceilings: scheduling_capacity::ceilings(
                &Demand::of(object),
                &pods,
                &namespace,
                &objects.quotas,
                nodes.as_ref(),
            ),
            eviction_blocked_by: scheduling_capacity::eviction_blocked_by(&pods, &namespace, &objects.budgets),
            ..terms(&objective.spec)
        };
        let (resource, object) = (resource.clone(), object.clone());
        let mut found = Found { workload, lever, resource, object, pods, routes: Vec::new() };
        found.take_routes(&namespace, objects);
        Ok(found)
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
    // What is headroom's to give back is its own floor, down to what the owner had. The autoscaler may keep more, for
    // reasons of its own.
    let (replicas, kept) = match lever.floor() {
        Some(floor) => (lever.value().unwrap_or(wanted), floor.before.unwrap_or(1)),
        None => (wanted, wanted),
    };
    let autoscaler = || Autoscaler { name: lever.name(), min_replicas: kept, max_replicas: lever.owner_max() };
    let observe =
        || Hold::Owner { reason: format!("its ServiceObjective {} is in mode Observe", objective.name_any()) };
    let mut pods: Vec<model::Pod> = pods.iter().map(|pod| model_pod(pod)).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Workload {
        service,
        replicas,
        min_replicas: spec.min_replicas,
        max_replicas: spec.max_replicas,
        autoscaler: lever.means.is_floor().then(autoscaler),
        resource_version: lever.resource_version(),
        pods,
        interventions: lever.interventions(),
        held: hold.or_else(|| (spec.mode == ObjectiveMode::Observe).then(observe)),
        terms: Terms::default(),
        routes: Vec::new(),
    }
}

/// What the owner states beside the bounds.
fn terms(spec: &ServiceObjectiveSpec) -> Terms {
    let promise = |of: &super::objective::LatencyObjective| {
        let (entry, quantile, errors) = (of.entry.clone(), of.quantile, of.errors);
        of.latency_ns().map(|latency_ns| Promise { entry, latency_ns, quantile, errors })
    };
    let connections = |of: &super::objective::ConnectionBound| Connections {
        to: of.to.clone(),
        per_replica: of.per_replica,
        max: of.max,
    };
    Terms {
        step_max: spec.step,
        priority: spec.priority,
        objectives: spec.objectives.iter().filter_map(promise).collect(),
        connections: spec.connections.iter().map(connections).collect(),
        resizable: spec.resize_pods,
        shapeable: spec.shape_traffic,
        ..Terms::default()
    }
}

/// It has ended, or is going.
fn is_leaving(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed")) || pod.metadata.deletion_timestamp.is_some()
}

fn model_pod(pod: &Pod) -> model::Pod {
    let status = pod.status.as_ref();
    let time = |at: k8s_openapi::jiff::Timestamp| Time(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX));
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let ready = conditions.into_iter().find(|c| c.type_ == "Ready" && c.status == "True");
    let created_at = pod.metadata.creation_timestamp.as_ref().map(|at| time(at.0)).unwrap_or_default();
    model::Pod {
        name: pod.name_any(),
        created_at,
        ready_at: ready.map(|c| c.last_transition_time.as_ref().map_or(created_at, |at| time(at.0))),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::act::kubernetes::record;

    fn object<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn resource(kind: &str) -> ApiResource {
        ApiResource {
            group: "apps".into(),
            version: "v1".into(),
            api_version: "apps/v1".into(),
            kind: kind.into(),
            plural: format!("{}s", kind.to_lowercase()),
        }
    }

    /// `auth` with two replicas, of which one is ready, one comes and a third is going.
    fn shop(mode: &str) -> Objects {
        let objective = json!({
            "apiVersion": "headroom.dev/v1alpha1", "kind": "ServiceObjective",
            "metadata": {"name": "auth", "namespace": "shop"},
            "spec": {"target": {"name": "auth"}, "service": "auth", "minReplicas": 2, "maxReplicas": 12, "mode": mode},
        });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "auth", "namespace": "shop", "resourceVersion": "41"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "auth"}}},
        });
        let pod = |name: &str, app: &str, ready: &str, going: Option<&str>| {
            object(json!({
                "metadata": {
                    "name": name, "namespace": "shop", "labels": {"app": app},
                    "creationTimestamp": "1970-01-01T00:00:10Z", "deletionTimestamp": going,
                },
                "status": {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:12Z"}],
                },
            }))
        };
        Objects {
            objectives: vec![object(objective)],
            pods: vec![
                pod("auth-1", "auth", "True", None),
                pod("auth-2", "auth", "False", None),
                pod("auth-3", "auth", "True", Some("1970-01-01T00:00:20Z")),
                pod("web-1", "web", "True", None),
            ],
            autoscalers: Autoscalers::default(),
            quotas: Vec::new(),
            budgets: Vec::new(),
            nodes: Vec::new(),
            routes: Vec::new(),
            rollouts: Some(Vec::new()),
            targets: [(("shop".into(), "auth".into()), (resource("Deployment"), object(deployment)))].into(),
        }
    }

    fn autoscaler(spec: Value, annotations: Value) -> Arc<DynamicObject> {
        object(json!({
            "metadata": {"name": "auth", "namespace": "shop", "resourceVersion": "52", "annotations": annotations},
            "spec": spec,
        }))
    }

    fn only(objects: &Objects) -> Found {
        let mut all = survey(objects, &Seen::default());
        assert_eq!(all.len(), 1);
        all.remove(0).found.unwrap()
    }

    #[test]
    fn a_workload_is_what_its_objective_says_with_the_pods_that_are_there_to_stay() {
        let found = only(&shop("Enforce"));
        let second = Time::from_secs;
        let workload = Workload {
            service: "auth".into(),
            replicas: 2,
            min_replicas: 2,
            max_replicas: 12,
            autoscaler: None,
            resource_version: 41,
            pods: vec![
                model::Pod { name: "auth-1".into(), created_at: second(10), ready_at: Some(second(12)) },
                model::Pod { name: "auth-2".into(), created_at: second(10), ready_at: None },
            ],
            interventions: vec![],
            held: None,
            terms: Default::default(),
            routes: vec![],
        };
        assert_eq!((found.workload, found.lever.means), (workload, Means::Replicas));
    }

    #[test]
    fn observing_is_a_hold() {
        let reason = "its ServiceObjective auth is in mode Observe".into();
        assert_eq!(only(&shop("Observe")).workload.held, Some(Hold::Owner { reason }));
    }

    #[test]
    fn under_an_autoscaler_nothing_is_given_back_but_a_floor_of_our_own() {
        let target = json!({"kind": "Deployment", "name": "auth"});
        let mut objects = shop("Enforce");
        let spec = json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 8});
        objects.autoscalers.add_hpas(&resource("HorizontalPodAutoscaler"), vec![autoscaler(spec, json!({}))]);
        let found = only(&objects);
        let kept = |of: &Workload| {
            let Autoscaler { name, min_replicas, max_replicas } = of.autoscaler.clone().unwrap();
            (of.replicas, name, min_replicas, max_replicas, of.resource_version)
        };
        let name = || "HorizontalPodAutoscaler shop/auth".to_owned();
        assert_eq!((found.lever.means, kept(&found.workload)), (Means::HpaMinimum, (2, name(), 2, Some(8), 52)));
        assert_eq!((found.workload.min_replicas, found.workload.max_replicas), (2, 12), "the objective's");

        let mut objects = shop("Enforce");
        let spec = json!({"scaleTargetRef": target, "minReplicas": 6, "maxReplicas": 8});
        let floor = json!({record::FLOOR: r#"{"before":1,"wanted":6}"#});
        objects.autoscalers.add_hpas(&resource("HorizontalPodAutoscaler"), vec![autoscaler(spec, floor)]);
        assert_eq!(kept(&only(&objects).workload), (6, name(), 1, Some(8), 52));
    }

    #[test]
    fn a_scaled_object_goes_before_an_autoscaler_and_a_paused_one_is_left_alone() {
        let trigger =
            json!({"type": "external-push", "metadata": {"scalerAddress": "x:8081", "headroomObjective": "auth"}});
        let scaled = |triggers: Value, annotations: Value| {
            let mut objects = shop("Enforce");
            let spec = json!({"scaleTargetRef": {"name": "auth"}, "triggers": triggers, "maxReplicaCount": 5});
            objects.autoscalers.add_scaled_objects(&resource("ScaledObject"), vec![autoscaler(spec, annotations)]);
            only(&objects)
        };
        assert_eq!(scaled(json!([trigger]), json!({})).lever.means, Means::ExternalScaler);
        let minimum = scaled(json!([{"type": "cpu"}]), json!({}));
        let max_replicas = minimum.workload.autoscaler.and_then(|of| of.max_replicas);
        assert_eq!((minimum.lever.means, max_replicas), (Means::KedaMinimum, Some(5)));
        let paused = scaled(json!([]), json!({"autoscaling.keda.sh/paused": "true"}));
        let reason = "ScaledObject shop/auth is paused by its owner".into();
        assert_eq!(paused.workload.held, Some(Hold::Owner { reason }));
    }

    #[test]
    fn what_is_not_there_or_claimed_twice_is_said() {
        let mut objects = shop("Enforce");
        let mut other = ServiceObjective::clone(&objects.objectives[0]);
        other.metadata.name = Some("other".into());
        let target = objects.targets[&("shop".into(), "auth".into())].clone();
        objects.targets.insert(("shop".into(), "other".into()), target);
        objects.objectives.push(Arc::new(other));
        let said = |all: Vec<Surveyed>| all.into_iter().filter_map(|one| one.found.err()).collect::<Vec<_>>();
        let twice = Missing::Service("another ServiceObjective has Deployment shop/auth already".into());
        assert_eq!(said(survey(&objects, &Seen::default())), [twice]);
        objects.targets.clear();
        assert_eq!(said(survey(&objects, &Seen::default()))[0], Missing::Target("Deployment shop/auth".into()));
    }
}
