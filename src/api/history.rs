//! The last steps of the journal, kept in memory so that the API answers without reading a file.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::journal::{Entry, What};

/// Steps kept: at ten decisions a minute and their outcomes about two hours. Older ones are in the journal file.
const ENTRIES_MAX: usize = 4_096;

/// Bounded, oldest out first. Cloning shares the entries.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: VecDeque<Arc<Entry>>,
}

impl History {
    /// Keep an entry if people ask about its kind; the pulse of the engine (ticks, batches) is not kept.
    pub fn push(&mut self, entry: &Entry) {
        use What::{
            Acted, Decided, Found, Gap, Intervention, PauseEnded, Paused, Resumed, RuleFailed, RulePrinted,
            RuleSkipped, Started,
        };
        let kept = matches!(
            entry.what,
            Started { .. }
                | Found { .. }
                | Decided { .. }
                | Acted { .. }
                | Intervention { .. }
                | RuleFailed { .. }
                | RuleSkipped { .. }
                | RulePrinted { .. }
                | Paused { .. }
                | Resumed { .. }
                | PauseEnded { .. }
                | Gap { .. }
        );
        if kept {
            if self.entries.len() == ENTRIES_MAX {
                self.entries.pop_front();
            }
            self.entries.push_back(Arc::new(entry.clone()));
        }
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().map(|entry| &**entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    #[test]
    fn keeps_the_newest_steps_and_no_pulse() {
        let mut history = History::default();
        for n in 0..ENTRIES_MAX as i64 + 3 {
            history.push(&Entry { at: Time(n), what: What::Ticked });
            history.push(&Entry { at: Time(n), what: What::Resumed { by: String::new(), service: None } });
        }
        assert_eq!(history.iter().count(), ENTRIES_MAX);
        assert_eq!(history.iter().next().map(|entry| entry.at), Some(Time(3)));
        assert!(history.iter().all(|entry| entry.what != What::Ticked));
    }
}
