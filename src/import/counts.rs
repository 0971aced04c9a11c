//! Requests a minute, by entry operation.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Entry operations that are told apart; all later ones are counted together, so that paths which are never the same fill no memory.
pub const ENTRIES_MAX: usize = 200;

/// Stands for those.
pub const OTHER: &str = "_other";

/// Minutes that are held: four years of them.
const MINUTES_MAX: usize = 4 * 366 * 24 * 60;

/// A minute without a line in the midst of a log is one in which nothing came. A stretch that is longer than a day is likelier a file that is
/// missing, or a server that was off: nothing is said of it, as a hole that is taken for a lull makes every forecast too low.
const STRETCH_S_MAX: i64 = 24 * 3_600;

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

    /// Minutes in which something came.
    pub fn minutes(&self) -> usize {
        self.minutes.len()
    }

    /// Minutes between them in which nothing came, without those of holes.
    pub fn empty_minutes(&self) -> u64 {
        self.stretches()
            .filter(|stretch| !is_hole(stretch))
            .map(|stretch| (stretch.end - stretch.start) as u64 / 60)
            .sum()
    }

    /// Stretches of the log of which nothing is said, in seconds.
    pub fn holes(&self) -> impl Iterator<Item = Range<i64>> + '_ {
        self.stretches().filter(is_hole)
    }

    /// Stretches without a request, between the first and the last.
    fn stretches(&self) -> impl Iterator<Item = Range<i64>> + '_ {
        let ends = self.minutes.keys().skip(1);
        let between = self.minutes.keys().zip(ends).map(|(before, after)| before + 60..*after);
        between.filter(|between| !between.is_empty())
    }

    /// Each minute from the first to the last but those of holes, in the order of time, with the requests of each entry operation that
    /// had any.
    pub fn by_minute(&self) -> impl Iterator<Item = (i64, Vec<(&str, f64)>)> + '_ {
        let mut expected = None;
        self.minutes.iter().flat_map(move |(minute, counts)| {
            let between = expected.unwrap_or(*minute)..*minute;
            expected = Some(minute + 60);
            let empty = if is_hole(&between) { 0..0 } else { between };
            let named = self.entries.iter().zip(counts).filter(|(_, count)| **count > 0);
            let row = named.map(|(entry, count)| (entry.as_str(), f64::from(*count))).collect();
            empty.step_by(60).map(|minute| (minute, Vec::new())).chain(std::iter::once((*minute, row)))
        })
    }

    /// The head, then a row for each minute from the first to the last: its second, all requests, and those of each entry operation. A
    /// hole is one row without counts.
    pub fn rows(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        let entries = self.entries();
        let places: Vec<usize> = entries.iter().filter_map(|(entry, _)| self.places.get(*entry).copied()).collect();
        let mut head = vec!["time_s".to_owned(), "requests".to_owned()];
        head.extend(entries.iter().map(|(entry, _)| (*entry).to_owned()));
        let width = head.len();
        let same = move |minute: i64, cell: &str| {
            let mut row = vec![cell.to_owned(); width];
            row[0] = minute.to_string();
            row
        };
        let mut expected = None;
        let rows = self.minutes.iter().flat_map(move |(minute, counts)| {
            let between = expected.unwrap_or(*minute)..*minute;
            expected = Some(minute + 60);
            let (cell, between) =
                if is_hole(&between) { ("", between.start..between.start + 60) } else { ("0", between) };
            let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
            let each = places.iter().map(|place| counts.get(*place).copied().unwrap_or(0).to_string());
            let row: Vec<String> = [minute.to_string(), all.to_string()].into_iter().chain(each).collect();
            between.step_by(60).map(move |minute| same(minute, cell)).chain(std::iter::once(row))
        });
        std::iter::once(head).chain(rows)
    }
}

fn is_hole(stretch: &Range<i64>) -> bool {
    stretch.end - stretch.start > STRETCH_S_MAX
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
    fn a_minute_without_a_line_is_zero_and_a_stretch_of_more_than_a_day_is_unknown() {
        let mut counts = Counts::default();
        for second in [0, 180, 200_000 * 60] {
            counts.add(second, "a");
        }
        let rows: Vec<String> = counts.rows().map(|row| row.join(",")).collect();
        assert_eq!(rows, ["time_s,requests,a", "0,1,1", "60,0,0", "120,0,0", "180,1,1", "240,,", "12000000,1,1"]);
        assert_eq!((counts.minutes(), counts.empty_minutes()), (3, 2));
        let each: Vec<_> = counts.by_minute().map(|(minute, row)| (minute, row.len())).collect();
        assert_eq!(each, [(0, 1), (60, 0), (120, 0), (180, 1), (12_000_000, 1)]);
        assert_eq!(counts.holes().map(|hole| (hole.start, hole.end)).collect::<Vec<_>>(), [(240, 12_000_000)]);
        let mut day = Counts::default();
        [0, 1_440 * 60].into_iter().for_each(|second| day.add(second, "a"));
        assert_eq!((day.rows().count(), day.holes().count()), (1 + 1_441, 0));
    }

    #[test]
    fn names_that_are_never_the_same_are_counted_together() {
        let mut counts = Counts::default();
        (0..10_000).for_each(|n| counts.add(n, &format!("GET /{n}")));
        assert_eq!(counts.entries().len(), ENTRIES_MAX + 1);
        assert_eq!(counts.entries()[0], (OTHER, 10_000 - ENTRIES_MAX as u64));
    }
}
