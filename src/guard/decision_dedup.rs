//! Which decisions are new, so that the journal gets a refusal when it starts and when its reason changes, not at every
//! tick.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decision::{Gate, Outcome, Refusal};
use crate::model::{ClockStep, Origin, ServiceId, Time};

/// By origin, service and topic: of notifications the verdict, so that one that flaps is told once each; of other actions
/// the part of the service that is their target. Bounded by origins times services, and emptied of what no longer recurs.
#[derive(Clone, Debug, Default)]
pub(super) struct DecisionDedup(BTreeMap<(Origin, ServiceId, String), Memory>);

#[derive(Clone, Debug)]
struct Memory {
    last: Last,
    decided_at: Time,
    /// When it last came up, new or not.
    seen_at: Time,
}

#[derive(Clone, Debug, PartialEq)]
enum Last {
    Refused(Gate, String),
    /// Observing, the replicas do not follow; only a step further in the same direction is new, and other refusals.
    Observed {
        from: u32,
        to: u32,
        refused_by: Vec<Refusal>,
    },
    Notified,
}

impl DecisionDedup {
    /// Whether this outcome is new; remembers it.
    pub(super) fn is_new(
        &mut self,
        (origin, service, topic): (&Origin, &ServiceId, &str),
        outcome: &Outcome,
        now: Time,
        notify_again: Duration,
    ) -> bool {
        let key = (origin.clone(), service.clone(), topic.to_string());
        let outcome = match outcome {
            Outcome::Permitted { .. } => {
                self.0.remove(&key);
                return true;
            }
            Outcome::Refused { gate, reason } => Last::Refused(*gate, reason.clone()),
            Outcome::Observed { from, to, refused_by } => {
                Last::Observed { from: *from, to: *to, refused_by: refused_by.clone() }
            }
            Outcome::Notified => Last::Notified,
        };
        if let Some(memory) = self.0.get_mut(&key) {
            memory.seen_at = now;
            let known = match (&memory.last, &outcome) {
                (
                    Last::Observed { from, to, refused_by },
                    Last::Observed { from: from_now, to: to_now, refused_by: refused_now },
                ) => {
                    let is_no_further = if to > from { to_now <= to } else { to_now >= to };
                    from == from_now && is_no_further && refused_by == refused_now
                }
                (Last::Notified, Last::Notified) => now < memory.decided_at + notify_again,
                (before, now) => before == now,
            };
            if known {
                return false;
            }
        }
        self.0.insert(key, Memory { last: outcome, decided_at: now, seen_at: now });
        true
    }

    /// Whether people were told of this, and it goes on.
    pub(super) fn is_notified(&self, origin: &Origin, service: &ServiceId, topic: &str) -> bool {
        let key = (origin.clone(), service.clone(), topic.to_owned());
        self.0.get(&key).is_some_and(|memory| memory.last == Last::Notified)
    }

    /// Nothing is known of now: what people were told of is not over because it does not come up.
    pub(super) fn hold_notified(&mut self, now: Time) {
        let notified = self.0.values_mut().filter(|memory| memory.last == Last::Notified);
        notified.for_each(|memory| memory.seen_at = now);
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.0.values_mut().flat_map(|memory| [&mut memory.decided_at, &mut memory.seen_at]));
    }

    /// Forget what has not come up for `after`: when it does again, it is new. What people were told of ended meanwhile.
    pub(super) fn forget(&mut self, now: Time, after: Duration) {
        self.0.retain(|_, memory| now <= memory.seen_at + after);
    }
}
