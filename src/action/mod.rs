//! What headroom can do, one file an action.
//!
//! An action's file holds all that is its own: the target, how rules call it, the gates it asks for beside the common
//! ones, the change it makes, what it records on the object, the criterion by which it is judged, how it is given back,
//! and its sentences. The enums here list the actions; every `match` over them is in this file. A new action is a file,
//! an entry in the lists, and code in those places that know clusters.

mod call;
mod criterion;
mod gates;
pub mod limit_rate;
pub mod notify;
pub mod raise_floor;
pub mod resize_cpu;
pub mod restart_pod;
pub mod scale;
pub mod shed;
pub mod shift_weight;
mod slot;
mod target;
mod weights;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{InterventionId, InterventionRecord, ServiceId, Time, Workload};

pub use call::{Argument, Call, Request};
pub use criterion::Criterion;
pub use gates::{Limits, Pace, Sight, Step};
pub use limit_rate::{LimitRate, LimitedRate, RateLimit};
pub use notify::Notify;
pub use raise_floor::{RaiseFloor, RaisedFloor};
pub use resize_cpu::{CpuResize, ResizeCpu, ResizedCpu};
pub use restart_pod::{Eviction, RestartPod, RestartedPod};
pub use scale::{ScaleIn, ScaleOut, Scaling};
pub use shed::{Shed, ShedTraffic, Shedding};
pub use shift_weight::{ReturnWeight, ShiftWeight, ShiftedWeight, WeightShift};
pub use slot::{Place, Slot, put, remove};
pub use target::Target;

/// What a proposal asks for. Replicas are absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", remote = "Self")]
pub enum Action {
    ScaleOut(ScaleOut),
    ScaleIn(ScaleIn),
    RaiseFloor(RaiseFloor),
    RestartPod(RestartPod),
    ResizeCpu(ResizeCpu),
    Shed(Shed),
    LimitRate(LimitRate),
    ShiftWeight(ShiftWeight),
    ReturnWeight(ReturnWeight),
    Notify(Notify),
}

/// What rules call.
pub static CALLS: [&Call; 8] = [
    &scale::SCALE_OUT,
    &scale::SCALE_IN,
    &restart_pod::CALL,
    &resize_cpu::CALL,
    &shed::CALL,
    &limit_rate::CALL,
    &shift_weight::CALL,
    &notify::CALL,
];

/// What each action says of itself.
trait Spec {
    /// As rules, tables and journals have it.
    fn name(&self) -> &'static str;
    fn service(&self) -> &ServiceId;
    fn target(&self) -> Target;
    /// In the infinitive: `restart pod auth-1 of auth`.
    fn describe(&self) -> String;
    /// Of several for one target the larger goes first.
    fn preference(&self) -> (u8, u32);
    /// None: it touches nothing and passes no gate.
    fn slot(&self) -> Option<Slot>;
    fn sight(&self) -> Sight;
    fn pace(&self) -> Pace;

    /// The replicas it asks for, where it scales.
    fn replicas_asked(&self) -> Option<u32> {
        None
    }

    /// The replicas that it says the load needs.
    fn need(&self) -> Option<u32> {
        None
    }

    /// The open intervention whose place it takes.
    fn replaces<'w>(&self, workload: &'w Workload) -> Option<&'w InterventionRecord> {
        self.slot()?.open(workload)
    }

    /// It asks for nothing that is not so already.
    fn is_moot(&self, _workload: &Workload) -> bool {
        false
    }

    /// Why the owner does not let it be done.
    fn owner_objects(&self, _workload: &Workload) -> Option<String> {
        None
    }

    /// Open interventions of these slots must end first.
    fn waits_for(&self) -> &'static [Slot] {
        &[]
    }

    /// It takes its target for the cause: it is refused while something else was found to hold requests back lately.
    fn needs_sole_cause(&self) -> bool {
        false
    }

    /// Its own bounds, beside those of replicas: what it was cut down to, as a note, or why it may not be.
    fn bounds(&self, _workload: &Workload, _limits: &Limits) -> Result<Option<String>, String> {
        Ok(None)
    }

    /// Replicas that it puts at stake, where it does not scale.
    fn at_stake(&self, _workload: &Workload) -> u32 {
        0
    }

    /// What is to be written. `record` is that of a plain scaling; None where the object shows no more what it was
    /// decided on.
    fn change(&self, workload: &Workload, step: Step, record: InterventionRecord, limits: &Limits) -> Option<Change>;
}

