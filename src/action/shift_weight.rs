//! Moving weight of a route away from a version of the service behind it, step by step, and giving it back the same way.
//!
//! Own bounds: routes whose owners let their weights be moved, by their step, down to the share that each backend keeps.
//! Promise: the service holds nobody back any more. The weights that the owner had are recorded on the route with the first step, and
//! given back in such steps at the deadline; what another hand writes meanwhile stays.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::weights;
use super::{
    Action, Argument, Call, Change, ChangeSpec, Criterion, Done, DoneSpec, Limits, Pace, Request, Sight, Slot, Spec,
    Step, Target,
};
use crate::model::{Details, InterventionRecord, Route, ServiceId, Time, Workload};

pub(super) const KIND: &str = "shifted_weight";

/// How long weight is kept away where a rule does not say: long enough for people to take the release back.
const LASTING_S: f64 = 1800.0;

/// A route that is written for less flaps: telemetry tells of a step after some seconds.
const LASTING_MIN_S: f64 = 10.0;

/// Between two steps back: what a step brings is seen in some seconds, and a cause that comes again is answered again.
const STEP_BACK: Duration = Duration::from_secs(20);

/// `shift_weight(service, version).for_duration(…)`
pub(super) static CALL: Call = Call {
    name: "shift_weight",
    argument: Argument::TextOrUnit,
    takes_replicas: false,
    build: |Request { service, text, lasting_s, .. }| {
        let away_from = text.filter(|version| !version.is_empty()).ok_or("the verdict names no version")?;
        Ok(Action::ShiftWeight(ShiftWeight { service, away_from, lasting_s: lasting_s.unwrap_or(LASTING_S) }))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftWeight {
    pub service: ServiceId,
    /// The version that gets fewer requests.
    pub away_from: String,
    pub lasting_s: f64,
}

impl ShiftWeight {
    /// Routes with a backend of that version, and others beside it.
    fn routes<'w>(&self, workload: &'w Workload) -> impl Iterator<Item = &'w Route> {
        let has = |route: &&Route| {
            let is_of = |version: &str| version == self.away_from;
            route.backends.iter().any(|one| is_of(&one.version))
                && !route.backends.iter().all(|one| is_of(&one.version))
        };
        workload.routes.iter().filter(has)
    }

    /// The route that sends it the largest share of those that may be moved, and the weights after a step.
    fn pick<'w>(&self, workload: &'w Workload) -> Option<(&'w Route, Vec<u32>)> {
        let movable = self.routes(workload).filter(|route| route.held.is_none());
        let steps = movable.filter_map(|route| Some((route, weights::away(route, &self.away_from)?)));
        let share = |route: &Route| route.share_of(&self.away_from);
        steps.max_by(|(a, _), (b, _)| share(a).total_cmp(&share(b)).then_with(|| b.name.cmp(&a.name)))
    }
}

impl Spec for ShiftWeight {
    fn name(&self) -> &'static str {
        "shift_weight"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Route { service: self.service.clone(), route: format!("version {}", self.away_from) }
    }

    fn describe(&self) -> String {
        format!("send fewer requests to version {} of {}", self.away_from, self.service)
    }

    /// It helps within seconds, and takes nothing from anybody.
    fn preference(&self) -> (u8, u32) {
        (5, 0)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Weight)
    }

    fn sight(&self) -> Sight {
        Sight::Arriving
    }

    fn pace(&self) -> Pace {
        Pace::Weights
    }

    fn replaces<'w>(&self, workload: &'w Workload) -> Option<&'w InterventionRecord> {
        let (route, _) = self.pick(workload)?;
        open(workload, &route.name).map(|(record, _)| record)
    }

    /// It gets no more than its least share already.
    fn is_moot(&self, workload: &Workload) -> bool {
        let mut free = self.routes(workload).filter(|route| route.held.is_none()).peekable();
        free.peek().is_some() && free.all(|route| weights::is_at_least(route, &self.away_from))
    }

    fn owner_objects(&self, workload: &Workload) -> Option<String> {
        let (service, version) = (&self.service, &self.away_from);
        if workload.routes.is_empty() {
            return Some(format!("no RouteObjective lets the weights of a route to {service} be moved"));
        }
        let mut routes = self.routes(workload).peekable();
        if routes.peek().is_none() {
            return Some(format!("no route to {service} splits requests between version {version} and another"));
        }
        // One that may be moved is enough.
        let reasons: Option<Vec<&str>> = routes.map(|route| route.held.as_deref()).collect();
        reasons.map(|reasons| reasons.join("; "))
    }

    fn bounds(&self, workload: &Workload, limits: &Limits) -> Result<Option<String>, String> {
        if self.lasting_s < LASTING_MIN_S {
            return Err(format!(
                "weight is kept away for {LASTING_MIN_S} s at least, and {} s were asked for",
                self.lasting_s
            ));
        }
        if self.pick(workload).is_none() {
            return Err(format!("no other version than {} gets requests now that could get more", self.away_from));
        }
        // Its pods are those that serve what is taken from the version.
        if workload.ready() == 0 {
            return Err("none of its pods is ready to take the requests".into());
        }
        let (asked, most) = (self.lasting_s, limits.shift_lasting_max.as_secs_f64());
        Ok((asked > most)
            .then(|| format!("asked for {asked} s, cut to {most} s: weight is kept away no longer at once")))
    }

    fn change(&self, workload: &Workload, _: Step, record: InterventionRecord, limits: &Limits) -> Option<Change> {
        let (route, weights) = self.pick(workload)?;
        let lasting = Duration::try_from_secs_f64(self.lasting_s).unwrap_or(limits.shift_lasting_max);
        let deadline = record.applied_at + lasting.min(limits.shift_lasting_max);
        // A further step remembers what the owner had before the first.
        let before =
            open(workload, &route.name).map_or_else(|| named(route, &route.weights()), |(_, open)| open.before);
        let (away_from, after) = (self.away_from.clone(), named(route, &weights));
        let done = ShiftedWeight { route: route.name.clone(), away_from, before, after, is_return: false };
        Some(written(&self.service, route, done, InterventionRecord { deadline, ..record }))
    }
}

