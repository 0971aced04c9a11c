//! What headroom holds on a cluster, given back by a person who removes it: floors, records, CPU that was lent.
//!
//! No permit stands before this, since no rule proposed it: a person does it, with their own rights, while no headroom
//! leads (`docs/decisions/0079-giving-back-is-a-persons-act.md`).

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client, Error, ResourceExt, discovery};

use super::change::failed;
use super::lever::{self, Means};
use super::objective::ServiceObjective;
use super::patch;
use super::pods;
use super::record::{self, MANAGER};
use super::retry::retried;
use super::route_objective::{RouteKind, RouteObjective, RouteTarget};
use super::routes;
use super::share;
use crate::action::Slot;
use crate::guard::ActError;
use crate::model::Time;

/// Objects of a kind are listed in pages of so many.
const PAGE: u32 = 500;

/// An object with something of headroom's on it.
pub struct Held {
    resource: ApiResource,
    what: What,
    object: DynamicObject,
}

/// What is held of it: a lever's value, or a route's weights.
#[derive(Clone, Copy)]
enum What {
    Lever(Means),
    Route(RouteKind),
}

/// Which headroom leads now: its Lease (`namespace/name`), and the replica that holds it.
///
/// # Errors
/// `Unreachable` where the server does not answer, `Refused` where Leases may not be listed.
pub async fn leader(client: &Client, now: Time) -> Result<Option<(String, String)>, ActError> {
    let leases = every(Api::<Lease>::all(client.clone())).await?;
    let held = leases.into_iter().filter(share::is_of_headroom).find_map(|lease| {
        let spec = lease.spec.as_ref()?;
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
        let renewed = i64::try_from(spec.renew_time.as_ref()?.0.as_nanosecond()).unwrap_or(i64::MAX);
        let lasts = i64::from(spec.lease_duration_seconds.unwrap_or(0)).saturating_mul(1_000_000_000);
        let is_fresh = now.0 < renewed.saturating_add(lasts);
        is_fresh.then(|| (format!("{}/{}", lease.namespace().unwrap_or_default(), lease.name_any()), holder))
    });
    Ok(held)
}

/// Everything that carries an annotation of headroom's: autoscalers, and workloads of the common kinds and of those that
/// a ServiceObjective names. Sorted by kind, namespace and name.
///
/// # Errors
/// As [`leader`].
pub async fn held(client: &Client) -> Result<Vec<Held>, ActError> {
    let mut kinds = vec![
        ("autoscaling/v2".to_owned(), "HorizontalPodAutoscaler".to_owned(), What::Lever(Means::HpaMinimum)),
        ("keda.sh/v1alpha1".to_owned(), "ScaledObject".to_owned(), What::Lever(Means::KedaMinimum)),
        ("apps/v1".to_owned(), "Deployment".to_owned(), What::Lever(Means::Replicas)),
        ("apps/v1".to_owned(), "StatefulSet".to_owned(), What::Lever(Means::Replicas)),
    ];
    let routes = routes::KINDS.into_iter();
    kinds.extend(routes.map(|(version, kind)| (version.to_owned(), kind.as_str().to_owned(), What::Route(kind))));
    for objective in every::<RouteObjective>(Api::all(client.clone())).await? {
        let RouteTarget { api_version, kind, .. } = objective.spec.target;
        if !kinds.iter().any(|(version, name, _)| (version.as_str(), name.as_str()) == (&api_version, kind.as_str())) {
            kinds.push((api_version, kind.as_str().to_owned(), What::Route(kind)));
        }
    }
    for objective in every::<ServiceObjective>(Api::all(client.clone())).await? {
        let target = objective.spec.target;
        if !kinds.iter().any(|(version, kind, _)| (version, kind) == (&target.api_version, &target.kind)) {
            kinds.push((target.api_version, target.kind, What::Lever(Means::Replicas)));
        }
    }
    let mut found = Vec::new();
    for (version, kind, what) in kinds {
        let Some(resource) = served(client, &version, &kind).await? else { continue };
        let objects = every(Api::<DynamicObject>::all_with(client.clone(), &resource)).await?;
        let own = objects.into_iter().filter(|object| record::own_keys(object.annotations()).next().is_some());
        found.extend(own.map(|object| Held {
            resource: resource.clone(),
            what: match what {
                What::Lever(means) => What::Lever(lever::means(means, &object)),
                What::Route(kind) => What::Route(kind),
            },
            object,
        }));
    }
    found.sort_by_key(|held| (held.resource.kind.clone(), held.object.namespace(), held.object.name_any()));
    Ok(found)
}

impl Held {
    /// `Deployment shop/auth`.
    pub fn name(&self) -> String {
        format!("{} {}/{}", self.resource.kind, self.object.namespace().unwrap_or_default(), self.object.name_any())
    }

