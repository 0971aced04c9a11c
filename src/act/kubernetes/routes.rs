//! Routes whose weights may be moved: how an HTTPRoute, a GRPCRoute and a VirtualService write them, who else moves them, and one
//! permitted step, written.
//!
//! The lists of backends are atomic for server-side apply, so a step is a JSON Patch: each list is tested to be as it was read, the
//! object's version too, and the record of the intervention goes with the weights. What the record says was there before
//! is given back whatever becomes of headroom.

use std::sync::Arc;

use kube::api::{ApiResource, DynamicObject, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::change::{CONFLICTS_MAX, Fence, failed, is_moved, json_patch};
use super::patch;
use super::record::{self, MANAGER};
use super::retry::retried;
use super::route_objective::{RouteKind, RouteObjective};
use crate::action::{Done, ShiftedWeight, WeightShift};
use crate::guard::ActError;
use crate::model::{Backend, InterventionRecord, Route};

/// A RouteObjective, and its route where there is one.
#[derive(Clone)]
pub struct Named {
    pub objective: Arc<RouteObjective>,
    /// The RouteObjective before it that names the same route: an object carries one record.
    pub taken_by: Option<String>,
    pub target: Option<(ApiResource, Arc<DynamicObject>)>,
}

/// A route of a workload.
#[derive(Clone)]
pub struct FoundRoute {
    pub route: Route,
    pub kind: RouteKind,
    pub resource: ApiResource,
    pub object: Arc<DynamicObject>,
}

impl FoundRoute {
    pub fn interventions(&self) -> Vec<InterventionRecord> {
        record::interventions(self.object.metadata.annotations.as_ref())
    }
}

/// What a RouteObjective names, as the engine sees it. A route that is not there, or that somebody else drives or may drive, is
/// held; `rollouts` are None while they are not known.
pub fn found(named: &Named, rollouts: Option<&[Arc<DynamicObject>]>) -> (Route, Option<FoundRoute>) {
    let spec = &named.objective.spec;
    let (namespace, kind) = (named.objective.namespace().unwrap_or_default(), spec.target.kind);
    let name = format!("{} {namespace}/{}", kind.as_str(), spec.target.name);
    let backend = |weight: u32, of: &super::route_objective::VersionedBackend| Backend {
        name: of.name.clone(),
        version: of.version.clone(),
        weight,
    };
    let mut route = Route {
        name: name.clone(),
        backends: spec.backends.iter().map(|of| backend(0, of)).collect(),
        resource_version: 0,
        step_max: spec.step,
        least_share: spec.least_share,
        held: Some(format!("there is no {name}")),
    };
    if let Some(first) = &named.taken_by {
        let own = named.objective.name_any();
        route.name = format!("{name} as RouteObjective {own} names it");
        route.held = Some(format!("RouteObjective {first} has {name} already"));
        return (route, None);
    }
    let Some((resource, object)) = &named.target else { return (route, None) };
    route.resource_version = object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default();
    let names: Vec<&str> = spec.backends.iter().map(|of| of.name.as_str()).collect();
    route.held = match weights(kind, object, &names) {
        Ok(weights) => {
            route.backends.iter_mut().zip(weights).for_each(|(backend, weight)| backend.weight = weight);
            driven_by(object, rollouts).or_else(|| {
                let observes = spec.mode == super::objective::ObjectiveMode::Observe;
                observes.then(|| format!("its RouteObjective {} is in mode Observe", named.objective.name_any()))
            })
        }
        Err(reason) => Some(format!("{name}: {reason}")),
    };
    let found = FoundRoute { route: route.clone(), kind, resource: resource.clone(), object: object.clone() };
    (route, Some(found))
}

/// A list of backends: where it stands, and what is in it.
struct Split<'a> {
    pointer: String,
    list: &'a Value,
    backends: Vec<(String, u32)>,
}

fn splits(kind: RouteKind, object: &DynamicObject) -> Vec<Split<'_>> {
    let (rules, list) = match kind {
        RouteKind::HTTPRoute | RouteKind::GRPCRoute => ("rules", "backendRefs"),
        RouteKind::VirtualService => ("http", "route"),
    };
    let of = |(n, rule): (usize, &'_ Value)| -> Option<(String, usize)> {
        rule[list].is_array().then(|| (format!("/spec/{rules}/{n}/{list}"), n))
    };
    let all = object.data["spec"][rules].as_array();
    let places: Vec<(String, usize)> = all.into_iter().flatten().enumerate().filter_map(of).collect();
    let split = |(pointer, n): (String, usize)| {
        let list = &object.data["spec"][rules][n][list];
        let backends = list.as_array().into_iter().flatten().map(|one| (backend_name(kind, one), weight(kind, one)));
        Split { pointer, list, backends: backends.collect() }
    };
    places.into_iter().map(split).collect()
}

