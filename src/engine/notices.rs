//! What people were told of and is not over: a notice stands from the decision to tell it until its cause has not come up
//! for `guard.repeat_after`. Whoever delivers messages compares what stands now with what stood before.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::Engine;
use crate::action::Action;
use crate::guard::{Decision, Guard, Outcome};
use crate::model::{ClockStep, DecisionId, Origin, ServiceId, Time};

/// Notices that stand at once: each is about another service, rule or verdict.
const STANDING_MAX: usize = 10_000;

/// One cause that people were told of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// The last decision to tell it: another one while the cause lasts (`guard.notify_again`).
    pub decision: DecisionId,
    pub rule: Origin,
    pub service: ServiceId,
    /// What the rule acted on, as text; empty where it named none.
    pub verdict: String,
    /// The rule's own words: what is wrong and what to do.
    pub message: String,
    pub because: String,
    /// In RFC 3339 for who reads JSON.
    #[serde(serialize_with = "as_text")]
    pub since: Time,
}

fn as_text<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// By origin, service and verdict, as the guard tells news from repetitions.
#[derive(Debug, Default)]
pub(super) struct Notices(BTreeMap<(Origin, ServiceId, String), Notice>);

impl Notices {
    pub fn hear(&mut self, decision: &Decision) {
        let (Outcome::Notified, Action::Notify(notify)) = (&decision.outcome, &decision.proposal.action) else {
            return;
        };
        let proposal = &decision.proposal;
        let key = (proposal.origin.clone(), notify.service.clone(), proposal.verdict.clone());
        if self.0.len() >= STANDING_MAX && !self.0.contains_key(&key) {
            return;
        }
        let since = self.0.get(&key).map_or(decision.at, |known| known.since);
        let notice = Notice {
            decision: decision.id,
            rule: proposal.origin.clone(),
            service: notify.service.clone(),
            verdict: proposal.verdict.clone(),
            message: notify.message.clone(),
            because: proposal.because.clone(),
            since,
        };
        self.0.insert(key, notice);
    }

    /// Drops those whose cause is over.
    pub fn end(&mut self, guard: &Guard) {
        self.0.retain(|(origin, service, verdict), _| guard.is_notified(origin, service, verdict));
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.0.values_mut().map(|notice| &mut notice.since));
    }
}

impl Engine {
    /// Notices that stand, by rule, service and verdict.
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.0.values().cloned().collect()
    }
}
