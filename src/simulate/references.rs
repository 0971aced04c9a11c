//! What to compare with: the same scenario and seed with nobody acting, and with someone who acts at the instant
//! of the onset and knows what the peak needs (the limit of any reaction).

use super::measures::Measures;
use super::scenario::{Scenario, seconds};
use super::simulation::Simulation;
use crate::model::Time;

/// The utilisation that `onset` plans the peak for.
const ONSET_UTILISATION: f64 = 0.75;

/// Between two looks of the oracle.
const ORACLE_LOOKS_S: f64 = 5.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Changes nothing.
    Without,
    /// At the instant of the onset, orders for each expected target what the peak needs at 75 % utilisation.
    Onset,
    /// Knows the rates to come: at every second each service is ordered what the highest of the next start-up time
    /// needs at 75 % utilisation. The limit that nobody can pass.
    Oracle,
}

#[derive(Clone, Debug, PartialEq)]
pub struct References {
    pub without: Measures,
    pub onset: Measures,
    /// Where there is a calendar.
    pub oracle: Option<Measures>,
    /// Where traffic is shaped: by perfect admission from the onset on, with what was ordered in the run beside it.
    pub shed_onset: Option<Measures>,
}

impl References {
    /// Runs both to the horizon.
    pub fn run(scenario: &Scenario, seed: u64) -> References {
        let measures = |policy| reference(scenario, seed, policy, scenario.horizon_s).measures();
        let oracle = (!scenario.calendar.events.is_empty()).then(|| measures(Policy::Oracle));
        References { without: measures(Policy::Without), onset: measures(Policy::Onset), oracle, shed_onset: None }
    }
}

impl Scenario {
    /// Replicas that each expected target needs at the peak, as `onset` orders them.
    pub fn needed_at_peak(&self) -> Vec<u32> {
        let needed = self.replicas_at_peak(ONSET_UTILISATION);
        self.truth.targets.iter().map(|&target| needed[target].max(self.services[target].replicas)).collect()
    }
}

/// A simulation driven by the policy up to `until_s`.
pub fn reference(scenario: &Scenario, seed: u64, policy: Policy, until_s: f64) -> Simulation {
    let mut simulation = Simulation::unobserved(scenario, seed);
    match policy {
        Policy::Without => {}
        Policy::Onset => {
            simulation.run_until(Time(seconds(scenario.truth.onset_s)));
            for (&target, needed) in scenario.truth.targets.iter().zip(scenario.needed_at_peak()) {
                simulation.order(target, needed);
            }
        }
        Policy::Oracle => {
            let (mut at_s, ahead_s) = (0.0, scenario.start_s());
            while at_s < until_s {
                for (service, needed) in
                    scenario.replicas_over(at_s, at_s + ahead_s, ONSET_UTILISATION).iter().enumerate()
                {
                    simulation.order(service, *needed);
                }
                at_s += ORACLE_LOOKS_S;
                simulation.run_until(Time(seconds(at_s.min(until_s))));
            }
        }
    }
    simulation.run_until(Time(seconds(until_s)));
    simulation
}
