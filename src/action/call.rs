//! How a rule asks for an action: `restart_pod(service, pod)`. An action declares its call in its own file; `decide`
//! registers all of them with the rules' engine.

use super::Action;
use crate::model::ServiceId;

pub struct Call {
    /// The function's name in rules.
    pub name: &'static str,
    /// What it takes beside the service.
    pub argument: Argument,
    /// `.to(n)` may follow.
    pub takes_replicas: bool,
    /// The action, or why there is nothing to ask for.
    pub build: fn(Request) -> Result<Action, &'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    Nothing,
    Text,
    /// `()` where it is not known.
    TextOrUnit,
    Number,
}

/// What a rule gave.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub service: ServiceId,
    pub text: Option<String>,
    pub number: Option<f64>,
    pub to: Option<u32>,
    pub cooldown_s: Option<f64>,
    pub stabilisation_s: Option<f64>,
    pub lasting_s: Option<f64>,
}

/// Why a scaling without replicas comes to nothing.
pub(super) const NEED_UNKNOWN: &str =
    "the replicas needed are not known (no capacity learnt yet, or the sampling weight is unknown)";
