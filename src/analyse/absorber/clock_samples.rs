//! How far the clocks of hosts differ from their neighbours', of the traces between two ticks in which any does.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::analyse::thresholds::memory::{CLOCK_HOSTS_TICK_MAX, CLOCK_SAMPLES_MAX};
use crate::analyse::trace::Tree;
use crate::model::{Span, Symbol, Symbols, Text};

#[derive(Default)]
pub struct ClockSamples {
    /// By service and pod.
    ahead_ns: HashMap<(Symbol, Symbol), Vec<i64>, RandomState>,
}

impl ClockSamples {
    /// Adds what nodes of a trace show, in nanoseconds.
    pub fn add(&mut self, tree: &Tree<Span>, ahead: &[(usize, i64)]) {
        for &(node, ahead_ns) in ahead {
            let span = &tree.nodes[node].span;
            let host = (span.service, span.pod);
            if self.ahead_ns.len() >= CLOCK_HOSTS_TICK_MAX && !self.ahead_ns.contains_key(&host) {
                continue;
            }
            let samples = self.ahead_ns.entry(host).or_default();
            if samples.len() < CLOCK_SAMPLES_MAX {
                samples.push(ahead_ns);
            }
        }
    }

    /// The samples since the last call.
    pub fn take(&mut self, symbols: &Symbols) -> BTreeMap<[Text; 2], Vec<i64>> {
        let mut named: BTreeMap<[Text; 2], Vec<i64>> = BTreeMap::new();
        for ((service, pod), mut samples) in self.ahead_ns.drain() {
            let host = [service, pod].map(|text| symbols.text(text).clone());
            named.entry(host).or_default().append(&mut samples);
        }
        named
    }
}