impl Action {
    fn spec(&self) -> &dyn Spec {
        match self {
            Action::ScaleOut(action) => action,
            Action::ScaleIn(action) => action,
            Action::RaiseFloor(action) => action,
            Action::RestartPod(action) => action,
            Action::ResizeCpu(action) => action,
            Action::Shed(action) => action,
            Action::LimitRate(action) => action,
            Action::ShiftWeight(action) => action,
            Action::ReturnWeight(action) => action,
            Action::Notify(action) => action,
        }
    }

    /// As rules, tables and journals have it: `scale_out`.
    pub fn name(&self) -> &'static str {
        self.spec().name()
    }

    pub fn service(&self) -> &ServiceId {
        self.spec().service()
    }

    pub fn target(&self) -> Target {
        self.spec().target()
    }

    /// In the infinitive: `restart pod auth-1 of auth`.
    pub fn describe(&self) -> String {
        self.spec().describe()
    }

    /// Of several for one target the larger goes first.
    pub fn preference(&self) -> (u8, u32) {
        self.spec().preference()
    }

    /// None: it touches nothing and passes no gate.
    pub fn slot(&self) -> Option<Slot> {
        self.spec().slot()
    }

    /// What must be seen before it is done.
    pub fn sight(&self) -> Sight {
        self.spec().sight()
    }

    /// How it is paced.
    pub fn pace(&self) -> Pace {
        self.spec().pace()
    }

    /// The replicas it asks for, where it scales.
    pub fn replicas_asked(&self) -> Option<u32> {
        self.spec().replicas_asked()
    }

    /// The replicas that it says the load needs.
    pub fn need(&self) -> Option<u32> {
        self.spec().need()
    }

    /// It is refused while something else was found to hold requests back lately.
    pub fn needs_sole_cause(&self) -> bool {
        self.spec().needs_sole_cause()
    }

    /// The open intervention whose place it takes.
    pub fn replaces<'w>(&self, workload: &'w Workload) -> Option<&'w InterventionRecord> {
        self.spec().replaces(workload)
    }

    /// It asks for nothing that is not so already.
    pub fn is_moot(&self, workload: &Workload) -> bool {
        self.spec().is_moot(workload)
    }

    /// Why the owner does not let it be done.
    pub fn owner_objects(&self, workload: &Workload) -> Option<String> {
        self.spec().owner_objects(workload)
    }

    /// The open intervention that must end first.
    pub fn waits_for<'a>(&self, workload: &'a Workload) -> Option<&'a InterventionRecord> {
        self.spec().waits_for().iter().find_map(|slot| slot.open(workload))
    }

    /// Its own bounds, beside those of replicas: what it was cut down to, as a note, or why it may not be.
    pub fn bounds(&self, workload: &Workload, limits: &Limits) -> Result<Option<String>, String> {
        self.spec().bounds(workload, limits)
    }

    /// Replicas that it puts at stake, where it does not scale.
    pub fn at_stake(&self, workload: &Workload) -> u32 {
        self.spec().at_stake(workload)
    }

    /// What is to be written; None where the object shows no more what it was decided on.
    pub fn change(
        &self,
        workload: &Workload,
        step: Step,
        record: InterventionRecord,
        limits: &Limits,
    ) -> Option<Change> {
        self.spec().change(workload, step, record, limits)
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Action::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Action, D::Error> {
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        // What 0.1.0 called it.
        if let Some(name) = fields.remove("wish") {
            fields.insert("action".into(), name);
        }
        Action::deserialize(serde_json::Value::Object(fields)).map_err(serde::de::Error::custom)
    }
}

