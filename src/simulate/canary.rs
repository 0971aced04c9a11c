//! A release beside what runs: pods of its own, and a route that splits the requests between both by weight.

use super::pods::{Pod, Version};
use super::random::Key;
use super::simulation::Simulation;
use crate::model::{Backend, Route};

/// What the owner of such a route lets be moved at once, as a share of its requests.
const STEP_MAX: f64 = 0.5;

/// The release, and how requests are split.
pub(super) struct Canary {
    /// Index into the workload's versions; what it stands beside is the one before.
    pub version: usize,
    pub pods: Vec<usize>,
    /// Of the workload's own pods, and of these.
    pub weights: [u32; 2],
    /// Its pods serve, so that the route sends them their share.
    pub is_routed: bool,
}

impl Canary {
    /// Which of the serving pods a request may go to: those of the version that its number falls to.
    pub fn candidates(&self, serving: &[usize], pods: &[Pod], key: Key) -> Vec<usize> {
        let [own, canary] = if self.is_routed { self.weights } else { [1, 0] };
        let is_canary = key.child(13).uniform() * f64::from(own + canary) >= f64::from(own);
        serving.iter().copied().filter(|&pod| (pods[pod].version == self.version) == is_canary).collect()
    }
}

impl Simulation {
    /// A version gets as many pods as the others have, and its share of the requests once they serve.
    pub(super) fn release_beside(&mut self, service: usize, version: Version, percent: u32) {
        let workload = &mut self.workloads[service];
        workload.versions.push(version);
        workload.resource_version += 1;
        let (version, count) = (workload.versions.len() - 1, workload.replicas);
        let weights = [100 - percent.min(100), percent.min(100)];
        workload.canary = Some(Canary { version, pods: Vec::new(), weights, is_routed: false });
        for _ in 0..count {
            let pod = self.create_pod(service, version);
            if let Some(canary) = &mut self.workloads[service].canary {
                canary.pods.push(pod);
            }
        }
        self.place_pending();
    }

    pub(super) fn is_of_canary(&self, pod: usize) -> bool {
        let Pod { service, version, .. } = self.pods[pod];
        self.workloads[service].canary.as_ref().is_some_and(|canary| canary.version == version)
    }

    /// One of its pods became ready.
    pub(super) fn route_canary(&mut self, service: usize) {
        let pods = &self.pods;
        let workload = &mut self.workloads[service];
        if let Some(canary) = workload.canary.as_mut().filter(|canary| !canary.is_routed) {
            canary.is_routed = canary.pods.iter().all(|&pod| pods[pod].ready.is_some());
            workload.resource_version += u64::from(canary.is_routed);
        }
    }

    /// The route, as headroom sees it where its owner lets it be moved.
    pub(super) fn route(&self, service: usize) -> Option<Route> {
        let workload = &self.workloads[service];
        let canary = workload.canary.as_ref().filter(|canary| canary.is_routed && self.scenario.shaping)?;
        let name = &self.scenario.services[service].name;
        let backend = |(version, weight): (usize, u32)| {
            let version = workload.versions[version].name.clone();
            Backend { name: format!("{name}-{version}"), version, weight }
        };
        let own = canary.version - 1;
        Some(Route {
            name: format!("route to {name}"),
            backends: [own, canary.version].into_iter().zip(canary.weights).map(backend).collect(),
            resource_version: workload.resource_version,
            step_max: STEP_MAX,
            least_share: 0.0,
            held: None,
        })
    }

    /// Sets the weights; whether they were those that the change was decided on.
    pub(super) fn shift(&mut self, service: usize, from: &[(String, u32)], to: &[(String, u32)]) -> bool {
        let now = self.route(service).map(|route| route.weights());
        let numbers = |weights: &[(String, u32)]| weights.iter().map(|(_, weight)| *weight).collect::<Vec<u32>>();
        let (Some(canary), Ok(weights)) = (&mut self.workloads[service].canary, numbers(to).try_into()) else {
            return false;
        };
        let is_as_decided = now.is_some_and(|now| now == numbers(from));
        if is_as_decided {
            canary.weights = weights;
        }
        is_as_decided
    }
}
