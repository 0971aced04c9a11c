//! What a rule may return: the border between `decide` and `guard`. A proposal only asks; the guard alone turns one into
//! a permit.

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::model::{Origin, ServiceId};

/// The names in JSON are those of 0.1.0 where they differ, so that its journals are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    #[serde(rename = "rule")]
    pub origin: Origin,
    #[serde(alias = "wish")]
    pub action: Action,
    /// The rule's own words.
    pub because: String,
    /// The verdict that the rule acted on, as text; empty when it named none.
    #[serde(default)]
    pub verdict: String,
}

impl Proposal {
    pub fn service(&self) -> &ServiceId {
        self.action.service()
    }
}
