//! What is watched, and kept up to date in memory: the objectives, the pods, the autoscalers, and every kind of
//! workload that is opted in. A watch that breaks or expires (410) is taken up again with a growing, jittered pause.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, PodStatus, ResourceQuota, ResourceRequirements};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::reflector::{Lookup, ObjectRef, Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt, discovery};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::objective::{ServiceObjective, Target};
use super::retry::{ATTEMPTS, Outcome, Reason};
use super::route_objective::{RouteObjective, RouteTarget};
use super::routes::Named;

/// How often a kind that the server does not know is asked for again: its definition may be installed later.
const ABSENT_AGAIN: Duration = Duration::from_secs(15);

/// What the server said of a kind.
#[derive(Clone)]
pub enum Kind {
    /// Not asked yet, or it did not answer.
    Unknown,
    /// It knows no such kind.
    Absent,
    Watched {
        resource: ApiResource,
        objects: Store<DynamicObject>,
    },
}

impl Kind {
    /// Whether what is known of it is all that there is.
    fn is_settled(&self) -> bool {
        match self {
            Kind::Unknown => false,
            Kind::Absent => true,
            Kind::Watched { objects, .. } => is_filled(objects),
        }
    }
}

/// The watches; they end when this is dropped.
pub struct Watches {
    client: Client,
    pub objectives: Store<ServiceObjective>,
    pub pods: Store<Pod>,
    pub quotas: Store<ResourceQuota>,
    pub budgets: Store<PodDisruptionBudget>,
    pub nodes: Store<Node>,
    hpas: watch::Receiver<Kind>,
    scaled_objects: watch::Receiver<Kind>,
    /// Known by name alone: the definition may not be there yet, nor the right to see them.
    capacity_events: watch::Receiver<Kind>,
    route_objectives: watch::Receiver<Kind>,
    /// Who else moves weights.
    rollouts: watch::Receiver<Kind>,
    /// By API version and kind.
    targets: BTreeMap<(String, String), watch::Receiver<Kind>>,
    /// The same of routes, which nothing waits for.
    route_kinds: BTreeMap<(String, String), watch::Receiver<Kind>>,
    tasks: JoinSet<()>,
}

impl Watches {
    pub fn start(client: Client) -> Watches {
        let mut tasks = JoinSet::new();
        let objectives = follow(Api::<ServiceObjective>::all(client.clone()), (), "objectives", |_| (), &mut tasks);
        let pods = follow(Api::<Pod>::all(client.clone()), (), "pods", strip_pod, &mut tasks);
        let quotas = follow(Api::all(client.clone()), (), "quotas", |_| (), &mut tasks);
        let budgets = follow(Api::all(client.clone()), (), "disruption budgets", |_| (), &mut tasks);
        let nodes = follow(Api::<Node>::all(client.clone()), (), "nodes", strip_node, &mut tasks);
        let hpas = kind(&client, "autoscaling/v2", "HorizontalPodAutoscaler", &mut tasks);
        let scaled_objects = kind(&client, "keda.sh/v1alpha1", "ScaledObject", &mut tasks);
        let capacity_events = kind(&client, "headroom.dev/v1alpha1", "CapacityEvent", &mut tasks);
        let route_objectives = kind(&client, "headroom.dev/v1alpha1", "RouteObjective", &mut tasks);
        let rollouts = kind(&client, "argoproj.io/v1alpha1", "Rollout", &mut tasks);
        Watches {
            client,
            objectives,
            pods,
            quotas,
            budgets,
            nodes,
            hpas,
            scaled_objects,
            capacity_events,
            route_objectives,
            rollouts,
            targets: BTreeMap::new(),
            route_kinds: BTreeMap::new(),
            tasks,
        }
    }

