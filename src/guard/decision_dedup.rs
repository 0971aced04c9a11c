//! What the guard has said already, so that the journal gets a refusal when it starts and when its reason
//! changes, not at every tick.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decision::{Gate, Outcome};
use crate::model::{ClockStep, ServiceId, Time};

/// By rule, target and topic: of notifications the verdict, so that one that flaps is told once each; of restarts the
/// pod. Bounded by
/// rules times services, and emptied of what no longer recurs.
#[derive(Clone, Debug, Default)]
pub(super) struct DecisionDedup(BTreeMap<(String, ServiceId, String), Memory>);

#[derive(Clone, Debug)]
struct Memory {
    words: Words,
    said_at: Time,
    /// When it last came up, said or not.
    seen_at: Time,
}

#[derive(Clone, Debug, PartialEq)]
enum Words {
    Refused(Gate, String),
    /// Observing, the replicas do not follow; only a step further in the same direction is news.
    Observed {
        from: u32,
        to: u32,
    },
    Notified,
}

impl DecisionDedup {
    /// Whether this outcome is news; remembers it.
    pub(super) fn is_new(
        &mut self,
        (rule, service, topic): (&str, &ServiceId, &str),
        outcome: &Outcome,
        now: Time,
        notify_again: Duration,
    ) -> bool {
        let key = (rule.to_string(), service.clone(), topic.to_string());
        let words = match outcome {
            Outcome::Permitted { .. } => {
                self.0.remove(&key);
                return true;
            }
            Outcome::Refused { gate, reason } => Words::Refused(*gate, reason.clone()),
            Outcome::Observed { from, to } => Words::Observed { from: *from, to: *to },
            Outcome::Notified => Words::Notified,
        };
        if let Some(memory) = self.0.get_mut(&key) {
            memory.seen_at = now;
            let known = match (&memory.words, &words) {
                (Words::Observed { from, to }, Words::Observed { from: from_now, to: to_now }) => {
                    from == from_now && (if to > from { to_now <= to } else { to_now >= to })
                }
                (Words::Notified, Words::Notified) => now < memory.said_at + notify_again,
                (before, now) => before == now,
            };
            if known {
                return false;
            }
        }
        self.0.insert(key, Memory { words, said_at: now, seen_at: now });
        true
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.0.values_mut().flat_map(|memory| [&mut memory.said_at, &mut memory.seen_at]));
    }

    /// Forget what has not come up for `after`: when it does again, that is news. What people were told is kept
    /// until it would be repeated anyway.
    pub(super) fn forget(&mut self, now: Time, after: Duration, notify_again: Duration) {
        self.0.retain(|_, memory| {
            let told = memory.words == Words::Notified && now < memory.said_at + notify_again;
            told || now <= memory.seen_at + after
        });
    }
}
