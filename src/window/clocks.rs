//! Spans of hosts whose clocks are off, corrected as they come: before any of them is called late, or of the future.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::model::{Span, Symbol, Symbols, Text, Time};

/// What is known of a host's clock that is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Ahead by so many nanoseconds; behind, where negative.
    Ahead(i64),
    /// It says nothing of when: the clocks of many devices, or one that nobody keeps.
    Unusable,
}

/// By service and pod.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    named: BTreeMap<[Text; 2], Clock>,
    known: HashMap<(Symbol, Symbol), Clock, RandomState>,
}

impl Clocks {
    pub fn set(&mut self, named: BTreeMap<[Text; 2], Clock>, symbols: &mut Symbols) {
        self.named = named;
        self.renew(symbols);
    }

    /// Looks the hosts up in another table of symbols.
    pub fn renew(&mut self, symbols: &mut Symbols) {
        let known = self.named.iter().map(|([service, pod], clock)| ((symbols.of(service), symbols.of(pod)), *clock));
        self.known = known.collect();
    }

    /// Moves a span to when it was; returns whether its times can be used.
    pub fn correct(&self, span: &mut Span) -> bool {
        if self.known.is_empty() {
            return true;
        }
        match self.known.get(&(span.service, span.pod)) {
            None => true,
            Some(Clock::Ahead(ns)) => {
                span.start = Time(span.start.0.saturating_sub(*ns));
                true
            }
            Some(Clock::Unusable) => false,
        }
    }
}
