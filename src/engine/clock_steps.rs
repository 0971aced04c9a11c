//! What the cluster wrote down before all clocks stepped: it goes on showing those times, and they are read by today's.

use std::collections::BTreeMap;

use crate::model::{ClockStep, ClusterState, InterventionId, ServiceId};

/// By service and, of a pod, its name. Those that the cluster no longer shows are forgotten.
#[derive(Debug, Default)]
pub(super) struct ClockSteps {
    pods: BTreeMap<(ServiceId, String), ClockStep>,
    records: BTreeMap<(ServiceId, InterventionId), ClockStep>,
}

impl ClockSteps {
    /// Everything that the cluster shows was written before the step.
    pub fn take(&mut self, step: ClockStep, cluster: &ClusterState) {
        fn add<K: Ord>(steps: &mut BTreeMap<K, ClockStep>, key: K, step: ClockStep) {
            let before = steps.entry(key).or_insert(ClockStep { seconds: 0 });
            before.seconds = before.seconds.saturating_add(step.seconds);
        }
        for workload in &cluster.workloads {
            let service = || workload.service.clone();
            for pod in workload.pods.iter().filter(|pod| pod.ready_at.is_some()) {
                add(&mut self.pods, (service(), pod.name.clone()), step);
            }
            for record in &workload.interventions {
                add(&mut self.records, (service(), record.id), step);
            }
        }
    }

    /// The state with those times moved; None where it shows none of them. A pod's time of creation stays: with its
    /// name it is the pod's identity.
    pub fn restamp(&mut self, cluster: &ClusterState) -> Option<ClusterState> {
        if self.pods.is_empty() && self.records.is_empty() {
            return None;
        }
        let mut state = cluster.clone();
        let (mut pods, mut records) = (BTreeMap::new(), BTreeMap::new());
        for workload in &mut state.workloads {
            for pod in &mut workload.pods {
                let key = (workload.service.clone(), pod.name.clone());
                if let Some(step) = self.pods.get(&key) {
                    step.move_all(&mut pod.ready_at);
                    pods.insert(key, *step);
                }
            }
            for record in &mut workload.interventions {
                let key = (workload.service.clone(), record.id);
                if let Some(step) = self.records.get(&key) {
                    step.move_all([&mut record.applied_at, &mut record.deadline]);
                    records.insert(key, *step);
                }
            }
        }
        (self.pods, self.records) = (pods, records);
        Some(state)
    }
}
