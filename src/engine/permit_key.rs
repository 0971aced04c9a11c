//! By what the answer of a cluster finds its permit.

use crate::action::Change;
use crate::model::DecisionId;

/// A change and the close that follows it carry the same decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PermitKey {
    decision: DecisionId,
    is_close: bool,
}

impl PermitKey {
    pub fn new(decision: DecisionId, change: &Change) -> PermitKey {
        PermitKey { decision, is_close: change.record().is_none() }
    }
}
