//! What one scrape is answered with: the samples of every metric, gathered, before a format is chosen.

use std::sync::Arc;

use super::declared::{DECLARED, Kind, Metric, Name};
use super::histogram::Histogram;
use super::labels::Labels;

#[derive(Clone, Debug)]
pub enum Value {
    Whole(u64),
    Number(f64),
    Histogram(Arc<Histogram>),
    Summary { count: u64, sum: f64 },
}

#[derive(Clone, Debug)]
pub struct Sample {
    pub labels: Arc<Labels>,
    /// More labels, each from a closed set.
    pub more: [Option<(&'static str, &'static str)>; 2],
    pub value: Value,
}

/// Samples by metric, in the order of the declaration.
#[derive(Debug)]
pub struct Page(Vec<Vec<Sample>>);

impl Default for Page {
    fn default() -> Page {
        Page(DECLARED.iter().map(|_| Vec::new()).collect())
    }
}

impl Page {
    pub fn add(&mut self, name: Name, labels: &Arc<Labels>, value: Value) {
        self.push(name, labels, [None, None], value);
    }

    pub fn number(&mut self, name: Name, labels: &Arc<Labels>, value: f64) {
        self.add(name, labels, Value::Number(value));
    }

    pub fn whole(&mut self, name: Name, labels: &Arc<Labels>, value: u64) {
        self.add(name, labels, Value::Whole(value));
    }

    pub fn flag(&mut self, name: Name, labels: &Arc<Labels>, value: bool) {
        self.whole(name, labels, u64::from(value));
    }

    /// With one more label from a closed set.
    pub fn labelled(&mut self, name: Name, labels: &Arc<Labels>, label: (&'static str, &'static str), value: Value) {
        self.push(name, labels, [Some(label), None], value);
    }

    /// One sample a state: 1 for the one that holds.
    pub fn states(
        &mut self,
        name: Name,
        labels: &Arc<Labels>,
        beside: Option<(&'static str, &'static str)>,
        (label, states): (&'static str, &[&'static str]),
        holds: &str,
    ) {
        for &state in states {
            let more = match beside {
                Some(beside) => [Some(beside), Some((label, state))],
                None => [Some((label, state)), None],
            };
            self.push(name, labels, more, Value::Whole(u64::from(state == holds)));
        }
    }

    fn push(
        &mut self,
        name: Name,
        labels: &Arc<Labels>,
        more: [Option<(&'static str, &'static str)>; 2],
        value: Value,
    ) {
        debug_assert!(is_declared(name.metric(), labels, more), "{name:?} {labels:?} {more:?}");
        self.0[name as usize].push(Sample { labels: labels.clone(), more, value });
    }

    /// Metrics that have samples.
    pub fn families(&self) -> impl Iterator<Item = (&'static Metric, &[Sample])> {
        DECLARED
            .iter()
            .zip(&self.0)
            .map(|(metric, samples)| (metric, samples.as_slice()))
            .filter(|(_, s)| !s.is_empty())
    }
}

fn is_declared(metric: &Metric, labels: &Labels, more: [Option<(&'static str, &'static str)>; 2]) -> bool {
    let mut named = labels.pairs().map(|(name, _)| name).chain(more.into_iter().flatten().map(|(name, _)| name));
    named.all(|name| metric.all_labels().any(|declared| declared == name))
}

/// What a text format calls the kind.
pub fn text_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge | Kind::States => "gauge",
        Kind::Info => "info",
        Kind::Counter | Kind::Histogram | Kind::Summary => kind.as_str(),
    }
}
