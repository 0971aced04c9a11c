//! What is done to pods: one is evicted, or all of them are resized in place. Tried as a dry run first, then recorded on
//! the object that the lever is on, and only then done: whatever becomes of headroom in between, its successor finds
//! what was begun, and when it must have ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Error, ResourceExt};
use serde_json::{Map, Value, json};

use super::change::{Fence, Writer, failed};
use super::quantity::milli;
use super::record::MANAGER;
use super::retry::retried;
use super::routes;
use super::survey::Found;
use crate::action::Change;
use crate::guard::{ActError, Permit};
use crate::model::Time;

/// Pods that one resize goes through, one call after the other; a call of the cluster may take five seconds.
const RESIZED_MAX: usize = 50;

/// Carries out a change of pods.
///
/// # Errors
/// `Refused` where a policy or a disruption budget says no, with its words; `Conflict` where the pod is another by now;
/// `Unreachable` where the server has not answered well: what was recorded is then followed to its deadline.
pub async fn change(
    client: &Client,
    writer: &Writer,
    found: &Found,
    permit: &Permit,
    fence: Fence<'_>,
) -> Result<(), ActError> {
    let namespace = found.object.namespace().unwrap_or_default();
    let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
    match permit.change() {
        Change::RestartPod(eviction) => {
            restart(&pods, writer, found, permit, fence, (&eviction.pod, eviction.created_at)).await
        }
        Change::ResizeCpu(lent) => {
            let workloads = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &found.resource);
            resize(&pods, &workloads, writer, found, permit, fence, lent.factor).await
        }
        Change::ShiftWeight(step) => {
            let route = found.routes.iter().find(|found| found.route.name == step.route);
            let route = route.ok_or_else(|| ActError::NotFound { service: step.route.clone() })?;
            routes::shift(client, route, step, fence).await
        }
        Change::Close { intervention, .. } => writer.write(&found.lever_of(*intervention), permit, fence).await,
        Change::Scale(_) | Change::Shed(_) | Change::LimitRate(_) => writer.write(&found.lever, permit, fence).await,
    }
}

async fn restart(
    pods: &Api<Pod>,
    writer: &Writer,
    found: &Found,
    permit: &Permit,
    fence: Fence<'_>,
    (pod, created_at): (&str, Time),
) -> Result<(), ActError> {
    let service = permit.service().as_str();
    let same = |one: &&Arc<Pod>| one.name_any() == pod && created(one) == created_at;
    let uid = found.pods.iter().find(same).and_then(|one| one.uid());
    let uid = uid.ok_or_else(|| ActError::Conflict { service: service.into() })?;
    let evicted = |dry_run: bool| EvictParams {
        // Of a StatefulSet the next pod has the same name.
        delete_options: Some(DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid.clone()), ..Preconditions::default() }),
            ..DeleteParams::default()
        }),
        post_options: PostParams { dry_run, field_manager: None },
    };
    // A disruption budget that says no will say so a second later: it is not tried again here.
    pods.evict(pod, &evicted(true)).await.map_err(|error| refused(service, error))?;
    writer.write(&found.lever, permit, fence).await?;
    match pods.evict(pod, &evicted(false)).await {
        Ok(_) => Ok(()),
        // It went by itself between the two.
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => {
            // What is recorded did not come about; where this is not heard either, the record runs out by itself.
            writer.forget(&found.lever, permit).await;
            Err(refused(service, error))
        }
    }
}

/// A budget's refusal has the code of a server that is asked too much, and is told from it by its cause.
fn refused(service: &str, error: Error) -> ActError {
    match error {
        Error::Api(status) if status.code == 429 => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let by_budget: Vec<&str> =
                causes.filter(|cause| cause.reason == "DisruptionBudget").map(|cause| cause.message.as_str()).collect();
            match by_budget[..] {
                [] => ActError::Unreachable { cause: status.message },
                _ => ActError::Refused {
                    service: service.into(),
                    reason: format!("{} {}", status.message, by_budget.join("; ")),
                },
            }
        }
        error => failed(service, error),
    }
}