/// What is to change. Absolute values, so that doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Set replicas and, in the same write, record the intervention on the object.
    Scale(Scaling),
    /// Take a pod away through the eviction API, and record that on the workload before.
    RestartPod(Eviction),
    /// Give every pod so many times the CPU of its template, recorded on the workload before.
    ResizeCpu(CpuResize),
    /// Record that requests are shed: those who keep limits go by the record.
    Shed(Shedding),
    /// Record that the rate of an entry operation is limited.
    LimitRate(RateLimit),
    /// Set the weights of a route and, in the same write, record the intervention on it.
    ShiftWeight(Box<WeightShift>),
    /// The intervention has come to its end: remove its record, leave the rest.
    Close { service: ServiceId, intervention: InterventionId },
}

/// What a change was made of.
trait ChangeSpec {
    fn record(&self) -> &InterventionRecord;
    /// Replicas before it.
    fn from(&self) -> u32;
    /// For people, in the past: `pod auth-1 was restarted`.
    fn describe(&self) -> String;
    /// What is under way once it was written at `at`.
    fn under_way(&self, at: Time) -> String;
}

impl Change {
    /// It changes what gateways let in, and nothing that runs.
    pub fn is_of_traffic(&self) -> bool {
        match self {
            Change::Shed(_) | Change::LimitRate(_) => true,
            Change::Scale(_)
            | Change::RestartPod(_)
            | Change::ResizeCpu(_)
            | Change::ShiftWeight(_)
            | Change::Close { .. } => false,
        }
    }

    fn spec(&self) -> Option<&dyn ChangeSpec> {
        match self {
            Change::Scale(change) => Some(change),
            Change::RestartPod(change) => Some(change),
            Change::ResizeCpu(change) => Some(change),
            Change::Shed(change) => Some(change),
            Change::LimitRate(change) => Some(change),
            Change::ShiftWeight(change) => Some(&**change),
            Change::Close { .. } => None,
        }
    }

    pub fn service(&self) -> &ServiceId {
        match self {
            Change::Scale(change) => &change.service,
            Change::RestartPod(change) => &change.service,
            Change::ResizeCpu(change) => &change.service,
            Change::Shed(change) => &change.service,
            Change::LimitRate(change) => &change.service,
            Change::ShiftWeight(change) => &change.service,
            Change::Close { service, .. } => service,
        }
    }

    /// What is written on the object beside; None where a record is taken off.
    pub fn record(&self) -> Option<&InterventionRecord> {
        self.spec().map(ChangeSpec::record)
    }

    /// The slot that it changes, or whose record it takes off where that is known.
    pub fn slot(&self) -> Option<Slot> {
        self.record().and_then(Slot::of)
    }

    /// Replicas before it.
    pub fn from(&self) -> u32 {
        self.spec().map_or(0, ChangeSpec::from)
    }

    /// For people, in the past: `pod auth-1 was restarted`.
    pub fn describe(&self) -> String {
        self.spec().map_or_else(|| "record removed from the object; replicas unchanged".into(), |s| s.describe())
    }

    /// What is under way once it was written at `at`; None where nothing is.
    pub fn under_way(&self, at: Time) -> Option<String> {
        self.spec().map(|spec| spec.under_way(at))
    }
}

/// What was done, as the object records it.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Replicas were set; the record has them.
    Scaled,
    RaisedFloor(RaisedFloor),
    RestartedPod(RestartedPod),
    ResizedCpu(ResizedCpu),
    Shed(ShedTraffic),
    LimitedRate(LimitedRate),
    ShiftedWeight(ShiftedWeight),
}

/// What each says of what it did, by its record.
trait DoneSpec {
    fn slot(&self) -> Slot;

    /// What tells it apart from others of its slot that hold beside it.
    fn part(&self) -> &str {
        ""
    }

    fn criterion(&self, record: &InterventionRecord) -> Criterion;
    /// For people: `pod auth-1 to be restarted`.
    fn describe(&self, record: &InterventionRecord) -> String;
    /// Replicas at stake while it is open, beside those that were added.
    fn at_stake(&self, record: &InterventionRecord, replicas: u32) -> u32;

    /// The action that gives it back; None where nothing is to be given back.
    fn give_back(&self, _service: &ServiceId, _record: &InterventionRecord) -> Option<(Action, String)> {
        None
    }

    /// It gives back what was there of the same slot.
    fn is_return(&self, _record: &InterventionRecord) -> bool {
        false
    }

