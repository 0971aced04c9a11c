//! Whose spans a resource's are: which attributes make a service's identity, under their current and their older names.
//! Source: OpenTelemetry semantic conventions.

use super::attributes::{Slots, Value, first, pair};
use crate::model::{Source, Utf8};

/// What `service.name` is when a resource has none, or how it begins (OpenTelemetry, "Resource SDK"): SDKs add the name
/// of the program.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// Who sent the spans: the columns that are the same for all spans of a resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resource<'a> {
    service: Value<'a>,
    service_namespace: Value<'a>,
    k8s_namespace: Value<'a>,
    pod: Value<'a>,
    instance: Value<'a>,
    host: Value<'a>,
    /// Deployment, rollout, stateful set, daemon set, in this order.
    workloads: [Value<'a>; 4],
    version: Value<'a>,
    cluster: Value<'a>,
    environment: Value<'a>,
    environment_old: Value<'a>,
    /// The name of a Job or a CronJob.
    job: Value<'a>,
}

impl<'a> Slots<'a> for Resource<'a> {
    fn slot(&mut self, key: Utf8<'_>) -> Option<&mut Value<'a>> {
        Some(match key.as_bytes() {
            b"service.name" => &mut self.service,
            b"service.namespace" => &mut self.service_namespace,
            b"service.version" => &mut self.version,
            b"service.instance.id" => &mut self.instance,
            b"host.name" => &mut self.host,
            b"k8s.pod.name" => &mut self.pod,
            b"k8s.namespace.name" => &mut self.k8s_namespace,
            b"k8s.cluster.name" => &mut self.cluster,
            // A Deployment's pods also carry their ReplicaSet's name, which changes with every release: not taken.
            b"k8s.deployment.name" => &mut self.workloads[0],
            b"k8s.rollout.name" => &mut self.workloads[1],
            b"k8s.statefulset.name" => &mut self.workloads[2],
            b"k8s.daemonset.name" => &mut self.workloads[3],
            b"k8s.cronjob.name" | b"k8s.job.name" => &mut self.job,
            b"deployment.environment.name" => &mut self.environment,
            b"deployment.environment" => &mut self.environment_old,
            _ => return None,
        })
    }
}

impl<'a> Resource<'a> {
    /// Its name; that of its workload where nobody named it, which groups its pods at least.
    pub fn service(&self) -> Utf8<'a> {
        let name = self.service.text();
        if !is_unknown(name) {
            return name;
        }
        first([self.workloads[0], self.workloads[1], self.workloads[2], self.workloads[3], self.job])
            .or(name)
            .or(UNKNOWN_SERVICE.into())
    }

    /// Whether nobody gave the service a name: a fault of its set-up.
    pub fn is_unnamed(&self) -> bool {
        is_unknown(self.service.text())
    }

    /// Whether it runs when a clock says so.
    pub fn is_job(&self) -> bool {
        !self.job.text().is_empty()
    }

    /// `scope` takes what is put together.
    pub fn source<'s>(&self, scope: &'s mut Vec<u8>) -> Source<'s>
    where
        'a: 's,
    {
        // The namespace its owner gave the service, else the one of Kubernetes it runs in.
        let namespace = first([self.service_namespace, self.k8s_namespace]);
        Source {
            service: self.service(),
            namespace,
            // What tells one instance of the service from its siblings.
            pod: first([self.pod, self.instance, self.host]),
            workload: first(self.workloads),
            version: self.version.text(),
            cluster: self.scope(namespace, scope),
        }
    }

    /// Where it runs, so that a service stays several where it runs several times: the cluster, the environment, and where
    /// no environment is named a namespace of Kubernetes that is not the service's own.
    fn scope<'s>(&self, namespace: Utf8<'a>, scope: &'s mut Vec<u8>) -> Utf8<'s>
    where
        'a: 's,
    {
        let cluster = self.cluster.text();
        let environment = first([self.environment, self.environment_old]);
        let other = self.k8s_namespace.text();
        let place = if environment.is_empty() && other != namespace { other } else { environment };
        if cluster.is_empty() { place } else { pair(cluster, place, scope) }
    }
}

fn is_unknown(service: Utf8<'_>) -> bool {
    match service.as_bytes().strip_prefix(UNKNOWN_SERVICE.as_bytes()) {
        Some(rest) => rest.is_empty() || rest[0] == b':',
        None => service.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Value<'static> {
        Value::Text(text.into())
    }

    #[test]
    fn a_resource_falls_back_to_what_kubernetes_says() {
        let mut resource = Resource::default();
        assert_eq!(resource.service(), UNKNOWN_SERVICE.into());
        for (key, value) in [("host.name", "h"), ("k8s.namespace.name", "shop"), ("k8s.statefulset.name", "db")] {
            resource.set(key.into(), text(value));
        }
        let mut scope = Vec::new();
        let source = resource.source(&mut scope);
        assert_eq!([source.pod, source.namespace, source.workload], ["h", "shop", "db"].map(Utf8::from));
        assert_eq!((source.service, resource.is_unnamed()), ("db".into(), true));
        resource.set("k8s.pod.name".into(), text("db-0"));
        resource.set("service.namespace".into(), text("store"));
        let source = resource.source(&mut scope);
        assert_eq!([source.pod, source.namespace], ["db-0", "store"].map(Utf8::from));
    }

    #[test]
    fn a_service_that_runs_several_times_stays_several() {
        let cluster = |attributes: &[(&str, &'static str)]| {
            let mut resource = Resource::default();
            attributes.iter().for_each(|(key, value)| resource.set((*key).into(), text(value)));
            resource.source(&mut Vec::new()).cluster.as_str().to_owned()
        };
        let all = [
            ("k8s.namespace.name", "shop-2"),
            ("service.namespace", "shop"),
            ("deployment.environment", "staging"),
            ("k8s.cluster.name", "eu"),
        ];
        assert_eq!(cluster(&all[..1]), "", "it is the service's namespace");
        assert_eq!(cluster(&all[..2]), "shop-2");
        assert_eq!(cluster(&all[..3]), "staging");
        assert_eq!(cluster(&all), "eu:staging");
        assert_eq!(cluster(&all[3..]), "eu");
    }

    #[test]
    fn what_nobody_named_is_unknown() {
        let unnamed = |name: &'static str| {
            let mut resource = Resource::default();
            resource.set("service.name".into(), text(name));
            (resource.is_unnamed(), resource.service().as_str().to_owned())
        };
        assert_eq!(unnamed(""), (true, "unknown_service".to_owned()));
        assert_eq!(unnamed("unknown_service:java"), (true, "unknown_service:java".to_owned()));
        assert_eq!(unnamed("unknown_services"), (false, "unknown_services".to_owned()));
    }
}