async fn resize(
    pods: &Api<Pod>,
    workloads: &Api<DynamicObject>,
    writer: &Writer,
    found: &Found,
    permit: &Permit,
    fence: Fence<'_>,
    factor: f64,
) -> Result<(), ActError> {
    let service = permit.service().as_str();
    let refuse = |reason: String| ActError::Refused { service: service.into(), reason };
    if found.pods.len() > RESIZED_MAX {
        return Err(refuse(format!("{} pods are more than the {RESIZED_MAX} that are resized", found.pods.len())));
    }
    let name = found.object.name_any();
    let workload = retried(|| workloads.get(&name)).await.map_err(|error| failed(service, error))?;
    let template = cpu_of_template(&workload);
    if template.is_empty() {
        return Err(refuse("its template asks for no CPU".into()));
    }
    let patch = Patch::Strategic(resources(&template, factor));
    let written = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let dry = PatchParams { dry_run: true, ..written.clone() };
    let names: Vec<String> = found.pods.iter().map(|pod| pod.name_any()).collect();
    let gone = |error: &Error| matches!(error, Error::Api(status) if status.code == 404);
    for pod in &names {
        match retried(|| pods.patch_resize(pod, &dry, &patch)).await {
            Err(error) if !gone(&error) => return Err(failed(service, error)),
            _ => {}
        }
    }
    writer.write(&found.lever, permit, fence).await?;
    for pod in &names {
        match retried(|| pods.patch_resize(pod, &written, &patch)).await {
            // Those before it have it, and all give it back at the deadline.
            Err(error) if !gone(&error) => return Err(failed(service, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Gives every pod of a workload the CPU that its template says. One that is gone needs none.
pub async fn as_the_template_says(client: &Client, name: &str, workload: &DynamicObject) -> Result<(), ActError> {
    let template = cpu_of_template(workload);
    let labels = workload.data["spec"]["selector"]["matchLabels"].as_object();
    let Some(labels) = labels.filter(|labels| !labels.is_empty() && !template.is_empty()) else { return Ok(()) };
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let api = Api::<Pod>::namespaced(client.clone(), &workload.namespace().unwrap_or_default());
    let selected = ListParams::default().labels(&labels.join(","));
    let pods = retried(|| api.list(&selected)).await.map_err(|error| failed(name, error))?;
    let patch = Patch::Strategic(resources(&template, 1.0));
    let written = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    for pod in pods.items.iter().map(ResourceExt::name_any) {
        match retried(|| api.patch_resize(&pod, &written, &patch)).await {
            Err(Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(failed(name, error)),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// CPU by container: requests and limits, in thousandths of a core.
type Cpu = BTreeMap<String, BTreeMap<&'static str, i128>>;

fn cpu_of_template(workload: &DynamicObject) -> Cpu {
    let containers = workload.data["spec"]["template"]["spec"]["containers"].as_array();
    let of = |container: &Value| {
        let stated = |kind: &'static str| Some((kind, milli(container["resources"][kind]["cpu"].as_str()?)?));
        let cpu: BTreeMap<_, _> = ["requests", "limits"].into_iter().filter_map(stated).collect();
        Some((container["name"].as_str()?.to_owned(), cpu)).filter(|(_, cpu)| !cpu.is_empty())
    };
    containers.into_iter().flatten().filter_map(of).collect()
}

/// The strategic merge patch that gives each container so many times its CPU.
fn resources(cpu: &Cpu, factor: f64) -> Value {
    let container = |(name, cpu): (&String, &BTreeMap<&str, i128>)| {
        let mut resources = Map::new();
        for (kind, milli) in cpu {
            let lent = (*milli as f64 * factor).round() as i128;
            resources.insert((*kind).to_owned(), json!({"cpu": format!("{lent}m")}));
        }
        json!({"name": name, "resources": resources})
    };
    json!({"spec": {"containers": cpu.iter().map(container).collect::<Vec<_>>()}})
}

fn created(pod: &Pod) -> Time {
    let at = pod.metadata.creation_timestamp.as_ref();
    at.map(|at| Time(i64::try_from(at.0.as_nanosecond()).unwrap_or(i64::MAX))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_budget_refuses_and_a_busy_server_is_only_busy() {
        let answer = |cause: Option<&str>| {
            let causes: Vec<Value> =
                cause.into_iter().map(|message| json!({"reason": "DisruptionBudget", "message": message})).collect();
            let details = serde_json::from_value(json!({"causes": causes})).unwrap();
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            Error::Api(Box::new(Status {
                details: Some(details),
                ..Status::failure(message, "TooManyRequests").with_code(429)
            }))
        };
        let said = refused("auth", answer(Some("The disruption budget auth needs 2 healthy pods and has 2 currently")));
        let reason = "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget auth needs \
                      2 healthy pods and has 2 currently";
        assert_eq!(said, ActError::Refused { service: "auth".into(), reason: reason.into() });
        assert!(matches!(refused("auth", answer(None)), ActError::Unreachable { .. }));
    }

    #[test]
    fn each_container_that_states_cpu_gets_the_factor_of_it() {
        let mut workload = DynamicObject::new("auth", &kube::api::ApiResource::erase::<Pod>(&()));
        workload.data = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "web", "resources": {"requests": {"cpu": "150m", "memory": "1Gi"}, "limits": {"cpu": "1"}}},
            {"name": "log", "resources": {}},
        ]}}}});
        let cpu = cpu_of_template(&workload);
        let web = |requests: &str, limits: &str| {
            json!({"spec": {"containers": [
                {"name": "web", "resources": {"limits": {"cpu": limits}, "requests": {"cpu": requests}}},
            ]}})
        };
        assert_eq!(resources(&cpu, 1.5), web("225m", "1500m"));
        assert_eq!(resources(&cpu, 1.0), web("150m", "1000m"), "as the template says");
    }
}