    /// The same action may still go further in the same direction.
    fn may_go_further(&self, _workload: &Workload) -> bool {
        false
    }

    /// What carries its record is not to be seen now, and may be again.
    fn is_out_of_sight(&self, _workload: &Workload) -> bool {
        false
    }

    /// Why it holds no more: another hand changed what it set.
    fn overruled(&self, _workload: &Workload) -> Option<String> {
        None
    }

    /// Until when the replicas after it are the least that may run.
    fn holds_floor_until(&self, _record: &InterventionRecord) -> Option<Time> {
        None
    }

    /// When what is held is given back.
    fn held_until(&self, record: &InterventionRecord) -> Time {
        self.holds_floor_until(record).unwrap_or(record.deadline)
    }
}

/// How a scaling is recorded that has something to tell.
pub fn scaled_kind() -> &'static str {
    scale::KIND
}

impl Done {
    /// Reads a record; None for one of a kind that this version does not know.
    pub fn of(record: &InterventionRecord) -> Option<Done> {
        let Some(details) = &record.details else { return Some(Done::Scaled) };
        match details.kind.as_str() {
            raise_floor::KIND => RaisedFloor::read(details).map(Done::RaisedFloor),
            restart_pod::KIND => RestartedPod::read(details).map(Done::RestartedPod),
            resize_cpu::KIND => ResizedCpu::read(details).map(Done::ResizedCpu),
            shed::KIND => Some(Done::Shed(ShedTraffic)),
            limit_rate::KIND => LimitedRate::read(details).map(Done::LimitedRate),
            shift_weight::KIND => ShiftedWeight::read(details).map(Done::ShiftedWeight),
            scale::KIND => Some(Done::Scaled),
            _ => None,
        }
    }

    fn spec(&self) -> &dyn DoneSpec {
        match self {
            Done::Scaled => &scale::Scaled,
            Done::RaisedFloor(done) => done,
            Done::RestartedPod(done) => done,
            Done::ResizedCpu(done) => done,
            Done::Shed(done) => done,
            Done::LimitedRate(done) => done,
            Done::ShiftedWeight(done) => done,
        }
    }

    pub fn slot(&self) -> Slot {
        self.spec().slot()
    }

    pub fn place(&self) -> Place {
        Place { slot: self.slot(), part: self.spec().part().to_owned() }
    }

    /// By what it is judged.
    pub fn criterion(&self, record: &InterventionRecord) -> Criterion {
        self.spec().criterion(record)
    }

    /// For people: `pod auth-1 to be restarted`.
    pub fn describe(&self, record: &InterventionRecord) -> String {
        self.spec().describe(record)
    }

    /// Replicas at stake while it is open, beside those that were added.
    pub fn at_stake(&self, record: &InterventionRecord, replicas: u32) -> u32 {
        self.spec().at_stake(record, replicas)
    }

    /// The action that gives it back, and why it does; None where nothing is to be given back.
    pub fn give_back(&self, service: &ServiceId, record: &InterventionRecord) -> Option<(Action, String)> {
        self.spec().give_back(service, record)
    }

    /// It gives back what was there of the same slot.
    pub fn is_return(&self, record: &InterventionRecord) -> bool {
        self.spec().is_return(record)
    }

    /// The same action may still go further in the same direction.
    pub fn may_go_further(&self, workload: &Workload) -> bool {
        self.spec().may_go_further(workload)
    }

    /// What carries its record is not to be seen now, and may be again.
    pub fn is_out_of_sight(&self, workload: &Workload) -> bool {
        self.spec().is_out_of_sight(workload)
    }

    /// Why it holds no more: another hand changed what it set, other than replicas.
    pub fn overruled(&self, workload: &Workload) -> Option<String> {
        self.spec().overruled(workload)
    }

    /// Until when the replicas after it are the least that may run; None where it holds no floor.
    pub fn holds_floor_until(&self, record: &InterventionRecord) -> Option<Time> {
        self.spec().holds_floor_until(record)
    }

    /// When what is held is given back. A floor's end is a time of the calendar, which no step of the clocks moves.
    pub fn held_until(&self, record: &InterventionRecord) -> Time {
        self.spec().held_until(record)
    }
}

#[cfg(test)]
mod tests;
