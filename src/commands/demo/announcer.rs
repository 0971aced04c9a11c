//! A scenario's calendar as a registrar would publish it: what it says at each moment, and the planner that follows it.

use std::time::Duration;

use super::course::entry_name;
use crate::analyse::{Demand, Learnt};
use crate::engine::Engine;
use crate::guard::Floor;
use crate::model::Time;
use crate::schedule::{Kept, Kind, Load, Planned, Planner, Settings};
use crate::simulate::Scenario;
use crate::simulate::scenario::Announced;

/// As `serve` does: what is learnt changes by minutes.
const LEARN_EVERY: Duration = Duration::from_secs(60);

/// The one source.
const CALENDAR: &str = "registrar";

pub struct Announcer {
    /// None where the scenario has no calendar.
    planner: Option<Planner>,
    events: Vec<Announced>,
    start: Time,
    learnt_at: Option<Time>,
    utilisation: f64,
}

impl Announcer {
    pub fn of(scenario: &Scenario, start: Time) -> Announcer {
        let calendar = &scenario.calendar;
        let kinds = calendar.kinds.iter().map(|kind| {
            let load = |(entry, per_participant): &(usize, f64)| Load::Entry {
                entry: entry_name(scenario, &scenario.entries[*entry]),
                per_participant: *per_participant,
            };
            let lasts = Some(Duration::from_secs_f64(kind.lasts_s));
            let loads = kind.loads.iter().map(load).collect();
            // Its traffic begins at the bell, to the second.
            Kind { name: kind.name.clone(), loads, lasts, early: Duration::ZERO, ..Kind::default() }
        });
        let settings = Settings { grace: Duration::from_secs(300), ..Settings::default() };
        let planner = (!calendar.kinds.is_empty()).then(|| Planner::new(settings, kinds.collect(), &[CALENDAR]));
        let utilisation = super::course::settings(scenario).analyse.target_utilisation;
        Announcer { planner, events: calendar.events.clone(), start, learnt_at: None, utilisation }
    }

    pub fn restore(&mut self, learnt: &Learnt) {
        let Kept { observed, carried, .. } = Kept::of(learnt);
        if let Some(planner) = &mut self.planner {
            // Of another day of the same calendar: its events are not those of this one.
            planner.restore(&Kept { observed, carried, ..Kept::default() });
        }
    }

    pub fn keep(&self, now: Time, learnt: &mut Learnt) {
        if let Some(kept) = self.planner.as_ref().map(|planner| planner.keep(now)).filter(|kept| !kept.is_empty()) {
            learnt.planned = serde_json::json!(kept);
        }
    }

    /// Before a tick of the engine: the floors, where they are news.
    pub fn tick(&mut self, now: Time, engine: &Engine) -> Option<Vec<Floor>> {
        let planner = self.planner.as_mut()?;
        let t_s = now.seconds_since(self.start);
        let events = self.events.iter().filter_map(|event| said(event, t_s, self.start)).collect();
        planner.hear(CALENDAR, events, Vec::new());
        if self.learnt_at.is_none_or(|at| now >= at + LEARN_EVERY) {
            self.learnt_at = Some(now);
            planner.learn(Demand::of(&engine.learnt(now), self.utilisation));
        }
        planner.tick(now, engine.findings(), engine.cluster())
    }

    pub fn planner(&self) -> Option<&Planner> {
        self.planner.as_ref()
    }
}

/// What the calendar says of an event at this second; None where it has none.
fn said(event: &Announced, t_s: f64, start: Time) -> Option<Planned> {
    let participants = event.announced?;
    let at = |second: f64| start + Duration::from_secs_f64(second.max(0.0));
    let moved = event.moved.filter(|(said_s, _)| t_s >= *said_s);
    let cancelled = event.cancelled_s.is_some_and(|said_s| t_s >= said_s);
    let starts = at(moved.map_or(event.at_s, |(_, to_s)| to_s));
    Some(Planned {
        id: event.title.clone(),
        source: CALENDAR.into(),
        title: event.title.clone(),
        categories: vec![event.kind.clone()],
        starts,
        ends: starts + Duration::from_secs_f64(event.lasts_s),
        participants: Some(participants),
        cancelled,
        revision: i64::from(moved.is_some()) + i64::from(cancelled),
        ..Planned::default()
    })
}
