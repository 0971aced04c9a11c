//! Limiting the rate of one entry operation at the front door, to a number that a rule gives.
//!
//! Own bounds: the owner of the service that the entry operation begins at lets its traffic be shaped. Promise: none; it
//! ends at its deadline, whatever it did. Nothing has to be given back: without its record the limit is gone.

use serde::{Deserialize, Serialize};

use super::shed::{LASTING_S, deadline, owner_objects};
use super::{
    Action, Argument, Call, Change, ChangeSpec, Criterion, DoneSpec, Limits, Pace, Request, Sight, Slot, Spec, Step,
    Target,
};
use crate::model::{Details, InterventionRecord, ServiceId, Time, Workload};

pub(super) const KIND: &str = "limited_rate";

/// `limit_rate(entry, per_s).for_duration(…)`
pub(super) static CALL: Call = Call {
    name: "limit_rate",
    argument: Argument::Number,
    takes_replicas: false,
    build: |Request { service: entry, number, lasting_s, .. }| {
        let per_s = number.filter(|per_s| per_s.is_finite() && *per_s > 0.0);
        let per_s = per_s.ok_or("its rate is no number above 0")?;
        let (service, route) =
            entry.as_str().split_once(' ').ok_or("it names no entry operation: write the service and its operation")?;
        let (service, route) = (ServiceId::from(service), route.to_owned());
        Ok(Action::LimitRate(LimitRate { service, route, per_s, lasting_s: lasting_s.unwrap_or(LASTING_S) }))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitRate {
    /// That the entry operation begins at.
    pub service: ServiceId,
    /// Its operation: `GET /video/{id}`.
    pub route: String,
    pub per_s: f64,
    pub lasting_s: f64,
}

impl LimitRate {
    fn entry(&self) -> String {
        format!("{} {}", self.service, self.route)
    }
}

impl Spec for LimitRate {
    fn name(&self) -> &'static str {
        "limit_rate"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Route { service: self.service.clone(), route: self.route.clone() }
    }

    fn describe(&self) -> String {
        format!("let in {} requests/s of {}", self.per_s, self.entry())
    }

    fn preference(&self) -> (u8, u32) {
        (3, 0)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Rate)
    }

    fn sight(&self) -> Sight {
        Sight::Arriving
    }

    fn pace(&self) -> Pace {
        Pace::Traffic
    }

    /// The same limit is in force.
    fn is_moot(&self, workload: &Workload) -> bool {
        let open = Slot::Rate.open(workload).and_then(|record| LimitedRate::read(record.details.as_ref()?));
        open.is_some_and(|open| open.entry == self.entry() && open.per_s == self.per_s)
    }

    fn owner_objects(&self, workload: &Workload) -> Option<String> {
        owner_objects(workload)
    }

    fn change(&self, _: &Workload, _: Step, record: InterventionRecord, limits: &Limits) -> Option<Change> {
        let deadline = deadline(&record, self.lasting_s, limits);
        let (entry, per_s) = (self.entry(), self.per_s);
        let details = LimitedRate { entry: entry.clone(), per_s }.write();
        let record = InterventionRecord { details, deadline, ..record };
        Some(Change::LimitRate(RateLimit { service: self.service.clone(), entry, per_s, record }))
    }
}

/// The record that limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    pub service: ServiceId,
    pub entry: String,
    pub per_s: f64,
    pub record: InterventionRecord,
}

impl ChangeSpec for RateLimit {
    fn record(&self) -> &InterventionRecord {
        &self.record
    }

    fn from(&self) -> u32 {
        self.record.replicas_before
    }

    fn describe(&self) -> String {
        format!("{} was limited to {} requests/s", self.entry, self.per_s)
    }

    fn under_way(&self, _: Time) -> String {
        format!("{} is limited to {} requests/s until {}", self.entry, self.per_s, self.record.deadline)
    }
}

/// As it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitedRate {
    pub entry: String,
    pub per_s: f64,
}

impl LimitedRate {
    pub(super) fn read(details: &Details) -> Option<LimitedRate> {
        let entry = details.fields.get("entry")?.as_str()?.to_owned();
        let per_s = details.fields.get("per_s")?.as_f64()?;
        Some(LimitedRate { entry, per_s })
    }

    fn write(&self) -> Option<Details> {
        let fields = [("entry".to_owned(), self.entry.clone().into()), ("per_s".to_owned(), self.per_s.into())];
        Some(Details { kind: KIND.into(), fields: fields.into_iter().collect() })
    }
}

impl DoneSpec for LimitedRate {
    fn slot(&self) -> Slot {
        Slot::Rate
    }

    fn criterion(&self, _: &InterventionRecord) -> Criterion {
        Criterion::RunsOut
    }

    fn describe(&self, _: &InterventionRecord) -> String {
        format!("{} limited to {} requests/s", self.entry, self.per_s)
    }

    fn at_stake(&self, _: &InterventionRecord, _: u32) -> u32 {
        0
    }
}
