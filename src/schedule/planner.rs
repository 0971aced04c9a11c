//! The plan in time: what the sources say now becomes floors, tick by tick.
//!
//! It holds what it was told when a source falls silent, takes back what is cancelled or moved, notices who does not
//! come, learns what participants load, and keeps account of what that costs. Nothing here asks a clock or a source.

mod courses;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::changes;
use super::event::{Planned, Problem, Problems, agreed};
use super::kinds::{Kind, kind_of};
use super::plan::{Inputs, Learned, Plan, Raised, Step, plan};
use super::settings::Settings;
use crate::analyse::{Carries, Demand, Findings, Learnt};
use crate::guard::Floor;
use crate::model::{ClusterState, Time};
use courses::{Course, Rates};

/// What the core is told of beforehand: enough for any start-up time, and no more than is worth a line of the journal.
const TOLD_AHEAD: Duration = Duration::from_secs(3_600);

/// What is planned of and shown.
const AHEAD: Duration = Duration::from_secs(14 * 86_400);

/// The usual load moves by minutes; so does the plan of what it is the ground of.
const REPLAN: Duration = Duration::from_secs(60);

/// Words on an event that is over for so long are forgotten: later ones on it are late beyond use.
const FORGET_AFTER: Duration = Duration::from_secs(86_400);

/// Events of one source that tells of them one by one.
const EVENTS_MAX: usize = 10_000;

/// Days whose cost is remembered.
const DAYS_KEPT: usize = 3;

/// Observations of a kind that are kept: the last ones tell, as courses change with the term.
const OBSERVED_KEPT: usize = 8;

const DAY_S: i64 = 86_400;

/// What is kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// By kind, of its last events: requests a second of each entry operation for each participant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<String, Vec<BTreeMap<String, f64>>>,
    /// The most that a pod of each service carried while objectives held, in Erlangs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub carried: BTreeMap<String, f64>,
    /// Replica-hours by day.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spent: BTreeMap<i64, f64>,
    /// By source, what it says of the next days: a feed that fails after a restart takes nothing back.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, Vec<Planned>>,
}

/// Events that are kept: of the next days, and so many of each source.
const KEPT_AHEAD: Duration = Duration::from_secs(2 * 86_400);
const KEPT_EVENTS_MAX: usize = 500;

impl Kept {
    pub fn is_empty(&self) -> bool {
        self.observed.is_empty() && self.carried.is_empty() && self.spent.is_empty() && self.events.is_empty()
    }

    /// As it lies in what was learnt; nothing where it is another version's.
    pub fn of(learnt: &Learnt) -> Kept {
        serde_json::from_value(learnt.planned.clone()).unwrap_or_default()
    }

    /// What participants of each kind load at most, of its last events.
    pub fn learned(&self) -> Learned {
        let most = |observed: &Vec<BTreeMap<String, f64>>| {
            let mut most: BTreeMap<String, f64> = BTreeMap::new();
            for (entry, per) in observed.iter().flatten() {
                let known = most.entry(entry.clone()).or_default();
                *known = known.max(*per);
            }
            most
        };
        self.observed.iter().map(|(kind, observed)| (kind.clone(), most(observed))).collect()
    }

    /// Pods of which none was seen at its limit carry at least the most that they were seen to carry well.
    pub fn improve(&self, demand: &mut Demand) {
        for (service, carried) in &self.carried {
            if let Some(known) = demand.services.get_mut(service) {
                known.carries = match known.carries {
                    Some(Carries::AtLeast(usual)) => Some(Carries::AtLeast(usual.max(*carried))),
                    None => Some(Carries::AtLeast(*carried)).filter(|_| *carried > 0.0),
                    at_limit @ Some(Carries::AtLimit(_)) => at_limit,
                };
            }
        }
    }
}

/// What a source said last.
#[derive(Clone, Debug, Default)]
struct Source {
    name: String,
    events: Vec<Planned>,
    problems: Vec<Problem>,
    /// In this life; until then it is what an earlier one heard.
    is_heard: bool,
}

pub struct Planner {
    settings: Settings,
    kinds: Vec<Kind>,
    /// In the order that they were named in: of equal words the first holds.
    sources: Vec<Source>,
    /// What was learnt last, and what holds while events go on: what their capacity was made of does not change under them.
    demand: Demand,
    in_force: Demand,
    kept: Kept,
    /// By event, of those that are raised or go on.
    courses: BTreeMap<String, Course>,
    rates: Rates,
    plan: Plan,
    problems: Problems,
    floors: Vec<Floor>,
    /// Whether the core was told of floors in this life.
    is_told: bool,
    planned_at: Option<Time>,
    is_changed: bool,
    last_tick: Option<Time>,
}

impl Planner {
    pub fn new(settings: Settings, kinds: Vec<Kind>, sources: &[&str]) -> Planner {
        Planner {
            settings,
            kinds,
            sources: sources.iter().map(|name| Source { name: (*name).to_owned(), ..Source::default() }).collect(),
            demand: Demand::default(),
            in_force: Demand::default(),
            kept: Kept::default(),
            courses: BTreeMap::new(),
            rates: Rates::default(),
            plan: Plan::default(),
            problems: Problems::default(),
            floors: Vec::new(),
            is_told: false,
            planned_at: None,
            is_changed: true,
            last_tick: None,
        }
    }

