//! What the cluster can bear now: how many replicas of a workload its quotas and its nodes have room for, and whether a
//! disruption budget lets a pod go. Said before it is tried, as a pod that stays Pending helps nobody.
//!
//! Of what the scheduler looks at these are taken: requests, the number of pods, node selectors, taints. Affinity and
//! topology are not, so there may be less room than is said here, never more.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota, Toleration};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::core::{Selector, SelectorExt};
use serde_json::Value;

use super::quantity::{milli, told};
use crate::model::Ceiling;

/// Thousandths, by resource.
type Amounts = BTreeMap<String, i128>;

/// What one pod of a workload asks for, as its template says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    requests: Amounts,
    limits: Amounts,
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<Toleration>,
}

impl Demand {
    /// Of an object with a pod template.
    pub fn of(object: &DynamicObject) -> Demand {
        let pod = &object.data["spec"]["template"]["spec"];
        let read = |key: &str| serde_json::from_value(pod[key].clone()).unwrap_or_default();
        Demand {
            requests: in_template(pod, "requests"),
            limits: in_template(pod, "limits"),
            node_selector: read("nodeSelector"),
            tolerations: serde_json::from_value(pod["tolerations"].clone()).unwrap_or_default(),
        }
    }

    fn told(&self) -> String {
        let each: Vec<String> =
            self.requests.iter().map(|(name, amount)| format!("{} {name}", told(*amount))).collect();
        if each.is_empty() { "nothing asked for".into() } else { format!("{} each", each.join(", ")) }
    }

    fn tolerates(&self, node: &Node) -> bool {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
        taints.filter(|taint| taint.effect != "PreferNoSchedule").all(|taint| {
            self.tolerations.iter().any(|toleration| {
                let key = toleration.key.as_deref().unwrap_or_default();
                let exists = toleration.operator.as_deref() == Some("Exists");
                let value = toleration.value.as_deref().unwrap_or_default();
                (key == taint.key || (key.is_empty() && exists))
                    && (exists || value == taint.value.as_deref().unwrap_or_default())
                    && toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect)
            })
        })
    }
}

/// Of all containers together; what an init container needs more of counts, as it runs before the others.
fn in_template(pod: &Value, kind: &str) -> Amounts {
    let mut amounts = Amounts::new();
    let of = |container: &Value| -> Vec<(String, i128)> {
        let stated = container["resources"][kind].as_object().into_iter().flatten();
        stated.filter_map(|(name, amount)| Some((name.clone(), milli(amount.as_str()?)?))).collect()
    };
    for (name, amount) in pod["containers"].as_array().into_iter().flatten().flat_map(of) {
        *amounts.entry(name).or_default() += amount;
    }
    for (name, amount) in pod["initContainers"].as_array().into_iter().flatten().flat_map(of) {
        let sum = amounts.entry(name).or_default();
        *sum = amount.max(*sum);
    }
    amounts
}

/// Of a pod that runs, as the watch keeps it.
fn of_pod(pod: &Pod) -> impl Iterator<Item = (&String, i128)> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let requests = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref()).flatten();
    requests.filter_map(|(name, amount)| Some((name, milli(&amount.0)?)))
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The nodes that take pods, with what is free on each.
pub struct Nodes {
    free: Vec<(Arc<Node>, Amounts)>,
}

impl Nodes {
    /// None where no node is seen: then nothing can be said of their room.
    pub fn new(nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Option<Nodes> {
        let mut used = BTreeMap::<&str, Amounts>::new();
        for pod in pods {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            let Some(node) = node_of(pod).filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) else { continue };
            let on_node = used.entry(node).or_default();
            *on_node.entry("pods".into()).or_default() += 1000;
            of_pod(pod).for_each(|(name, amount)| *on_node.entry(name.clone()).or_default() += amount);
        }
        let free = |node: &Arc<Node>| {
            let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
            let used = used.get(node.name_any().as_str());
            let left = |(name, amount): (&String, &Quantity)| {
                let used = used.and_then(|used| used.get(name)).copied().unwrap_or(0);
                Some((name.clone(), milli(&amount.0)? - used))
            };
            Some((node.clone(), allocatable.iter().filter_map(left).collect()))
        };
        let free: Vec<_> = nodes.iter().filter(|node| is_ready(node)).filter_map(free).collect();
        (!free.is_empty()).then_some(Nodes { free })
    }

