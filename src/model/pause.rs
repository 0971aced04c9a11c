//! What is paused: everything, or single services; by whom, since when, and until when.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::{ClockStep, ServiceId, Time};

/// Services that may be paused one by one; whoever wants to pause more wants to pause everything.
pub const SERVICES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Who asked for it, and why: `ada: load test`.
    pub by: String,
    pub since: Time,
    /// It ends by itself then; None: it lasts until somebody resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

impl Display for Pause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "by {}", self.by)?;
        match self.until {
            Some(until) => write!(f, " (until {until})"),
            None => Ok(()),
        }
    }
}

/// While everything is paused, so is each service; what was paused for one service alone outlives that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pauses {
    all: Option<Pause>,
    /// By whole identity or bare name, as it was asked for.
    services: BTreeMap<String, Pause>,
}

impl Pauses {
    /// Pauses a service, or everything. A pause takes the place of the one before.
    pub fn pause(&mut self, service: Option<&str>, pause: Pause) {
        match service {
            None => self.all = Some(pause),
            Some(service) => {
                self.services.insert(service.to_owned(), pause);
            }
        }
    }

    /// Resumes a service, or everything there is.
    pub fn resume(&mut self, service: Option<&str>) {
        match service {
            None => *self = Pauses::default(),
            Some(service) => {
                self.services.remove(service);
            }
        }
    }

    /// Takes out what ends by itself until now: of which service (None: of all), and the pause.
    pub fn end(&mut self, now: Time) -> Vec<(Option<String>, Pause)> {
        let is_over = |pause: &Pause| pause.until.is_some_and(|until| until <= now);
        let mut over: Vec<_> =
            self.all.take_if(|pause| is_over(pause)).map(|pause| (None, pause)).into_iter().collect();
        over.extend(self.services.extract_if(.., |_, pause| is_over(pause)).map(|(name, pause)| (Some(name), pause)));
        over
    }

    /// What pauses everything.
    pub fn all(&self) -> Option<&Pause> {
        self.all.as_ref()
    }

    /// What pauses this service alone. The whole identity goes before the bare name.
    pub fn of_service(&self, service: &ServiceId) -> Option<&Pause> {
        self.services.get(service.as_str()).or_else(|| self.services.get(service.name()))
    }

    pub fn holds(&self, service: &ServiceId) -> bool {
        self.all.is_some() || self.of_service(service).is_some()
    }

    /// Everything first (None), then the services by name.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &Pause)> {
        let services = self.services.iter().map(|(name, pause)| (Some(name.as_str()), pause));
        self.all.iter().map(|pause| (None, pause)).chain(services)
    }

    /// Services that are paused one by one.
    pub fn services(&self) -> usize {
        self.services.len()
    }

    /// A pause keeps its length, whatever clocks do.
    pub fn step_clock(&mut self, step: ClockStep) {
        for pause in self.all.iter_mut().chain(self.services.values_mut()) {
            step.move_all([&mut pause.since]);
            step.move_all(pause.until.iter_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(until: Option<i64>) -> Pause {
        Pause { by: "ada: load test".into(), since: Time(0), until: until.map(Time::from_secs) }
    }

    #[test]
    fn a_service_is_paused_by_its_identity_or_its_bare_name() {
        let mut pauses = Pauses::default();
        pauses.pause(Some("auth"), pause(None));
        assert!(pauses.holds(&"shop/auth".into()) && pauses.holds(&"auth".into()) && !pauses.holds(&"cart".into()));
        pauses.resume(Some("cart"));
        assert!(pauses.holds(&"auth".into()), "another one was resumed");
        pauses.resume(None);
        assert_eq!(pauses, Pauses::default());
    }

    #[test]
    fn what_was_paused_for_a_time_ends_by_itself_and_the_rest_stays() {
        let mut pauses = Pauses::default();
        pauses.pause(None, pause(Some(10)));
        pauses.pause(Some("auth"), pause(None));
        pauses.pause(Some("cart"), pause(Some(20)));
        assert_eq!(pauses.end(Time::from_secs(9)), []);
        assert_eq!(pauses.end(Time::from_secs(10)), [(None, pause(Some(10)))]);
        assert_eq!(pauses.end(Time::from_secs(30)), [(Some("cart".into()), pause(Some(20)))]);
        assert_eq!(pauses.iter().map(|(name, _)| name).collect::<Vec<_>>(), [Some("auth")]);
    }
}
