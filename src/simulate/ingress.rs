//! The front door: before a user's request reaches the first service, it is asked whether it may come in. The same decision
//! function answers here as answers a real gateway.

use super::scenario::Scenario;
use super::simulation::Simulation;
use crate::model::{ServiceId, Time};
use crate::shape::{Admission, Answer, EntryTraffic, Level, Limits, Request};

pub(super) struct Ingress {
    /// None: everybody comes in unasked.
    admission: Option<Admission>,
    /// What each entry is called in traces, by its number.
    names: Vec<String>,
}

impl Ingress {
    pub fn new(scenario: &Scenario) -> Ingress {
        let name = |entry: &super::scenario::Entry| {
            let service = ServiceId::new("", &scenario.namespace, &scenario.services[entry.service].name);
            format!("{service} {}", entry.operation)
        };
        Ingress {
            admission: scenario.shaping.then(Admission::default),
            names: scenario.entries.iter().map(name).collect(),
        }
    }

    /// What an entry of the scenario is called in traces.
    pub fn name(&self, entry: usize) -> &str {
        &self.names[entry]
    }
}

impl Simulation {
    /// What headroom wants kept at the front door from now on.
    pub fn limit(&mut self, limits: &Limits) {
        let now = self.now();
        if let Some(admission) = &mut self.ingress.admission {
            admission.set(now, limits);
        }
    }

    /// What came to the front door since the last call; None where nobody asks there.
    pub fn traffic(&mut self) -> Option<Vec<EntryTraffic>> {
        self.ingress.admission.as_mut().map(Admission::take_traffic)
    }

    /// Whether an attempt of a user is let in; if not, when it is to come again, in nanoseconds.
    pub(super) fn comes_in(&mut self, entry: u16, attempt: u32) -> Result<(), f64> {
        let now = Time(self.start.0.saturating_add(self.now));
        let Ingress { admission: Some(admission), names } = &mut self.ingress else { return Ok(()) };
        let of = &self.scenario.entries[usize::from(entry)];
        let level = Level::new(of.priority, attempt > 0);
        match admission.decide(now, &Request { entry: &names[usize::from(entry)], level, client: &of.client }) {
            Answer::Admitted => Ok(()),
            Answer::Shed { retry_after_s, .. } => Err(retry_after_s * 1e9),
        }
    }
}
