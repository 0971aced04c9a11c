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
    /// Tell people; touches nothing.
    Notify { service: ServiceId, message: String },
}

impl Wish {
    pub fn service(&self) -> &ServiceId {
        match self {
            Wish::ScaleOut { service, .. } | Wish::ScaleIn { service, .. } | Wish::Notify { service, .. } => service,
        }
    }
}