    /// A watch that panicked takes its owner along: what it watched would never change again.
    pub fn check(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Watches the kinds of what is opted in. True once everything there is to see has been seen, but for what only bounds
    /// a change before it is tried: quotas, disruption budgets and nodes, which one may not be let see.
    pub fn settle(&mut self) -> bool {
        if !is_filled(&self.objectives) {
            return false;
        }
        for objective in self.objectives.state() {
            let Target { api_version, kind: name, .. } = &objective.spec.target;
            watch_kind(&self.client, &mut self.targets, api_version, name, &mut self.tasks);
        }
        for objective in self.route_objectives() {
            let RouteTarget { api_version, kind, .. } = &objective.spec.target;
            watch_kind(&self.client, &mut self.route_kinds, api_version, kind.as_str(), &mut self.tasks);
        }
        is_filled(&self.pods)
            && self.hpas().is_settled()
            && self.scaled_objects().is_settled()
            && self.targets.values().all(|kind| kind.borrow().is_settled())
    }

    fn route_objectives(&self) -> Vec<Arc<RouteObjective>> {
        let Kind::Watched { objects, .. } = &*self.route_objectives.borrow() else { return Vec::new() };
        // The API server has held it against the schema; one of a later version says more than is understood here.
        let parsed = |object: Arc<DynamicObject>| (*object).clone().try_parse::<RouteObjective>().ok().map(Arc::new);
        let mut all: Vec<_> = objects.state().into_iter().filter_map(parsed).collect();
        all.sort_by_key(|objective| (ResourceExt::namespace(&**objective), objective.name_any()));
        all
    }

    /// What RouteObjectives name, with the routes that exist.
    pub fn routes(&self) -> Vec<Named> {
        let mut first = BTreeMap::new();
        let mut named = |objective: Arc<RouteObjective>| {
            let target = &objective.spec.target;
            let namespace = ResourceExt::namespace(&*objective).unwrap_or_default();
            let route = (namespace.clone(), target.kind.as_str(), target.name.clone());
            let taken_by = first.get(&route).cloned();
            first.entry(route).or_insert_with(|| objective.name_any());
            let key = (target.api_version.clone(), target.kind.as_str().to_owned());
            let of = self.route_kinds.get(&key).map(|kind| kind.borrow().clone());
            let target = match of {
                Some(Kind::Watched { resource, objects }) => {
                    let of = ObjectRef::new_with(&target.name, resource.clone()).within(&namespace);
                    objects.get(&of).map(|object| (resource, object))
                }
                Some(Kind::Unknown | Kind::Absent) | None => None,
            };
            Named { objective, taken_by, target }
        };
        self.route_objectives().into_iter().map(&mut named).collect()
    }

    /// None while it is not known which there are.
    pub fn rollouts(&self) -> Option<Vec<Arc<DynamicObject>>> {
        match &*self.rollouts.borrow() {
            Kind::Watched { objects, .. } => is_filled(objects).then(|| objects.state()),
            Kind::Absent => Some(Vec::new()),
            Kind::Unknown => None,
        }
    }

    pub fn hpas(&self) -> Kind {
        self.hpas.borrow().clone()
    }

    pub fn scaled_objects(&self) -> Kind {
        self.scaled_objects.borrow().clone()
    }

    pub fn capacity_events(&self) -> Kind {
        self.capacity_events.borrow().clone()
    }

    pub fn target(&self, target: &Target) -> Kind {
        let key = (target.api_version.clone(), target.kind.clone());
        self.targets.get(&key).map_or(Kind::Unknown, |kind| kind.borrow().clone())
    }
}

fn is_filled<K>(store: &Store<K>) -> bool
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
}

/// Watches a kind that something names, where it is not watched yet.
fn watch_kind(
    client: &Client,
    kinds: &mut BTreeMap<(String, String), watch::Receiver<Kind>>,
    api_version: &str,
    name: &str,
    tasks: &mut JoinSet<()>,
) {
    let key = (api_version.to_owned(), name.to_owned());
    kinds.entry(key).or_insert_with(|| kind(client, api_version, name, tasks));
}