fn backend_name(kind: RouteKind, backend: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match kind {
        RouteKind::HTTPRoute | RouteKind::GRPCRoute => text(&backend["name"]),
        RouteKind::VirtualService => {
            let (host, subset) = (text(&backend["destination"]["host"]), text(&backend["destination"]["subset"]));
            if subset.is_empty() { host } else { format!("{host}/{subset}") }
        }
    }
}

/// What stands there, or what its API takes where nothing does: 1 of the Gateway API, none of Istio's.
fn weight(kind: RouteKind, backend: &Value) -> u32 {
    let unsaid = match kind {
        RouteKind::HTTPRoute | RouteKind::GRPCRoute => 1,
        RouteKind::VirtualService => 0,
    };
    backend["weight"].as_u64().and_then(|weight| u32::try_from(weight).ok()).unwrap_or(unsaid)
}

/// The lists that split requests among these backends, and no others.
fn own_splits<'a>(kind: RouteKind, object: &'a DynamicObject, names: &[&str]) -> Vec<Split<'a>> {
    let is_own = |split: &Split<'_>| {
        split.backends.len() > 1 && split.backends.iter().any(|(of, _)| names.contains(&of.as_str()))
    };
    splits(kind, object).into_iter().filter(is_own).collect()
}

/// The weights of the backends in their order, or why they cannot be told.
fn weights(kind: RouteKind, object: &DynamicObject, names: &[&str]) -> Result<Vec<u32>, String> {
    let mut found: Option<Vec<u32>> = None;
    for split in own_splits(kind, object, names) {
        let others: Vec<&str> =
            split.backends.iter().map(|(of, _)| of.as_str()).filter(|of| !names.contains(of)).collect();
        if !others.is_empty() {
            return Err(format!("{} also splits to {}; name it in spec.backends", split.pointer, others.join(", ")));
        }
        let mut weights = Vec::new();
        for name in names {
            let mut of_name = split.backends.iter().filter(|(of, _)| of == name).map(|(_, weight)| *weight);
            match (of_name.next(), of_name.next()) {
                (Some(weight), None) => weights.push(weight),
                (None, _) => return Err(format!("{} does not split to {name}", split.pointer)),
                (Some(_), Some(_)) => return Err(format!("{} names {name} twice", split.pointer)),
            }
        }
        if found.as_ref().is_some_and(|found| *found != weights) {
            return Err("its rules split by different weights; headroom moves those that all split alike".into());
        }
        found = Some(weights);
    }
    found.ok_or_else(|| format!("none of its rules splits requests among {}", names.join(", ")))
}

/// Who else moves its weights: a progressive delivery is theirs, whatever its state.
fn driven_by(object: &DynamicObject, rollouts: Option<&[Arc<DynamicObject>]>) -> Option<String> {
    let owner = object.owner_references().iter().find(|owner| matches!(owner.kind.as_str(), "Canary" | "Rollout"));
    if let Some(owner) = owner {
        return Some(format!("{} {} owns the route and moves its weights", owner.kind, owner.name));
    }
    if object.labels().keys().any(|key| key.starts_with("rollouts.argoproj.io/")) {
        return Some("a rollout of Argo moves the weights of the route".into());
    }
    let Some(rollouts) = rollouts else {
        return Some("it is not known yet whether a Rollout moves the weights of the route".into());
    };
    let name = object.name_any();
    let qualified = format!("{name}.{}", object.namespace().unwrap_or_default());
    // One of another namespace may name it too: of two routes of one name both are left alone.
    let drives = |rollout: &&Arc<DynamicObject>| {
        let routing = &rollout.data["spec"]["strategy"]["canary"]["trafficRouting"];
        mentions(routing, &name) || mentions(routing, &qualified)
    };
    let rollout = rollouts.iter().find(drives)?;
    Some(format!("Rollout {} moves the weights of the route", rollout.name_any()))
}

