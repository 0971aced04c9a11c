//! What a rule may return: the border between `decide` and `guard`. A proposal is a wish; only the guard
//! turns one into a permit.

use serde::{Deserialize, Serialize};

use crate::model::ServiceId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// File name of the rule, without `.rhai`.
    pub rule: String,
    pub wish: Wish,
    /// The rule's own words.
    pub because: String,
    /// The verdict that the rule acted on, as text; empty when it named none.
    #[serde(default)]
    pub verdict: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    /// More replicas: `to` is absolute.
    ScaleOut {
        service: ServiceId,
        to: u32,
        #[serde(default)]
        cooldown_s: Option<f64>,
    },
    /// Fewer replicas: `to` is absolute; the guard applies stabilisation.
    ScaleIn {
        service: ServiceId,
        to: u32,
        #[serde(default)]
        stabilisation_s: Option<f64>,
    },
    /// Take one pod away, for its controller to put another in its place.
    RestartPod { service: ServiceId, pod: String },
    /// Lend every pod so many times the CPU of its template for a time; a factor of 1 gives back what was lent.
    ResizeCpu { service: ServiceId, factor: f64, lasting_s: f64 },
    /// Tell people; touches nothing.
    Notify { service: ServiceId, message: String },
}

impl Wish {
    pub fn service(&self) -> &ServiceId {
        match self {
            Wish::ScaleOut { service, .. }
            | Wish::ScaleIn { service, .. }
            | Wish::RestartPod { service, .. }
            | Wish::ResizeCpu { service, .. }
            | Wish::Notify { service, .. } => service,
        }
    }

    /// Its name, as the table of decisions and the rules have it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Wish::ScaleOut { .. } => "scale_out",
            Wish::ScaleIn { .. } => "scale_in",
            Wish::RestartPod { .. } => "restart_pod",
            Wish::ResizeCpu { .. } => "resize_cpu",
            Wish::Notify { .. } => "notify",
        }
    }

    /// What it does where it scales nothing, in the infinitive: `restart pod auth-1 of auth`. None of one that scales.
    pub fn deed(&self) -> Option<String> {
        match self {
            Wish::ScaleOut { .. } | Wish::ScaleIn { .. } => None,
            Wish::RestartPod { service, pod } => Some(format!("restart pod {pod} of {service}")),
            Wish::ResizeCpu { service, factor, .. } if *factor <= 1.0 => {
                Some(format!("give the pods of {service} the CPU of their template again"))
            }
            Wish::ResizeCpu { service, factor, .. } => {
                Some(format!("lend the pods of {service} {factor} times their CPU"))
            }
            Wish::Notify { service, .. } => Some(format!("tell people about {service}")),
        }
    }
}