    /// All that a source says now, in place of what it said before.
    pub fn hear(&mut self, source: &str, events: Vec<Planned>, problems: Vec<Problem>) {
        let said = Source { name: source.to_owned(), events, problems, is_heard: true };
        match self.sources.iter_mut().find(|known| known.name == source) {
            Some(known) => {
                self.is_changed |= (&known.events, &known.problems) != (&said.events, &said.problems);
                *known = said;
            }
            None => {
                self.sources.push(said);
                self.is_changed = true;
            }
        }
    }

    /// What hinders a source that was never read: it says nothing of its events, so that what an earlier life heard holds.
    pub fn hear_problems(&mut self, source: &str, problems: Vec<Problem>) {
        if let Some(known) = self.sources.iter_mut().find(|known| known.name == source) {
            self.is_changed |= known.problems != problems;
            known.problems = problems;
        }
    }

    /// What a source says of some events, beside what it said of others: the later word on each holds, and words on what
    /// is over are forgotten.
    pub fn hear_of(&mut self, now: Time, source: &str, said: Vec<Planned>) {
        let known = self.sources.iter().find(|known| known.name == source);
        let mut events: BTreeMap<String, Planned> = BTreeMap::new();
        for event in known.map(|known| known.events.clone()).unwrap_or_default().into_iter().chain(said) {
            let is_later = events.get(&event.id).is_none_or(|held| held.revision < event.revision);
            if is_later && event.ends.max(event.starts) + FORGET_AFTER > now {
                events.insert(event.id.clone(), event);
            }
        }
        let mut events: Vec<Planned> = events.into_values().collect();
        events.sort_by_key(|event| event.starts);
        events.truncate(EVENTS_MAX);
        self.hear(source, events, Vec::new());
    }

    /// What was learnt of the system lately.
    pub fn learn(&mut self, demand: Demand) {
        self.demand = demand;
        self.kept.improve(&mut self.demand);
    }

    pub fn keep(&self, now: Time) -> Kept {
        let of = |source: &Source| {
            let soon = source.events.iter().filter(|event| event.meets(now, now + KEPT_AHEAD));
            (source.name.clone(), soon.take(KEPT_EVENTS_MAX).cloned().collect::<Vec<_>>())
        };
        let events = self.sources.iter().map(of).filter(|(_, events)| !events.is_empty()).collect();
        Kept { events, ..self.kept.clone() }
    }

    /// Takes over what another life knew, where this one knows nothing yet.
    pub fn restore(&mut self, kept: &Kept) {
        for (kind, observed) in &kept.observed {
            self.kept.observed.entry(kind.clone()).or_insert_with(|| observed.clone());
        }
        for (service, carried) in &kept.carried {
            let known = self.kept.carried.entry(service.clone()).or_default();
            *known = known.max(*carried);
        }
        for (day, hours) in &kept.spent {
            let spent = self.kept.spent.entry(*day).or_default();
            *spent = spent.max(*hours);
        }
        for (name, events) in &kept.events {
            match self.sources.iter_mut().find(|source| source.name == *name) {
                Some(source) if !source.is_heard => source.events.clone_from(events),
                // It says nothing until something changes: what was heard before is all there is.
                None if name == changes::SOURCE => {
                    let (name, events) = (name.clone(), events.clone());
                    self.sources.push(Source { name, events, problems: Vec::new(), is_heard: true });
                }
                Some(_) | None => {}
            }
        }
        self.is_changed = true;
    }