/// Argo's plugins name routes each in a key of their own.
fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(all) => all.iter().any(|one| mentions(one, name)),
        Value::Object(all) => all.values().any(|one| mentions(one, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Sets these weights in every list that splits among them; each list is tested to be as it is now.
fn operations(kind: RouteKind, live: &DynamicObject, to: &[(String, u32)]) -> Vec<Value> {
    let names: Vec<&str> = to.iter().map(|(name, _)| name.as_str()).collect();
    let mut operations = Vec::new();
    for split in own_splits(kind, live, &names) {
        operations.push(json!({"op": "test", "path": split.pointer, "value": split.list}));
        for (index, (name, _)) in split.backends.iter().enumerate() {
            if let Some((_, weight)) = to.iter().find(|(of, _)| of == name) {
                let path = format!("{}/{index}/weight", split.pointer);
                operations.push(json!({"op": "add", "path": path, "value": weight}));
            }
        }
    }
    operations
}

/// Writes one step.
///
/// # Errors
/// `Conflict` where the weights are no longer those that it was decided on; otherwise as
/// [`Writer::write`](super::change::Writer::write).
pub async fn shift(client: &Client, found: &FoundRoute, shift: &WeightShift, fence: Fence<'_>) -> Result<(), ActError> {
    let service = shift.service.as_str();
    let namespace = found.object.namespace().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &found.resource);
    let name = found.object.name_any();
    let written = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let dry = PatchParams { dry_run: true, ..written.clone() };
    for attempt in 0..CONFLICTS_MAX {
        let live = retried(|| api.get(&name)).await.map_err(|error| failed(service, error))?;
        if record::interventions(live.metadata.annotations.as_ref()).iter().any(|of| of.id == shift.record.id) {
            // An earlier try of this very call went through although its answer was lost.
            return if attempt > 0 { Ok(()) } else { Err(ActError::Conflict { service: service.into() }) };
        }
        let names: Vec<&str> = shift.from.iter().map(|(name, _)| name.as_str()).collect();
        let decided_on: Vec<u32> = shift.from.iter().map(|(_, weight)| *weight).collect();
        if live.uid() != found.object.uid() || weights(found.kind, &live, &names) != Ok(decided_on) {
            break;
        }
        let operations =
            json_patch(patch::with_record(&live, operations(found.kind, &live, &shift.to), &shift.record))?;
        let done = match retried(|| api.patch(&name, &dry, &operations)).await {
            Ok(_) => {
                fence.passed(service).await?;
                retried(|| api.patch(&name, &written, &operations)).await
            }
            refused => refused,
        };
        match done {
            Ok(_) => return Ok(()),
            Err(error) if is_moved(&error) => {}
            Err(error) => return Err(failed(service, error)),
        }
    }
    Err(ActError::Conflict { service: service.to_owned() })
}

/// The kinds of routes, for who looks for all that headroom holds.
pub const KINDS: [(&str, RouteKind); 3] = [
    ("gateway.networking.k8s.io/v1", RouteKind::HTTPRoute),
    ("gateway.networking.k8s.io/v1", RouteKind::GRPCRoute),
    ("networking.istio.io/v1", RouteKind::VirtualService),
];

/// What an intervention on it set, where it still stands so.
fn held(kind: RouteKind, object: &DynamicObject) -> Option<ShiftedWeight> {
    let records = record::interventions(object.metadata.annotations.as_ref());
    let done = records.iter().find_map(|record| match Done::of(record)? {
        Done::ShiftedWeight(done) => Some(done),
        _ => None,
    })?;
    let names: Vec<&str> = done.after.iter().map(|(name, _)| name.as_str()).collect();
    let after: Vec<u32> = done.after.iter().map(|(_, weight)| *weight).collect();
    (weights(kind, object, &names) == Ok(after)).then_some(done)
}

/// What giving it back does, in words.
pub fn steps(kind: RouteKind, object: &DynamicObject) -> String {
    match held(kind, object) {
        Some(done) => format!(
            "weights {} -> {}",
            crate::action::shift_weight::in_words(&done.after),
            crate::action::shift_weight::in_words(&done.before)
        ),
        None => "its weights stay, as somebody changed them; record removed".into(),
    }
}

/// The patch that takes all that is headroom's off a route, and gives back weights that nobody changed.
pub fn give_back(kind: RouteKind, live: &DynamicObject) -> Value {
    let before = held(kind, live).map(|done| operations(kind, live, &done.before));
    patch::without_own(live, before.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "content", "namespace": "shop", "resourceVersion": "7"},
            "spec": spec,
        }))
        .unwrap()
    }

    fn content(weights: [u32; 2]) -> DynamicObject {
        let backend = |name: &str, weight: u32| json!({"name": name, "port": 80, "weight": weight});
        object(json!({"rules": [
            {"backendRefs": [backend("content-v1", weights[0]), backend("content-v2", weights[1])]},
            {"backendRefs": [{"name": "static", "port": 80}]},
        ]}))
    }

    const NAMES: [&str; 2] = ["content-v1", "content-v2"];

    #[test]
    fn weights_are_read_from_the_rules_that_split() {
        assert_eq!(weights(RouteKind::HTTPRoute, &content([75, 25]), &NAMES), Ok(vec![75, 25]));
        let unsaid = object(json!({"rules": [{"backendRefs": [{"name": "content-v2"}, {"name": "content-v1"}]}]}));
        assert_eq!(weights(RouteKind::HTTPRoute, &unsaid, &NAMES), Ok(vec![1, 1]), "one each, in the owner's order");
    }

    #[test]
    fn what_is_split_otherwise_is_left_alone_and_told() {
        let one = object(json!({"rules": [{"backendRefs": [{"name": "content-v1"}]}]}));
        let told = weights(RouteKind::HTTPRoute, &one, &NAMES).unwrap_err();
        assert_eq!(told, "none of its rules splits requests among content-v1, content-v2");
        let rule = |a: u32, b: u32| json!({"backendRefs": [{"name": "content-v1", "weight": a}, {"name": "content-v2", "weight": b}]});
        let two = object(json!({"rules": [rule(1, 1), rule(9, 1)]}));
        assert!(weights(RouteKind::HTTPRoute, &two, &NAMES).unwrap_err().contains("different weights"));
        let third = object(json!({"rules": [{"backendRefs": [{"name": "content-v1"}, {"name": "content-v3"}]}]}));
        let told = weights(RouteKind::HTTPRoute, &third, &NAMES).unwrap_err();
        assert_eq!(told, "/spec/rules/0/backendRefs also splits to content-v3; name it in spec.backends");
        let backends = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Value>();
        let twice = object(json!({"rules": [{"backendRefs": backends(&["content-v1", "content-v1", "content-v2"])}]}));
        let told = weights(RouteKind::HTTPRoute, &twice, &NAMES).unwrap_err();
        assert_eq!(told, "/spec/rules/0/backendRefs names content-v1 twice");
    }

    #[test]
    fn of_a_virtual_service_subsets_are_told_apart() {
        let to =
            |subset: &str, weight: u32| json!({"destination": {"host": "content", "subset": subset}, "weight": weight});
        let service = object(json!({"http": [{"route": [to("v1", 90), to("v2", 10)]}]}));
        let names = ["content/v1", "content/v2"];
        assert_eq!(weights(RouteKind::VirtualService, &service, &names), Ok(vec![90, 10]));
        let to = [("content/v1".to_owned(), 100), ("content/v2".to_owned(), 0)];
        let written = operations(RouteKind::VirtualService, &service, &to);
        assert_eq!(written[2], json!({"op": "add", "path": "/spec/http/0/route/1/weight", "value": 0}));
    }

    #[test]
    fn a_step_tests_each_list_before_it_sets_its_weights() {
        let live = content([50, 50]);
        let to = [("content-v1".to_owned(), 75), ("content-v2".to_owned(), 25)];
        let list = live.data["spec"]["rules"][0]["backendRefs"].clone();
        let expected = [
            json!({"op": "test", "path": "/spec/rules/0/backendRefs", "value": list}),
            json!({"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": 75}),
            json!({"op": "add", "path": "/spec/rules/0/backendRefs/1/weight", "value": 25}),
        ];
        assert_eq!(operations(RouteKind::HTTPRoute, &live, &to), expected);
    }

    #[test]
    fn a_route_that_a_rollout_drives_is_theirs() {
        let rollout = |plugin: Value| {
            let canary = json!({"canary": {"trafficRouting": {"plugins": {"argoproj-labs/gatewayAPI": plugin}}}});
            Arc::new(object(json!({"strategy": canary})))
        };
        let by_name = [rollout(json!({"httpRoute": "content", "namespace": "shop"}))];
        assert_eq!(
            driven_by(&content([1, 1]), Some(&by_name)).unwrap(),
            "Rollout content moves the weights of the route"
        );
        let by_list = [rollout(json!({"httpRoutes": [{"name": "content"}]}))];
        assert!(driven_by(&content([1, 1]), Some(&by_list)).is_some());
        let other = [rollout(json!({"httpRoute": "other"}))];
        assert_eq!(driven_by(&content([1, 1]), Some(&other)), None);
        assert!(driven_by(&content([1, 1]), None).unwrap().starts_with("it is not known yet"));
        let mut owned = content([1, 1]);
        let owner = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "content", "uid": "1"}]);
        owned.metadata.owner_references = serde_json::from_value(owner).unwrap();
        assert!(driven_by(&owned, Some(&[])).unwrap().starts_with("Canary content owns"));
    }
}
