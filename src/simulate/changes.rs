//! What the outside may do to the cluster: read its state, and apply one change of a workload.

use super::measures::Restart;
use super::pods::{Pod, Workload};
use super::simulation::Simulation;
use crate::action::{self, Change, CpuResize, Eviction, Scaling};
use crate::guard::ActError;
use crate::model::{self, ClusterState, ServiceId, Terms, Time};

impl Simulation {
    pub(super) fn service_id(&self, service: usize) -> ServiceId {
        ServiceId::new("", &self.scenario.namespace, &self.scenario.services[service].name)
    }

    fn time(&self, ns: i64) -> Time {
        Time(self.start.0 + ns)
    }

    /// What is running. Pods that terminate are left out, as headroom leaves them out on Kubernetes.
    pub fn state(&self) -> ClusterState {
        let pod = |&p: &usize| model::Pod {
            name: self.pods[p].name.clone(),
            created_at: self.time(self.pods[p].created),
            ready_at: self.pods[p].ready.map(|at| self.time(at)),
        };
        let workload = |(index, workload): (usize, &Workload)| model::Workload {
            service: self.service_id(index),
            replicas: workload.replicas,
            min_replicas: self.scenario.services[index].min_replicas,
            max_replicas: self.scenario.services[index].max_replicas,
            autoscaler: None,
            resource_version: workload.resource_version,
            pods: workload.pods.iter().filter(|p| self.pods[**p].alive() && !self.is_of_canary(**p)).map(pod).collect(),
            interventions: workload.interventions.clone(),
            held: None,
            terms: Terms { resizable: true, shapeable: self.scenario.shaping, ..Terms::default() },
            routes: self.route(index).into_iter().collect(),
        };
        let mut workloads: Vec<model::Workload> = self.workloads.iter().enumerate().map(workload).collect();
        workloads.sort_by(|a, b| a.service.cmp(&b.service));
        ClusterState { at: self.now(), workloads }
    }

    /// One atomic write: the change and the record of its intervention, or nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown service. `Conflict` when the workload is no longer at `resource_version` (so that
    /// the same change twice is done once), when the pod to restart is gone, and when the intervention to close is not
    /// the one recorded.
    pub fn apply(&mut self, change: &Change, resource_version: u64) -> Result<(), ActError> {
        let service = change.service();
        let index = (0..self.workloads.len())
            .find(|&s| self.service_id(s) == *service)
            .ok_or_else(|| ActError::NotFound { service: service.to_string() })?;
        let conflict = || ActError::Conflict { service: service.to_string() };
        if self.workloads[index].resource_version != resource_version {
            return Err(conflict());
        }
        match change {
            Change::Scale(Scaling { to, .. }) => self.workloads[index].replicas = *to,
            Change::RestartPod(Eviction { pod, created_at, .. }) => {
                let pod = self.living_pod(index, pod, *created_at).ok_or_else(conflict)?;
                self.restart(pod);
            }
            Change::ResizeCpu(CpuResize { factor, .. }) => self.lend_cpu(index, *factor),
            // The record alone: the ingress goes by limits that follow from it.
            Change::Shed(_) | Change::LimitRate(_) => {}
            Change::ShiftWeight(shift) => {
                if !self.shift(index, &shift.from, &shift.to) {
                    return Err(conflict());
                }
            }
            Change::Close { intervention, .. } => {
                if !action::remove(&mut self.workloads[index].interventions, *intervention) {
                    return Err(conflict());
                }
            }
        }
        let workload = &mut self.workloads[index];
        if let Some(record) = change.record() {
            action::put(&mut workload.interventions, record.clone());
        }
        workload.resource_version += 1;
        self.reconcile(index);
        Ok(())
    }

    fn living_pod(&self, service: usize, name: &str, created_at: Time) -> Option<usize> {
        let is_it = |&p: &usize| {
            let pod = &self.pods[p];
            pod.alive() && pod.name == name && self.time(pod.created) == created_at
        };
        self.workloads[service].pods.iter().copied().find(is_it)
    }

    /// An eviction: the pod drains, and its controller puts another in its place.
    fn restart(&mut self, pod: usize) {
        let Pod { service, ref name, slowness, .. } = self.pods[pod];
        self.ledger.restarted(Restart {
            at_s: self.now as f64 / 1e9,
            service: self.scenario.services[service].name.clone(),
            pod: name.clone(),
            was_bad: slowness > 1.0,
        });
        self.drain(pod);
    }

    /// Lends CPU to the pods that are there, or takes it back; those that come later have what their template says.
    fn lend_cpu(&mut self, service: usize, factor: f64) {
        for index in 0..self.workloads[service].pods.len() {
            let pod = self.workloads[service].pods[index];
            if self.pods[pod].alive() {
                self.pods[pod].lend_cpu(self.scenario.services[service].pods, factor, self.now);
                self.schedule_shared(pod);
            }
        }
    }

    /// Orders replicas directly, for the references.
    pub(super) fn order(&mut self, service: usize, replicas: u32) {
        self.workloads[service].replicas = replicas;
        self.workloads[service].resource_version += 1;
        self.reconcile(service);
    }
}