/// One step back on one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReturnWeight {
    pub service: ServiceId,
    pub route: String,
}

impl Spec for ReturnWeight {
    fn name(&self) -> &'static str {
        "return_weight"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Route { service: self.service.clone(), route: self.route.clone() }
    }

    fn describe(&self) -> String {
        format!("give {} the weights of its owner again, step by step", self.route)
    }

    fn preference(&self) -> (u8, u32) {
        (0, 0)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Weight)
    }

    fn sight(&self) -> Sight {
        Sight::Unneeded
    }

    fn pace(&self) -> Pace {
        Pace::Return
    }

    fn replaces<'w>(&self, workload: &'w Workload) -> Option<&'w InterventionRecord> {
        open(workload, &self.route).map(|(record, _)| record)
    }

    /// Nothing of it is held.
    fn is_moot(&self, workload: &Workload) -> bool {
        self.replaces(workload).is_none()
    }

    fn owner_objects(&self, workload: &Workload) -> Option<String> {
        workload.route(&self.route)?.held.clone()
    }

    fn change(&self, workload: &Workload, _: Step, record: InterventionRecord, _: &Limits) -> Option<Change> {
        let route = workload.route(&self.route)?;
        let (_, open) = open(workload, &self.route)?;
        let before = open.weights_before(route)?;
        let weights = weights::back(&route.weights(), &before, route.step_max);
        let deadline = record.applied_at + STEP_BACK;
        // In the order of now: its owner may name the backends in another one than at the first step.
        let (before, after) = (named(route, &before), named(route, &weights));
        let done = ShiftedWeight { before, after, is_return: true, ..open };
        Some(written(&self.service, route, done, InterventionRecord { deadline, ..record }))
    }
}

fn written(service: &ServiceId, route: &Route, done: ShiftedWeight, record: InterventionRecord) -> Change {
    Change::ShiftWeight(Box::new(WeightShift {
        service: service.clone(),
        route: route.name.clone(),
        from: named(route, &route.weights()),
        to: done.after.clone(),
        record: InterventionRecord { details: done.write(), ..record },
    }))
}

/// The open intervention on a route.
fn open<'w>(workload: &'w Workload, route: &str) -> Option<(&'w InterventionRecord, ShiftedWeight)> {
    let shifted = |record: &'w InterventionRecord| match Done::of(record)? {
        Done::ShiftedWeight(done) if done.route == route => Some((record, done)),
        Done::Scaled
        | Done::RaisedFloor(_)
        | Done::RestartedPod(_)
        | Done::ResizedCpu(_)
        | Done::Shed(_)
        | Done::LimitedRate(_)
        | Done::ShiftedWeight(_) => None,
    };
    workload.interventions.iter().find_map(shifted)
}

/// Backends by name, with a weight each.
pub type Weights = Vec<(String, u32)>;

fn named(route: &Route, weights: &[u32]) -> Weights {
    route.backends.iter().map(|backend| backend.name.clone()).zip(weights.iter().copied()).collect()
}