    /// What giving it back does, in words. With `replicas`, a workload gets those from before an intervention that is
    /// still open; without, it keeps what it has, as its load may need it.
    pub fn steps(&self, replicas: bool) -> Vec<String> {
        let annotations = self.object.metadata.annotations.as_ref();
        let means = match self.what {
            What::Lever(means) => means,
            What::Route(kind) => return vec![routes::steps(kind, &self.object)],
        };
        let mut steps = Vec::new();
        if let Some(floor) = record::floor(annotations) {
            let field = means.field().unwrap_or_default().trim_start_matches("/spec/");
            let text = |count: Option<u32>| count.map_or("unset".to_owned(), |count| count.to_string());
            let has = lever::value(means, &self.object);
            steps.push(match means {
                Means::ExternalScaler => format!("the external scaler's floor of {} removed", floor.wanted),
                _ if has == Some(floor.wanted) => format!("{field} {} -> {}", floor.wanted, text(floor.before)),
                _ => format!("{field} stays {}, as somebody changed it", text(has)),
            });
        }
        for record in record::interventions(annotations) {
            let (before, now) = (record.replicas_before, lever::value(Means::Replicas, &self.object));
            steps.push(match (Slot::of(&record), means, now) {
                (Some(Slot::Replicas), Means::Replicas, Some(now)) if replicas && now == record.replicas_after => {
                    format!("replicas {now} -> {before}, record {} removed", record.id)
                }
                (Some(Slot::Replicas), Means::Replicas, Some(now)) => {
                    format!("record {} removed; {now} replicas stay, {before} before", record.id)
                }
                (Some(Slot::Cpu), ..) => {
                    format!("CPU of its pods as its template says, record {} removed", record.id)
                }
                _ => format!("record {} removed", record.id),
            });
        }
        if steps.is_empty() {
            let keys: Vec<&str> = record::own_keys(self.object.annotations()).collect();
            steps.push(format!("{} removed", keys.join(", ")));
        }
        steps
    }

    /// Gives it back. The CPU of pods first, so that a record stands until what it tells of is over.
    ///
    /// # Errors
    /// `Conflict` where the object changed since it was read, `Refused` with the server's words, `Unreachable`.
    pub async fn give_back(&self, client: &Client, replicas: bool) -> Result<(), ActError> {
        let name = self.name();
        let namespace = self.object.namespace().unwrap_or_default();
        if record::intervention(self.object.metadata.annotations.as_ref(), Slot::Cpu).is_some() {
            let workload = self.workload(client, &namespace).await?;
            pods::as_the_template_says(client, &name, &workload).await?;
        }
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &self.resource);
        let operations = match self.what {
            What::Lever(means) => patch::give_back(means, &self.object, replicas),
            What::Route(kind) => routes::give_back(kind, &self.object),
        };
        let unreadable = |error: serde_json::Error| ActError::Unreachable { cause: error.to_string() };
        let operations = Patch::<()>::Json(serde_json::from_value(operations).map_err(unreadable)?);
        let written = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let object = self.object.name_any();
        match retried(|| api.patch(&object, &written, &operations)).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            Err(Error::Api(status)) if matches!(status.code, 409 | 422) => Err(ActError::Conflict { service: name }),
            Err(error) => Err(failed(&name, error)),
        }
    }

    /// The workload whose pods are meant: itself, or what an autoscaler scales.
    async fn workload(&self, client: &Client, namespace: &str) -> Result<DynamicObject, ActError> {
        if matches!(self.what, What::Lever(Means::Replicas)) {
            return Ok(self.object.clone());
        }
        let target = &self.object.data["spec"]["scaleTargetRef"];
        let text = |key: &str, default: &str| target[key].as_str().unwrap_or(default).to_owned();
        let (version, kind) = (text("apiVersion", "apps/v1"), text("kind", "Deployment"));
        let absent = || ActError::NotFound { service: format!("{kind} {namespace}/{}", text("name", "")) };
        let resource = served(client, &version, &kind).await?.ok_or_else(absent)?;
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
        retried(|| api.get(target["name"].as_str().unwrap_or_default()))
            .await
            .map_err(|error| failed(&self.name(), error))
    }
}

/// None where the server knows no such kind.
async fn served(client: &Client, version: &str, kind: &str) -> Result<Option<ApiResource>, ActError> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let wanted = GroupVersionKind::gvk(group, version, kind);
    match discovery::pinned_kind(client, &wanted).await {
        Ok((resource, _)) => Ok(Some(resource)),
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        Err(Error::Discovery(_)) => Ok(None),
        Err(error) => Err(failed(kind, error)),
    }
}

/// All objects of a kind, page by page; none where the server does not know it.
async fn every<K>(api: Api<K>) -> Result<Vec<K>, ActError>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut page = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let list = match retried(|| api.list(&page)).await {
            Ok(list) => list,
            Err(Error::Api(status)) if status.code == 404 => return Ok(objects),
            Err(error) => return Err(failed("objects", error)),
        };
        objects.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = ListParams::default().limit(PAGE).continue_token(&token),
            None => return Ok(objects),
        }
    }
}
