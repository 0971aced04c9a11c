//! Series by name, so many at most: names come from telemetry, and a scraper's memory must not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::labels::Labels;
use crate::model::Time;

/// A name that was not seen for so long gives up its place. When it comes back its counters begin at zero, as those of a
/// process that was restarted do.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// Between the parts of a name; no text of a span can end in it by chance.
const BETWEEN: char = '\u{1f}';

#[derive(Debug)]
pub struct Bounded<V> {
    max: usize,
    /// By the parts of the name.
    series: BTreeMap<Box<str>, Series<V>>,
    /// Of those, the ones that stand for names past the bound.
    others: usize,
    /// Rows of names past the bound, since the start.
    pub other_rows: u64,
    /// Kept for its memory.
    key: String,
}

#[derive(Debug)]
pub struct Series<V> {
    pub labels: Arc<Labels>,
    pub value: V,
    seen_at: Time,
    is_other: bool,
}

impl<V: Default> Bounded<V> {
    pub fn new(max: usize) -> Bounded<V> {
        Bounded { max, series: BTreeMap::new(), others: 0, other_rows: 0, key: String::new() }
    }

    /// The series of a name; past the bound that of `other`, of which there must be few.
    pub fn of(&mut self, now: Time, name: &[&str], other: &[&str], labels: impl Fn(&[&str]) -> Labels) -> &mut V {
        write_key(&mut self.key, name);
        let is_known = self.series.contains_key(self.key.as_str());
        let is_other = name == other || !is_known && self.names() >= self.max;
        let name = if is_other { other } else { name };
        if is_other {
            self.other_rows += 1;
            write_key(&mut self.key, other);
        }
        if !self.series.contains_key(self.key.as_str()) {
            self.others += usize::from(is_other);
            let series = Series { labels: Arc::new(labels(name)), value: V::default(), seen_at: now, is_other };
            self.series.insert(self.key.as_str().into(), series);
        }
        let series = self.series.get_mut(self.key.as_str()).expect("inserted above");
        series.seen_at = now;
        &mut series.value
    }

    /// Whether a name has a series of its own, or would get one.
    pub fn has_room_for(&self, name: &str) -> bool {
        self.series.contains_key(name) || self.names() < self.max
    }

    #[cfg(test)]
    pub fn get(&self, name: &str) -> Option<&Series<V>> {
        self.series.get(name)
    }

    /// Only where the name has a series already.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.series.get_mut(name).map(|series| &mut series.value)
    }

    pub fn forget_idle(&mut self, now: Time) {
        self.series.retain(|_, series| now <= series.seen_at + IDLE_MAX);
        self.others = self.series.values().filter(|series| series.is_other).count();
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Series<V>> {
        self.series.values()
    }

    /// Names that have a series of their own.
    pub fn names(&self) -> usize {
        self.series.len() - self.others
    }

    pub fn max(&self) -> usize {
        self.max
    }
}

fn write_key(key: &mut String, name: &[&str]) {
    key.clear();
    for (n, part) in name.iter().enumerate() {
        if n > 0 {
            key.push(BETWEEN);
        }
        key.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OTHER: &[&str] = &["_other"];

    fn labels(name: &[&str]) -> Labels {
        Labels::service(name[0])
    }

    #[test]
    fn past_the_bound_names_are_counted_as_other() {
        let mut series = Bounded::<u64>::new(2);
        for name in ["a", "b", "c", "d", "a"] {
            *series.of(Time(1), &[name], OTHER, labels) += 1;
        }
        assert_eq!((series.names(), series.other_rows), (2, 2));
        let shown: Vec<(&str, u64)> = series.iter().map(|one| (one.labels.text(), one.value)).collect();
        assert_eq!(shown, [("service_name=\"_other\"", 2), ("service_name=\"a\"", 2), ("service_name=\"b\"", 1)]);
    }

    #[test]
    fn a_name_that_is_gone_makes_room() {
        let mut series = Bounded::<u64>::new(1);
        series.of(Time(0), &["a"], OTHER, labels);
        let later = Time(0) + IDLE_MAX + Duration::from_secs(1);
        series.of(later, &["b"], OTHER, labels);
        series.forget_idle(later);
        *series.of(later, &["b"], OTHER, labels) += 1;
        assert_eq!(series.get("b").map(|one| one.value), Some(1));
    }

    proptest! {
        /// Whatever comes in whatever order: nothing is lost, nothing counts twice, and the bound holds.
        #[test]
        fn nothing_is_lost_past_the_bound(names in prop::collection::vec("[a-z]{1,2}", 0..300), max in 0_usize..20) {
            let mut series = Bounded::<u64>::new(max);
            names.iter().for_each(|name| *series.of(Time(1), &[name], OTHER, labels) += 1);
            prop_assert_eq!(series.iter().map(|one| one.value).sum::<u64>(), names.len() as u64);
            prop_assert!(series.names() <= max);
            let other = series.get("_other").map_or(0, |one| one.value);
            prop_assert_eq!(other, series.other_rows);
        }
    }
}