/// For people: `content-v1 75, content-v2 25`.
pub fn in_words(weights: &Weights) -> String {
    let one = |(name, weight): &(String, u32)| format!("{name} {weight}");
    weights.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The weights of one route, all in one write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightShift {
    pub service: ServiceId,
    pub route: String,
    /// What was decided on: where it is otherwise, nothing is written.
    pub from: Weights,
    pub to: Weights,
    pub record: InterventionRecord,
}

impl ChangeSpec for WeightShift {
    fn record(&self) -> &InterventionRecord {
        &self.record
    }

    fn from(&self) -> u32 {
        self.record.replicas_before
    }

    fn describe(&self) -> String {
        format!("weights of {} were set to {}", self.route, in_words(&self.to))
    }

    fn under_way(&self, _: Time) -> String {
        format!(
            "{} splits requests by {}; before this step by {}",
            self.route,
            in_words(&self.to),
            in_words(&self.from)
        )
    }
}

/// As it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ShiftedWeight {
    pub route: String,
    pub away_from: String,
    /// What the owner had before the first step.
    pub before: Weights,
    pub after: Weights,
    /// A step back.
    pub is_return: bool,
}

impl ShiftedWeight {
    pub(super) fn read(details: &Details) -> Option<ShiftedWeight> {
        let text = |key: &str| Some(details.fields.get(key)?.as_str()?.to_owned());
        let weights = |key: &str| -> Option<Weights> {
            let of = details.fields.get(key)?.as_array()?.iter();
            of.map(|one| Some((one[0].as_str()?.to_owned(), u32::try_from(one[1].as_u64()?).ok()?))).collect()
        };
        Some(ShiftedWeight {
            route: text("route")?,
            away_from: text("away_from")?,
            before: weights("before")?,
            after: weights("after")?,
            is_return: details.fields.get("is_return").and_then(Value::as_bool).unwrap_or_default(),
        })
    }

    pub(super) fn write(&self) -> Option<Details> {
        let weights =
            |of: &Weights| -> Value { of.iter().map(|(name, weight)| serde_json::json!([name, weight])).collect() };
        let mut fields = Map::new();
        fields.insert("route".into(), self.route.clone().into());
        fields.insert("away_from".into(), self.away_from.clone().into());
        fields.insert("before".into(), weights(&self.before));
        fields.insert("after".into(), weights(&self.after));
        if self.is_return {
            fields.insert("is_return".into(), true.into());
        }
        Some(Details { kind: KIND.into(), fields })
    }

    /// The weights to give back, by the backends of now; None where those are others.
    fn weights_before(&self, route: &Route) -> Option<Vec<u32>> {
        let of = |name: &str| self.before.iter().find(|(of, _)| of == name).map(|(_, weight)| *weight);
        route.backends.iter().map(|backend| of(&backend.name)).collect()
    }

    /// Nothing of it is held any more.
    fn is_over(&self) -> bool {
        self.is_return && self.after == self.before
    }
}

impl DoneSpec for ShiftedWeight {
    fn slot(&self) -> Slot {
        Slot::Weight
    }

    fn part(&self) -> &str {
        &self.route
    }

    fn criterion(&self, _: &InterventionRecord) -> Criterion {
        match self.is_return {
            true if self.is_over() => Criterion::Returned(format!("{} has the weights of its owner again", self.route)),
            true => Criterion::Held,
            false => Criterion::Relieved,
        }
    }

    fn describe(&self, _: &InterventionRecord) -> String {
        format!("{} by {}, away from version {}", self.route, in_words(&self.after), self.away_from)
    }

    fn at_stake(&self, _: &InterventionRecord, _: u32) -> u32 {
        0
    }

    fn give_back(&self, service: &ServiceId, record: &InterventionRecord) -> Option<(Action, String)> {
        let because = match self.is_return {
            true => format!("{} goes back to the weights of its owner", self.route),
            false => format!("{} was kept away from version {} until {}", self.route, self.away_from, record.deadline),
        };
        Some((Action::ReturnWeight(ReturnWeight { service: service.clone(), route: self.route.clone() }), because))
    }

    fn is_return(&self, _: &InterventionRecord) -> bool {
        self.is_return
    }

    fn overruled(&self, workload: &Workload) -> Option<String> {
        let route = workload.route(&self.route)?;
        let (now, sorted) = (named(route, &route.weights()), |weights: &Weights| {
            let mut weights = weights.clone();
            weights.sort();
            weights
        });
        let is_other = sorted(&now) != sorted(&self.after);
        is_other.then(|| format!("another hand set the weights of {} to {}", self.route, in_words(&now)))
    }

    fn may_go_further(&self, workload: &Workload) -> bool {
        let route = workload.route(&self.route).filter(|route| route.held.is_none());
        route.is_some_and(|route| weights::away(route, &self.away_from).is_some())
    }

    fn is_out_of_sight(&self, workload: &Workload) -> bool {
        workload.route(&self.route).is_none()
    }
}
