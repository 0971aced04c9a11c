//! Which service a workload serves. What the operator wrote goes first, then the pods that spans come from
//! (`k8s.pod.name`), then the label `app.kubernetes.io/name`, and last what was found before.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::DynamicObject;

use super::objective::ServiceObjective;
use crate::analyse::PodsWithSpans;
use crate::model::ServiceId;

const NAME_LABEL: &str = "app.kubernetes.io/name";

/// The services that spans name, and by which pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    services: BTreeSet<ServiceId>,
    by_pod: BTreeMap<String, BTreeSet<ServiceId>>,
}

impl Seen {
    pub fn new<'a>(services: impl Iterator<Item = &'a ServiceId>, pods: &'a PodsWithSpans) -> Seen {
        let mut by_pod = BTreeMap::<String, BTreeSet<ServiceId>>::new();
        for (service, names) in pods {
            for name in names {
                by_pod.entry(name.clone()).or_default().insert(service.clone());
            }
        }
        Seen { services: services.chain(pods.keys()).cloned().collect(), by_pod }
    }

    /// The service that goes by this name, whole or by its last part. Of several that of the namespace.
    fn named(&self, name: &str, namespace: &str) -> Option<&ServiceId> {
        let whole = self.services.get(name);
        let mut last: Vec<&ServiceId> = self.services.iter().filter(|service| service.name() == name).collect();
        if last.len() > 1 {
            last.retain(|service| in_namespace(service, namespace));
        }
        whole.or_else(|| last.first().copied().filter(|_| last.len() == 1))
    }
}

fn in_namespace(service: &ServiceId, namespace: &str) -> bool {
    let mut parts = service.as_str().rsplit('/');
    parts.nth(1) == Some(namespace)
}

/// # Errors
/// A sentence with cause and remedy where it cannot be told.
pub fn service(
    objective: &ServiceObjective,
    workload: &DynamicObject,
    pods: &BTreeSet<&str>,
    seen: &Seen,
) -> Result<ServiceId, String> {
    let namespace = objective.namespace().unwrap_or_default();
    if let Some(name) = &objective.spec.service {
        return Ok(seen.named(name, &namespace).cloned().unwrap_or_else(|| name.as_str().into()));
    }
    let claims: BTreeSet<&ServiceId> = pods.iter().filter_map(|pod| seen.by_pod.get(*pod)).flatten().collect();
    // Pods of StatefulSets have the same names in every namespace.
    let here = |service: &&ServiceId| claims.len() == 1 || in_namespace(service, &namespace);
    let claims: Vec<&ServiceId> = claims.iter().copied().filter(here).collect();
    match claims[..] {
        [] => {}
        [one] => return Ok(one.clone()),
        _ => return Err(format!("its pods send spans of {} services; name one in spec.service", claims.len())),
    }
    let label = workload.labels().get(NAME_LABEL);
    let by_label = label.and_then(|name| seen.named(name, &namespace)).cloned();
    let before = objective.status.as_ref().and_then(|status| status.service.as_deref()).map(ServiceId::from);
    by_label.or(before).ok_or_else(|| {
        format!(
            "no span names a pod of it (k8s.pod.name), and no service is called as its label {NAME_LABEL} says; \
             add the k8sattributes processor to the Collector, or name the service in spec.service"
        )
    })
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;

    use super::*;
    use crate::act::kubernetes::objective::{ServiceObjectiveSpec, ServiceObjectiveStatus};

    fn seen() -> Seen {
        let pods = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let of =
            [("shop/auth", pods(&["auth-1", "db-0"])), ("lab/auth", pods(&["auth-9", "db-0"])), ("web", pods(&[]))];
        let by_service: PodsWithSpans = of.into_iter().map(|(service, pods)| (service.into(), pods)).collect();
        Seen::new([].into_iter(), &by_service)
    }

    fn mapped(
        service: Option<&str>,
        before: Option<&str>,
        label: Option<&str>,
        pods: &[&str],
    ) -> Result<String, String> {
        let spec: ServiceObjectiveSpec =
            serde_json::from_value(serde_json::json!({"target": {"name": "x"}, "maxReplicas": 3, "service": service}))
                .unwrap();
        let mut objective = ServiceObjective::new("x", spec);
        objective.metadata.namespace = Some("shop".into());
        objective.status =
            Some(ServiceObjectiveStatus { service: before.map(str::to_owned), ..ServiceObjectiveStatus::default() });
        let mut workload = DynamicObject::new("x", &ApiResource::erase::<ServiceObjective>(&()));
        workload.metadata.labels = label.map(|label| [(NAME_LABEL.to_owned(), label.to_owned())].into());
        super::service(&objective, &workload, &pods.iter().copied().collect(), &seen()).map(|s| s.to_string())
    }

    #[test]
    fn what_is_written_goes_first_then_pods_then_the_label_then_what_was_before() {
        assert_eq!(mapped(Some("lab/auth"), None, None, &["auth-1"]).unwrap(), "lab/auth");
        assert_eq!(mapped(Some("auth"), None, None, &[]).unwrap(), "shop/auth", "that of its namespace");
        assert_eq!(mapped(Some("new"), None, None, &[]).unwrap(), "new", "no span of it yet");
        assert_eq!(mapped(None, Some("web"), Some("web"), &["auth-1"]).unwrap(), "shop/auth");
        assert_eq!(mapped(None, None, None, &["db-0"]).unwrap(), "shop/auth", "the same pod name in two namespaces");
        assert_eq!(mapped(None, Some("shop/auth"), Some("web"), &["x-1"]).unwrap(), "web");
        assert_eq!(mapped(None, Some("shop/auth"), None, &[]).unwrap(), "shop/auth");
        assert!(mapped(None, None, Some("y"), &["x-1"]).unwrap_err().starts_with("no span names a pod of it"));
    }
}
