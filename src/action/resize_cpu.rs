//! Resizing CPU: every pod is lent so many times the CPU of its template, for a time.
//!
//! Own bounds: the owner lets pods be resized; never less than the template says, never more than the configured factor.
//! Promise: none; it is given back at its deadline, whatever it did. A factor of 1 is that return.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Action, Argument, Call, Change, ChangeSpec, Criterion, DoneSpec, Limits, Pace, Request, Sight, Slot, Spec, Step,
    Target,
};
use crate::model::{Details, InterventionRecord, ServiceId, Time, Workload};

pub(super) const KIND: &str = "resized_cpu";

/// How long pods keep the CPU where a rule does not say: as long as most bursts last.
const LASTING_S: f64 = 300.0;

/// `resize_cpu(service, factor).for_duration(…)`
pub(super) static CALL: Call = Call {
    name: "resize_cpu",
    argument: Argument::Number,
    takes_replicas: false,
    build: |Request { service, number, lasting_s, .. }| {
        let factor = number.filter(|factor| factor.is_finite() && *factor > 0.0);
        let factor = factor.ok_or("its factor is no number above 0")?;
        Ok(Action::ResizeCpu(ResizeCpu { service, factor, lasting_s: lasting_s.unwrap_or(LASTING_S) }))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResizeCpu {
    pub service: ServiceId,
    pub factor: f64,
    pub lasting_s: f64,
}

impl ResizeCpu {
    fn is_return(&self) -> bool {
        self.factor == 1.0
    }
}

impl Spec for ResizeCpu {
    fn name(&self) -> &'static str {
        "resize_cpu"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Workload(self.service.clone())
    }

    fn describe(&self) -> String {
        match self.is_return() {
            true => format!("give the pods of {} the CPU of their template again", self.service),
            false => format!("lend the pods of {} {} times their CPU", self.service, self.factor),
        }
    }

    fn preference(&self) -> (u8, u32) {
        (1, 0)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Cpu)
    }

    fn sight(&self) -> Sight {
        Sight::Arriving
    }

    fn pace(&self) -> Pace {
        if self.is_return() { Pace::Return } else { Pace::Pods }
    }

    /// A return where nothing is lent.
    fn is_moot(&self, workload: &Workload) -> bool {
        self.is_return() && Slot::Cpu.open(workload).is_none()
    }

    fn owner_objects(&self, workload: &Workload) -> Option<String> {
        let forbidden = !workload.terms.resizable && !self.is_return();
        forbidden.then(|| "its owner does not let its pods be resized".into())
    }

    /// A scaling may be open beside it: CPU helps the pods that are there while others come.
    fn waits_for(&self) -> &'static [Slot] {
        if self.is_return() { &[] } else { &[Slot::Pods, Slot::Cpu] }
    }

    fn bounds(&self, _: &Workload, limits: &Limits) -> Result<Option<String>, String> {
        if self.factor < 1.0 {
            return Err("less CPU than the template says is never lent".into());
        }
        let (factor, most) = (self.factor, limits.resize_factor_max);
        Ok((factor > most).then(|| format!("asked for {factor} times the CPU, cut to {most}: the most that is lent")))
    }

    fn at_stake(&self, workload: &Workload) -> u32 {
        workload.replicas
    }

    fn change(&self, _: &Workload, _: Step, record: InterventionRecord, limits: &Limits) -> Option<Change> {
        let factor = self.factor.min(limits.resize_factor_max);
        let lasting = Duration::try_from_secs_f64(self.lasting_s).unwrap_or(limits.resize_lasting_max);
        let deadline = record.applied_at + lasting.min(limits.resize_lasting_max);
        let record = InterventionRecord { details: ResizedCpu { factor }.write(), deadline, ..record };
        Some(Change::ResizeCpu(CpuResize { service: self.service.clone(), factor, record }))
    }
}

/// The resize of all pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CpuResize {
    pub service: ServiceId,
    /// Times the CPU of the template.
    pub factor: f64,
    pub record: InterventionRecord,
}

const RETURNED: &str = "its pods have the CPU of their template again";

impl ChangeSpec for CpuResize {
    fn record(&self) -> &InterventionRecord {
        &self.record
    }

    fn from(&self) -> u32 {
        self.record.replicas_before
    }

    fn describe(&self) -> String {
        if self.factor > 1.0 { format!("its pods were lent {} times their CPU", self.factor) } else { RETURNED.into() }
    }

    fn under_way(&self, _: Time) -> String {
        match self.factor > 1.0 {
            true => format!("its pods have {} times their CPU until {}", self.factor, self.record.deadline),
            false => RETURNED.into(),
        }
    }
}

/// As it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizedCpu {
    pub factor: f64,
}

impl ResizedCpu {
    pub(super) fn read(details: &Details) -> Option<ResizedCpu> {
        Some(ResizedCpu { factor: details.fields.get("factor")?.as_f64()? })
    }

    fn write(&self) -> Option<Details> {
        let fields = [("factor".to_owned(), self.factor.into())].into_iter().collect();
        Some(Details { kind: KIND.into(), fields })
    }
}

impl DoneSpec for ResizedCpu {
    fn slot(&self) -> Slot {
        Slot::Cpu
    }

    fn criterion(&self, _: &InterventionRecord) -> Criterion {
        if self.factor > 1.0 { Criterion::Held } else { Criterion::Returned(RETURNED.into()) }
    }

    fn describe(&self, _: &InterventionRecord) -> String {
        format!("pods with {} times their CPU", self.factor)
    }

    fn at_stake(&self, _: &InterventionRecord, replicas: u32) -> u32 {
        replicas
    }

    fn give_back(&self, service: &ServiceId, record: &InterventionRecord) -> Option<(Action, String)> {
        let because =
            format!("{} times their CPU was lent to the pods of {service} until {}", self.factor, record.deadline);
        let action = ResizeCpu { service: service.clone(), factor: 1.0, lasting_s: 0.0 };
        Some((Action::ResizeCpu(action), because))
    }

    fn is_return(&self, _: &InterventionRecord) -> bool {
        self.factor <= 1.0
    }
}
