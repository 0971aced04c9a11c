//! Requests a minute, by entry operation.

use std::collections::{BTreeMap, HashMap};

/// Entry operations that are told apart; all later ones are counted together, so that paths which are never the same fill no memory.
pub const ENTRIES_MAX: usize = 200;

/// Stands for those.
pub const OTHER: &str = "_other";

/// Minutes that are held: four years of them.
const MINUTES_MAX: usize = 4 * 366 * 24 * 60;

#[derive(Default)]
pub struct Counts {
    entries: Vec<String>,
    places: HashMap<String, usize>,
    /// By the second a minute begins at; counts by place, as long as the last one counted.
    minutes: BTreeMap<i64, Vec<u32>>,
    pub requests: u64,
    /// Of minutes past the bound.
    pub left_out: u64,
}

impl Counts {
    pub fn add(&mut self, second: i64, entry: &str) {
        let place = match self.places.get(entry) {
            Some(place) => *place,
            None => self.place(entry),
        };
        let minute = second.div_euclid(60) * 60;
        if self.minutes.len() >= MINUTES_MAX && !self.minutes.contains_key(&minute) {
            self.left_out += 1;
            return;
        }
        let counts = self.minutes.entry(minute).or_default();
        if counts.len() <= place {
            counts.resize(place + 1, 0);
        }
        counts[place] = counts[place].saturating_add(1);
        self.requests += 1;
    }

    fn place(&mut self, entry: &str) -> usize {
        let name = if self.entries.len() < ENTRIES_MAX { entry } else { OTHER };
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.entries.push(name.to_owned());
        self.places.insert(name.to_owned(), self.entries.len() - 1);
        self.entries.len() - 1
    }

    /// Entry operations, those with most requests first.
    pub fn entries(&self) -> Vec<(&str, u64)> {
        let mut sums = vec![0_u64; self.entries.len()];
        for counts in self.minutes.values() {
            counts.iter().zip(&mut sums).for_each(|(count, sum)| *sum += u64::from(*count));
        }
        let mut entries: Vec<(&str, u64)> = self.entries.iter().map(String::as_str).zip(sums).collect();
        entries.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        entries
    }

    /// The head, then a row for each minute in which something came: its second, all requests, and those of each entry operation.
    pub fn rows(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        let entries = self.entries();
        let places: Vec<usize> = entries.iter().filter_map(|(entry, _)| self.places.get(*entry).copied()).collect();
        let mut head = vec!["time_s".to_owned(), "requests".to_owned()];
        head.extend(entries.iter().map(|(entry, _)| (*entry).to_owned()));
        let row = move |(minute, counts): (&i64, &Vec<u32>)| {
            let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
            let each = places.iter().map(|place| counts.get(*place).copied().unwrap_or(0).to_string());
            [minute.to_string(), all.to_string()].into_iter().chain(each).collect()
        };
        std::iter::once(head).chain(self.minutes.iter().map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_counted_by_entry_whatever_the_order_of_lines() {
        let mut counts = Counts::default();
        for (second, entry) in [(119, "a"), (60, "b"), (0, "b"), (61, "b")] {
            counts.add(second, entry);
        }
        let rows: Vec<String> = counts.rows().map(|row| row.join(",")).collect();
        assert_eq!(rows, ["time_s,requests,b,a", "0,1,1,0", "60,3,2,1"]);
    }

    #[test]
    fn names_that_are_never_the_same_are_counted_together() {
        let mut counts = Counts::default();
        (0..10_000).for_each(|n| counts.add(n, &format!("GET /{n}")));
        assert_eq!(counts.entries().len(), ENTRIES_MAX + 1);
        assert_eq!(counts.entries()[0], (OTHER, 10_000 - ENTRIES_MAX as u64));
    }
}