    /// Whether any source has any event.
    pub fn has_events(&self) -> bool {
        self.sources.iter().any(|source| !source.events.is_empty())
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When it was planned last.
    pub fn planned_at(&self) -> Option<Time> {
        self.planned_at
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Before a tick of the engine: the floors from now on, where they are other than those told last.
    pub fn tick(&mut self, now: Time, findings: &Findings, cluster: &ClusterState) -> Option<Vec<Floor>> {
        self.account(now, cluster);
        self.see(now, findings);
        let is_due = self.planned_at.is_none_or(|at| now >= at + REPLAN || now < at);
        let turns = self.courses.values().any(|course| course.turns_at(now));
        if self.is_changed || is_due || turns {
            self.replan(now);
        }
        let holds = |step: &&Step| now < step.until && step.from <= now + TOLD_AHEAD;
        let floors: Vec<Floor> = self.plan.floors.iter().filter(holds).map(Step::floor).collect();
        // That there is none is news too, once: what an earlier life raised goes back.
        let all_heard = !self.sources.is_empty() && self.sources.iter().all(|source| source.is_heard);
        if floors == self.floors && (self.is_told || !all_heard) {
            return None;
        }
        self.is_told = true;
        self.floors.clone_from(&floors);
        Some(floors)
    }

    fn replan(&mut self, now: Time) {
        // The usual load is that of now, unless an event is part of it.
        if !self.floors.iter().any(|floor| floor.from <= now && now < floor.until) {
            self.in_force.clone_from(&self.demand);
            self.rates.usual(&mut self.in_force);
        } else {
            for (service, known) in &self.demand.services {
                self.in_force.services.entry(service.clone()).or_insert(*known);
            }
            for (entry, shares) in &self.demand.entries {
                self.in_force.entries.entry(entry.clone()).or_insert_with(|| shares.clone());
            }
        }
        self.problems = Problems::default();
        let (mut sources, mut told) = (Vec::new(), Problems::default());
        for source in &self.sources {
            sources.push(source.events.clone());
            source.problems.iter().for_each(|problem| told.add(&problem.source, &problem.event, problem.cause.clone()));
        }
        let mut events = agreed(sources, &mut told);
        self.problems.append(told);
        events.retain(|event| event.ends + AHEAD > now && event.starts < now + AHEAD);
        let absent: Vec<String> =
            (self.courses.iter()).filter(|(_, course)| course.is_absent()).map(|(id, _)| id.clone()).collect();
        let expected: Vec<Planned> = events.iter().filter(|event| !absent.contains(&event.id)).cloned().collect();
        let learned = self.kept.learned();
        let inputs = Inputs {
            settings: &self.settings,
            kinds: &self.kinds,
            events: &expected,
            demand: &self.in_force,
            learned: &learned,
            from: now,
            until: now + AHEAD,
            spent: &self.kept.spent,
        };
        self.plan = plan(&inputs);
        self.follow(now, &events);
        for event in events.into_iter().filter(|event| absent.contains(&event.id)) {
            let note = "nobody came within schedule.grace, so its capacity was given back".to_owned();
            let kind = kind_of(&self.kinds, &event).map(|kind| kind.name.clone());
            let (planned_for, raises) = (event.participants, Vec::new());
            self.plan.events.push(Raised { event, kind, planned_for, raises, notes: vec![note] });
        }
        self.plan.events.sort_by(|a, b| a.event.starts.cmp(&b.event.starts).then_with(|| a.event.id.cmp(&b.event.id)));
        (self.planned_at, self.is_changed) = (Some(now), false);
    }

    /// Courses of the events that are raised now; those that are over, cancelled or moved end.
    fn follow(&mut self, now: Time, events: &[Planned]) {
        let mut courses = std::mem::take(&mut self.courses);
        for raised in &self.plan.events {
            let Some(from) = raised.raises.iter().map(|raise| raise.from).min().filter(|from| *from <= now) else {
                continue;
            };
            let until = raised.raises.iter().map(|raise| raise.until).max().unwrap_or(from);
            let known = courses.remove(&raised.event.id).filter(|course| course.is_of(&raised.event));
            let course = known.unwrap_or_else(|| Course::new(raised, until, &self.rates));
            self.courses.insert(raised.event.id.clone(), course);
        }
        // Of one that does not come it is remembered until it would have been over.
        let stays = |(id, course): &(String, Course)| {
            course.is_absent()
                && events.iter().any(|event| event.id == *id && course.is_of(event))
                && now < course.until
        };
        let (absent, over): (Vec<_>, Vec<_>) = courses.into_iter().partition(stays);
        self.courses.extend(absent);
        for (_, course) in over {
            if let Some((kind, observed)) = course.observed() {
                let known = self.kept.observed.entry(kind).or_default();
                known.push(observed);
                if known.len() > OBSERVED_KEPT {
                    known.remove(0);
                }
            }
        }
    }

    /// What is seen of the load, of all and of each event.
    fn see(&mut self, now: Time, findings: &Findings) {
        if findings.blind {
            return;
        }
        let alone = self.courses.len() == 1;
        let is_calm = !self.courses.values().any(|course| course.is_on(now));
        self.rates.see(now, findings, is_calm);
        self.rates.carried(findings, &mut self.kept.carried);
        for course in self.courses.values_mut() {
            course.see(now, &self.rates, &self.settings, alone);
        }
    }

    /// What runs because of events, as it runs.
    fn account(&mut self, now: Time, cluster: &ClusterState) {
        let last = self.last_tick.replace(now);
        // A jump of the clock costs nothing.
        let hours = last.map_or(0.0, |last| now.seconds_since(last)).clamp(0.0, 60.0) / 3_600.0;
        let holding = self.floors.iter().filter(|floor| floor.from <= now && now < floor.until);
        let added: f64 = holding
            .map(|floor| {
                let usual = self.plan.events.iter().flat_map(|raised| &raised.raises);
                let usual = usual.filter(|raise| raise.service == floor.service.as_str());
                let usual = usual.filter_map(|raise| raise.usual).max();
                let runs = cluster.workload(floor.service.as_str()).map_or(0, |workload| workload.replicas);
                f64::from(runs.min(floor.replicas).saturating_sub(usual.unwrap_or(0)))
            })
            .sum();
        if added > 0.0 {
            *self.kept.spent.entry(now.second().div_euclid(DAY_S)).or_default() += added * hours;
        }
        while self.kept.spent.len() > DAYS_KEPT {
            self.kept.spent.pop_first();
        }
    }
}

#[cfg(test)]
mod tests;