    /// Pods like this that they still have room for.
    fn room(&self, demand: &Demand) -> u32 {
        let on_node = |(node, free): &(Arc<Node>, Amounts)| {
            let labels = node.labels();
            let selected = demand.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
            if !selected || !demand.tolerates(node) {
                return 0;
            }
            let pod = [("pods".to_owned(), 1000)];
            let needs = demand.requests.iter().map(|(name, amount)| (name, *amount));
            let needs = needs.chain(pod.iter().map(|(name, amount)| (name, *amount))).filter(|(_, amount)| *amount > 0);
            needs.map(|(name, amount)| free.get(name).map_or(0, |free| free.max(&0) / amount)).min().unwrap_or(0)
        };
        // More than anybody runs; a node without bounds would say more than fits.
        self.free.iter().map(on_node).map(|pods| pods.min(100_000) as u32).fold(0, u32::saturating_add)
    }
}

fn is_ready(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    !cordoned && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The bounds that the cluster sets to a workload with these pods, the tightest first.
pub fn ceilings(
    demand: &Demand,
    pods: &[Arc<Pod>],
    namespace: &str,
    quotas: &[Arc<ResourceQuota>],
    nodes: Option<&Nodes>,
) -> Vec<Ceiling> {
    let here = quotas.iter().filter(|quota| quota.namespace().as_deref() == Some(namespace));
    let mut ceilings: Vec<Ceiling> = here.filter_map(|quota| by_quota(demand, pods.len() as u32, quota)).collect();
    if let Some(nodes) = nodes {
        let placed = pods.iter().filter(|pod| node_of(pod).is_some()).count() as u32;
        let room = nodes.room(demand);
        let reason = match room {
            0 => format!("the nodes have no room for a further pod of it ({})", demand.told()),
            1 => format!("the nodes have room for one more pod of it ({})", demand.told()),
            more => format!("the nodes have room for {more} more pods of it ({})", demand.told()),
        };
        ceilings.push(Ceiling { replicas: placed.saturating_add(room), reason });
    }
    ceilings.sort_by_key(|ceiling| ceiling.replicas);
    ceilings
}

/// None where the quota bounds nothing that the pods ask for, or is for other pods.
fn by_quota(demand: &Demand, pods: u32, quota: &ResourceQuota) -> Option<Ceiling> {
    let spec = quota.spec.as_ref()?;
    // Pods of a workload that scales are not terminating; the other scopes look at what is not known here.
    let scopes = spec.scopes.as_deref().unwrap_or_default();
    if spec.scope_selector.is_some() || scopes.iter().any(|scope| scope != "NotTerminating") {
        return None;
    }
    let status = quota.status.as_ref()?;
    let (hard, used) = (status.hard.as_ref()?, status.used.as_ref()?);
    let tightest = hard.iter().filter_map(|(key, hard)| {
        let each = match key.as_str() {
            "pods" | "count/pods" => 1000,
            "cpu" | "memory" => *demand.requests.get(key)?,
            _ => match key.split_once('.')? {
                ("requests", name) => *demand.requests.get(name)?,
                ("limits", name) => *demand.limits.get(name)?,
                _ => return None,
            },
        };
        let (hard_text, used_text) = (&hard.0, used.get(key).map_or("0", |used| used.0.as_str()));
        let left = (milli(hard_text)? - milli(used_text)?).max(0);
        let more = u32::try_from(left / each.max(1)).unwrap_or(u32::MAX);
        Some((more, format!("quota {}: {key} {used_text} of {hard_text} used", quota.name_any())))
    });
    let (more, reason) = tightest.min()?;
    Some(Ceiling { replicas: pods.saturating_add(more), reason })
}

/// Why no pod of these may be taken away now.
pub fn eviction_blocked_by(pods: &[Arc<Pod>], namespace: &str, budgets: &[Arc<PodDisruptionBudget>]) -> Option<String> {
    let here = budgets.iter().filter(|budget| budget.namespace().as_deref() == Some(namespace));
    here.filter_map(|budget| {
        let selector: Selector = budget.spec.as_ref()?.selector.clone()?.try_into().ok()?;
        let status = budget.status.as_ref()?;
        let covers = pods.iter().any(|pod| selector.matches(pod.labels()));
        (covers && status.disruptions_allowed.unwrap_or(0) == 0).then(|| {
            let count = |of: Option<i32>| of.unwrap_or(0);
            let (healthy, needed) = (count(status.current_healthy), count(status.desired_healthy));
            let name = budget.name_any();
            format!("PodDisruptionBudget {name} lets no pod go: {healthy} are healthy and {needed} must be")
        })
    })
    .min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn demand() -> Demand {
        let container = json!({"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1"}}});
        let sidecar = json!({"resources": {"requests": {"cpu": "100m"}}});
        let init = json!({"resources": {"requests": {"memory": "2Gi"}}});
        let mut deployment = DynamicObject::new("auth", &kube::api::ApiResource::erase::<Pod>(&()));
        deployment.data = json!({"spec": {"template": {"spec": {
            "containers": [container, sidecar], "initContainers": [init], "nodeSelector": {"pool": "web"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        }}}});
        Demand::of(&deployment)
    }

    fn pod(name: &str, node: Option<&str>, cpu: &str) -> Arc<Pod> {
        object(json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": "auth"}},
            "spec": {"nodeName": node, "containers": [{"name": "", "resources": {"requests": {"cpu": cpu}}}]},
            "status": {"phase": "Running"},
        }))
    }

    fn node(name: &str, cpu: &str, spec: Value) -> Arc<Node> {
        object(json!({
            "metadata": {"name": name, "labels": {"pool": "web"}},
            "spec": spec,
            "status": {
                "allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "5"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }))
    }

    fn quota(hard: Value, used: Value, spec: Value) -> Arc<ResourceQuota> {
        object(json!({
            "metadata": {"name": "team", "namespace": "shop"}, "spec": spec, "status": {"hard": hard, "used": used},
        }))
    }

    /// Replicas at most, and why, of a workload with two pods of which one is placed.
    fn said(quotas: &[Arc<ResourceQuota>], nodes: &[Arc<Node>]) -> Vec<(u32, String)> {
        let pods = [pod("auth-1", Some("a"), "600m"), pod("auth-2", None, "600m")];
        let nodes = Nodes::new(nodes, &pods);
        let ceilings = ceilings(&demand(), &pods, "shop", quotas, nodes.as_ref());
        ceilings.into_iter().map(|ceiling| (ceiling.replicas, ceiling.reason)).collect()
    }

    #[test]
    fn a_pod_asks_for_what_its_containers_do_and_its_init_containers_at_least() {
        let demand = demand();
        assert_eq!(demand.told(), "600m cpu, 2Gi memory each");
        assert_eq!(demand.limits, Amounts::from([("cpu".into(), 1000)]));
    }

    #[test]
    fn a_quota_bounds_by_what_is_scarcest() {
        let hard = json!({"pods": "20", "requests.cpu": "10", "limits.cpu": "100", "services": "3"});
        let used = json!({"pods": "4", "requests.cpu": "8800m", "limits.cpu": "7", "services": "3"});
        let team = quota(hard.clone(), used, json!({}));
        assert_eq!(said(&[team], &[]), [(4, "quota team: requests.cpu 8800m of 10 used".into())]);
        let full = quota(json!({"pods": "20"}), json!({"pods": "20"}), json!({}));
        assert_eq!(said(&[full], &[]), [(2, "quota team: pods 20 of 20 used".into())]);
        let other = quota(hard.clone(), json!({}), json!({"scopes": ["BestEffort"]}));
        assert_eq!(said(&[other], &[]), []);
    }

    #[test]
    fn nodes_bound_by_what_is_free_where_the_pods_may_go() {
        let each = "600m cpu, 2Gi memory each";
        let more = |n: u32| format!("the nodes have room for {n} more pods of it ({each})");
        assert_eq!(said(&[], &[node("a", "4", json!({}))]), [(5, more(4))], "five pods a node, and one is there");
        assert_eq!(said(&[], &[node("a", "2", json!({}))]), [(3, more(2))], "2 cores, less what is asked for");
        let full = format!("the nodes have no room for a further pod of it ({each})");
        assert_eq!(said(&[], &[node("a", "1", json!({}))]), [(1, full.clone())]);
        let tainted = |key: &str| node("b", "4", json!({"taints": [{"key": key, "effect": "NoSchedule"}]}));
        let small = || node("a", "1", json!({}));
        assert_eq!(said(&[], &[small(), tainted("gpu")]), [(1, full.clone())]);
        assert_eq!(said(&[], &[small(), tainted("spot")]), [(6, more(5))], "it is tolerated");
        assert_eq!(said(&[], &[small(), node("b", "4", json!({"unschedulable": true}))]), [(1, full)]);
    }

    #[test]
    fn a_budget_without_a_disruption_left_lets_no_pod_go() {
        let budget = |allowed: i32, app: &str| {
            object::<PodDisruptionBudget>(json!({
                "metadata": {"name": "auth", "namespace": "shop"},
                "spec": {"selector": {"matchLabels": {"app": app}}},
                "status": {
                    "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2,
                },
            }))
        };
        let pods = [pod("auth-1", None, "1")];
        let said = eviction_blocked_by(&pods, "shop", &[budget(0, "auth")]).unwrap();
        assert_eq!(said, "PodDisruptionBudget auth lets no pod go: 2 are healthy and 2 must be");
        assert_eq!(eviction_blocked_by(&pods, "shop", &[budget(1, "auth"), budget(0, "web")]), None);
        assert_eq!(eviction_blocked_by(&pods, "lab", &[budget(0, "auth")]), None);
    }
}
