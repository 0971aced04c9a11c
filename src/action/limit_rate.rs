//! Limiting the rate of one entry operation at the front door, to a number that a rule gives.
//!
//! Own bounds: the owner of the service that the entry operation begins at lets its traffic be shaped, and no more than
//! [`RATES_MAX`] of its entry operations are limited. Each is held by a record of its own, until its own deadline. Promise: none; it
//! ends then, whatever it did. Nothing has to be given back: without its record the limit is gone.

use serde::{Deserialize, Serialize};

use super::shed::{LASTING_S, deadline, owner_objects};
use super::{
    Action, Argument, Call, Change, ChangeSpec, Criterion, Done, DoneSpec, Limits, Pace, Request, Sight, Slot, Spec,
    Step, Target,
};
use crate::model::{Details, InterventionRecord, ServiceId, Time, Workload};

pub(super) const KIND: &str = "limited_rate";

/// Entry operations of one service that are limited side by side: each is a record on the object, which may carry 256 KiB of them
/// and of all else. Who has to limit more means the service, which `shed` does.
const RATES_MAX: usize = 32;

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

    /// That of the same entry operation: those of others hold beside it.
    fn replaces<'w>(&self, workload: &'w Workload) -> Option<&'w InterventionRecord> {
        let entry = self.entry();
        open(workload).find_map(|(record, open)| (open.entry == entry).then_some(record))
    }

    /// The same limit is in force.
    fn is_moot(&self, workload: &Workload) -> bool {
        open(workload).any(|(_, open)| open.entry == self.entry() && open.per_s == self.per_s)
    }

    fn bounds(&self, workload: &Workload, _: &Limits) -> Result<Option<String>, String> {
        let limited = open(workload).count();
        if limited >= RATES_MAX && self.replaces(workload).is_none() {
            let service = &self.service;
            return Err(format!(
                "{limited} endpoints of {service} are limited already; shed({service}) limits all that cross it"
            ));
        }
        Ok(None)
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

/// The limits that are open.
fn open(workload: &Workload) -> impl Iterator<Item = (&InterventionRecord, LimitedRate)> {
    workload.interventions.iter().filter_map(|record| match Done::of(record)? {
        Done::LimitedRate(open) => Some((record, open)),
        Done::Scaled
        | Done::RaisedFloor(_)
        | Done::RestartedPod(_)
        | Done::ResizedCpu(_)
        | Done::Shed(_)
        | Done::ShiftedWeight(_) => None,
    })
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

    fn part(&self) -> &str {
        &self.entry
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