/// Looks a kind up until the server knows it, then watches it.
fn kind(client: &Client, api_version: &str, name: &str, tasks: &mut JoinSet<()>) -> watch::Receiver<Kind> {
    let (found, kind) = watch::channel(Kind::Unknown);
    let (client, name) = (client.clone(), name.to_owned());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let of = GroupVersionKind::gvk(group, version, &name);
    tasks.spawn(async move {
        let mut watches = JoinSet::new();
        let mut pause = watcher::DefaultBackoff::default();
        let resource = loop {
            let again = match discovery::pinned_kind(&client, &of).await {
                Ok((resource, _)) => break resource,
                Err(kube::Error::Discovery(_)) => ABSENT_AGAIN,
                Err(kube::Error::Api(status)) if status.code == 404 => ABSENT_AGAIN,
                Err(error) => {
                    warn!(kind = name, "cannot ask the API server for a kind: {error}");
                    pause.next().unwrap_or(ABSENT_AGAIN)
                }
            };
            if again == ABSENT_AGAIN {
                found.send_replace(Kind::Absent);
            }
            tokio::time::sleep(again).await;
        };
        let api = Api::<DynamicObject>::all_with(client, &resource);
        let objects = follow(api, resource.clone(), "objects of a kind", strip, &mut watches);
        info!(kind = name, "watching");
        found.send_replace(Kind::Watched { resource, objects });
        watches.join_all().await;
    });
    kind
}

fn follow<K>(
    api: Api<K>,
    of: <K as Resource>::DynamicType,
    what: &'static str,
    strip: fn(&mut K),
    tasks: &mut JoinSet<()>,
) -> Store<K>
where
    K: Resource + Lookup<DynamicType = <K as Resource>::DynamicType>,
    K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    <K as Resource>::DynamicType: Eq + Hash + Clone + Send + Sync,
{
    let writer = Writer::new(of);
    let store = writer.as_reader();
    let events = watcher(api, watcher::Config::default()).default_backoff().modify(strip).reflect(writer);
    tasks.spawn(async move {
        let mut events = std::pin::pin!(events);
        let mut broken = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(_) if std::mem::replace(&mut broken, false) => info!(what, "watching again"),
                Ok(_) => {}
                Err(error) => {
                    ATTEMPTS.count(Reason::of_watch(&error), Outcome::Again);
                    if !std::mem::replace(&mut broken, true) {
                        warn!(what, "a watch broke: {error}");
                    }
                }
            }
        }
    });
    store
}

/// Keeps of an object what is looked at, so that memory follows the number of objects and not their templates.
fn strip(object: &mut DynamicObject) {
    if let Some(spec) = object.data.get_mut("spec").and_then(|spec| spec.as_object_mut()) {
        spec.retain(|key, _| key != "volumeClaimTemplates");
        if let Some(template) = spec.get_mut("template") {
            *template = what_it_asks_for(template);
        }
    }
    if let Some(object) = object.data.as_object_mut() {
        object.retain(|key, _| key == "spec");
    }
}

fn strip_pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    pod.annotations_mut().clear();
    if let Some(spec) = &mut pod.spec {
        let asks_for = |container: &mut Container| {
            let requests = container.resources.take()?.requests?;
            let resources = ResourceRequirements { requests: Some(requests), ..ResourceRequirements::default() };
            Some(Container { resources: Some(resources), ..Container::default() })
        };
        let containers = spec.containers.iter_mut().filter_map(asks_for).collect();
        *spec = PodSpec { node_name: spec.node_name.take(), containers, ..PodSpec::default() };
    }
    if let Some(status) = &mut pod.status {
        let conditions = status.conditions.take();
        let phase = status.phase.take();
        *status = PodStatus { conditions, phase, ..PodStatus::default() };
    }
}

/// Of a pod template what decides where its pods find room.
fn what_it_asks_for(template: &Value) -> Value {
    let spec = &template["spec"];
    let resources = |key: &str| -> Vec<Value> {
        let containers = spec[key].as_array().into_iter().flatten();
        containers.map(|container| json!({"resources": container["resources"]})).collect()
    };
    json!({"spec": {
        "containers": resources("containers"),
        "initContainers": resources("initContainers"),
        "nodeSelector": spec["nodeSelector"],
        "tolerations": spec["tolerations"],
    }})
}

fn strip_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.annotations_mut().clear();
    if let Some(status) = &mut node.status {
        (status.images, status.volumes_attached, status.volumes_in_use) = (None, None, None);
    }
}
