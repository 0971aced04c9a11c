//! Which scenario `demo` and `cluster` play, on which system, and how fast.

use std::path::Path;

use crate::model::Time;
use crate::simulate::{PodKind, Scenario, ScenarioError};

/// Two services of two entry operations saturate one after the other: it shows most of what headroom does.
pub const SCENARIO: &str = "exam-start";
pub const SEED: u64 = 1;

/// A fixed start makes a run identical to the byte: 2026-01-05 08:00:00 UTC, a Monday morning.
pub const START: Time = Time::from_secs(1_767_600_000);

/// Past this the machine simulates as fast as it can, and `max` is meant.
const SPEED_MAX: f64 = 1000.0;

/// A shipped scenario by its name, or a file by its path.
pub fn scenario(given: &str) -> Result<Scenario, ScenarioError> {
    let is_path = given.contains('/') || given.ends_with(".yaml") || given.ends_with(".yml");
    if is_path { Scenario::from_path(Path::new(given)) } else { Scenario::by_name(given) }
}

/// Virtual seconds in a second, as a number that an argument gives.
pub fn finite_speed(text: &str) -> Result<f64, String> {
    let wrong = || format!("write a number above 0 and up to {SPEED_MAX}, such as 4");
    text.parse().ok().filter(|&x: &f64| x > 0.0 && x <= SPEED_MAX).ok_or_else(wrong)
}

/// The same scenario on another system.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Variant {
    /// Make all pods of one kind, at the utilisation they have
    #[arg(long, value_enum)]
    pods: Option<PodsArgument>,
    /// So many times the traffic, on pods so many times the size
    #[arg(long, value_name = "N", value_parser = Variant::factor)]
    load_factor: Option<f64>,
    /// Keep this share of the traces, whole (0.01: one in a hundred)
    #[arg(long, value_name = "SHARE", value_parser = Variant::share)]
    sampling: Option<f64>,
    /// Put a gateway in front that asks headroom which requests to let in
    #[arg(long)]
    shape: bool,
    /// End at this second of the scenario, with nothing to compare
    #[arg(long, value_name = "SECONDS", value_parser = Variant::seconds)]
    pub until: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PodsArgument {
    /// A thread pool with an accept queue
    Workers,
    /// Processor sharing, as asynchronous runtimes
    Shared,
}

/// Beyond a hundred times the traffic a simulation takes hours.
const LOAD_FACTOR_MAX: f64 = 100.0;

impl Variant {
    fn within(text: &str, low: f64, high: f64) -> Result<f64, String> {
        let wrong = || format!("write a number from {low} to {high}");
        text.parse().ok().filter(|x: &f64| (low..=high).contains(x)).ok_or_else(wrong)
    }

    fn factor(text: &str) -> Result<f64, String> {
        Variant::within(text, 1.0 / LOAD_FACTOR_MAX, LOAD_FACTOR_MAX)
    }

    fn share(text: &str) -> Result<f64, String> {
        Variant::within(text, 1e-6, 1.0)
    }

    fn seconds(text: &str) -> Result<f64, String> {
        Variant::within(text, 1.0, 86_400.0)
    }

    pub fn of(&self, mut scenario: Scenario) -> Scenario {
        if let Some(pods) = self.pods {
            scenario.set_pods(match pods {
                PodsArgument::Workers => PodKind::Workers,
                PodsArgument::Shared => PodKind::Shared,
            });
        }
        if let Some(factor) = self.load_factor {
            scenario.scale_load(factor);
        }
        if let Some(share) = self.sampling {
            scenario.sample(share);
        }
        scenario.shaping |= self.shape;
        if let Some(until) = self.until {
            scenario.horizon_s = scenario.horizon_s.min(until);
        }
        scenario
    }

    /// The options that make it, for another process.
    pub fn options(&self) -> Vec<String> {
        let pods = self.pods.map(|pods| match pods {
            PodsArgument::Workers => "workers".to_owned(),
            PodsArgument::Shared => "shared".to_owned(),
        });
        let number = |x: Option<f64>| x.map(|x| x.to_string());
        let given = [
            ("--pods", pods),
            ("--load-factor", number(self.load_factor)),
            ("--sampling", number(self.sampling)),
            ("--until", number(self.until)),
        ];
        let given = given.into_iter().filter_map(|(option, value)| Some([option.to_owned(), value?])).flatten();
        given.chain(self.shape.then(|| "--shape".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_a_name_or_a_path() {
        assert!(scenario(SCENARIO).is_ok());
        assert!(matches!(scenario("no-such"), Err(ScenarioError::Unknown { .. })));
        assert!(matches!(scenario("./no-such.yaml"), Err(ScenarioError::Unreadable { .. })));
    }
}
