//! Restarting a pod: it is evicted, and its controller puts another in its place.
//!
//! Own bounds: never the last ready pod, never a second one while another is coming, never against a disruption budget.
//! Promise: the successor serves like its siblings. It cannot be given back.

use serde::{Deserialize, Serialize};

use super::{
    Action, Argument, Call, Change, ChangeSpec, Criterion, DoneSpec, Limits, Pace, Request, Sight, Slot, Spec, Step,
    Target,
};
use crate::model::{Details, InterventionRecord, ServiceId, Time, Workload};

pub(super) const KIND: &str = "restarted_pod";

/// `restart_pod(service, pod)`
pub(super) static CALL: Call = Call {
    name: "restart_pod",
    argument: Argument::TextOrUnit,
    takes_replicas: false,
    build: |Request { service, text, .. }| {
        let pod = text.ok_or("the verdict names no pod")?;
        Ok(Action::RestartPod(RestartPod { service, pod }))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestartPod {
    pub service: ServiceId,
    pub pod: String,
}

impl Spec for RestartPod {
    fn name(&self) -> &'static str {
        "restart_pod"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Pod { service: self.service.clone(), pod: self.pod.clone() }
    }

    fn describe(&self) -> String {
        format!("restart pod {} of {}", self.pod, self.service)
    }

    fn preference(&self) -> (u8, u32) {
        (2, 0)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Pods)
    }

    fn sight(&self) -> Sight {
        Sight::Arriving
    }

    fn pace(&self) -> Pace {
        Pace::Pods
    }

    fn is_moot(&self, workload: &Workload) -> bool {
        !workload.pods.iter().any(|one| one.name == self.pod)
    }

    /// Whatever changes the replicas or the pods must be over: a pod less while others are coming, or a pod that is slow
    /// because they are, is no time to take one away.
    fn waits_for(&self) -> &'static [Slot] {
        &[Slot::Replicas, Slot::Pods, Slot::Cpu]
    }

    /// While a callee is slow or a burst is worked off, one healthy pod is slower than the others.
    fn needs_sole_cause(&self) -> bool {
        true
    }

    fn bounds(&self, workload: &Workload, _: &Limits) -> Result<Option<String>, String> {
        let others = workload.pods.iter().filter(|one| one.name != self.pod);
        let (ready, coming): (Vec<_>, Vec<_>) = others.partition(|one| one.ready_at.is_some());
        if ready.is_empty() {
            return Err(format!("{} is its last Ready pod", self.pod));
        }
        if !coming.is_empty() || ready.len() as u32 + 1 < workload.replicas {
            return Err("not all of its other pods are ready; it loses no further one".into());
        }
        workload.terms.eviction_blocked_by.clone().map_or(Ok(None), Err)
    }

    fn at_stake(&self, _: &Workload) -> u32 {
        1
    }

    fn change(&self, workload: &Workload, _: Step, record: InterventionRecord, _: &Limits) -> Option<Change> {
        let created_at = workload.pods.iter().find(|one| one.name == self.pod)?.created_at;
        let details = RestartedPod { pod: self.pod.clone(), created_at }.write();
        let record = InterventionRecord { details, ..record };
        Some(Change::RestartPod(Eviction { service: self.service.clone(), pod: self.pod.clone(), created_at, record }))
    }
}

/// The eviction of one pod. A name may come again: the time of creation tells them apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eviction {
    pub service: ServiceId,
    pub pod: String,
    pub created_at: Time,
    pub record: InterventionRecord,
}

impl ChangeSpec for Eviction {
    fn record(&self) -> &InterventionRecord {
        &self.record
    }

    fn from(&self) -> u32 {
        self.record.replicas_before
    }

    fn describe(&self) -> String {
        format!("pod {} was restarted", self.pod)
    }

    fn under_way(&self, at: Time) -> String {
        format!("pod {} was evicted at {at}; another one takes its place", self.pod)
    }
}

/// As it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestartedPod {
    pub pod: String,
    pub created_at: Time,
}

impl RestartedPod {
    pub(super) fn read(details: &Details) -> Option<RestartedPod> {
        let pod = details.fields.get("pod")?.as_str()?.to_owned();
        Some(RestartedPod { pod, created_at: Time(details.fields.get("created_at")?.as_i64()?) })
    }

    fn write(&self) -> Option<Details> {
        let fields = [("pod".to_owned(), self.pod.clone().into()), ("created_at".to_owned(), self.created_at.0.into())];
        Some(Details { kind: KIND.into(), fields: fields.into_iter().collect() })
    }
}

impl DoneSpec for RestartedPod {
    fn slot(&self) -> Slot {
        Slot::Pods
    }

    fn criterion(&self, _: &InterventionRecord) -> Criterion {
        Criterion::PodsAlike { pod: self.pod.clone(), created_at: self.created_at }
    }

    fn describe(&self, _: &InterventionRecord) -> String {
        format!("pod {} to be restarted", self.pod)
    }

    fn at_stake(&self, _: &InterventionRecord, _: u32) -> u32 {
        1
    }
}
