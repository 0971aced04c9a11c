//! Services that no cluster scales, named by the operator: traffic to them is shaped at the gateways that ask, and nothing
//! else is done. Records live in memory: with this process its limits end, as gateways let everything in then.

use super::{ActError, Cluster};
use crate::action::{self, Change};
use crate::clock::Clock;
use crate::guard::Permit;
use crate::model::{ClusterState, Pod, ServiceId, Terms, Time, Workload};

pub struct Fixed {
    clock: Clock,
    workloads: Vec<Workload>,
}

impl Fixed {
    /// Each service with the names of its instances, which were there before anybody asked.
    pub fn new(services: &[(ServiceId, Vec<String>)], clock: Clock) -> Fixed {
        let since = Time(0);
        let workload = |(service, instances): &(ServiceId, Vec<String>)| {
            let pod = |name: &String| Pod { name: name.clone(), created_at: since, ready_at: Some(since) };
            let replicas = u32::try_from(instances.len()).unwrap_or(u32::MAX);
            Workload {
                service: service.clone(),
                replicas,
                min_replicas: replicas,
                max_replicas: replicas,
                resource_version: 1,
                pods: instances.iter().map(pod).collect(),
                terms: Terms { shapeable: true, ..Terms::default() },
                ..Workload::default()
            }
        };
        let mut workloads: Vec<Workload> = services.iter().map(workload).collect();
        workloads.sort_by(|a, b| a.service.cmp(&b.service));
        Fixed { clock, workloads }
    }

    fn change(&mut self, change: &Change, resource_version: u64) -> Result<(), ActError> {
        let service = change.service();
        let found = self.workloads.iter_mut().find(|workload| workload.service == *service);
        let workload = found.ok_or_else(|| ActError::NotFound { service: service.to_string() })?;
        let conflict = || ActError::Conflict { service: service.to_string() };
        if workload.resource_version != resource_version {
            return Err(conflict());
        }
        if let Change::Close { intervention, .. } = change {
            if !action::remove(&mut workload.interventions, *intervention) {
                return Err(conflict());
            }
        } else if let Some(record) = change.record().filter(|_| change.is_of_traffic()) {
            // The record alone: gateways go by limits that follow from it.
            action::put(&mut workload.interventions, record.clone());
        } else {
            let reason = format!("nothing moves the replicas of {service}: it is listed under cluster.fixed");
            return Err(ActError::Refused { service: service.to_string(), reason });
        }
        workload.resource_version += 1;
        Ok(())
    }
}

impl Cluster for Fixed {
    async fn state(&mut self) -> Result<ClusterState, ActError> {
        Ok(ClusterState { at: self.clock.now(), workloads: self.workloads.clone() })
    }

    async fn apply(&mut self, permit: &Permit) -> Result<(), ActError> {
        self.change(permit.change(), permit.resource_version())
    }
}
