//! A baseline out of the incident's own data, for those who bring no other: its calmest stretch of time, or the
//! rest beside the slowest traces.

use std::collections::BTreeMap;

use crate::analyse::statistics::mathematics::median;
use crate::analyse::thresholds::change::{CALM_DEVIATIONS, GROWTH_MIN, PIECES, TRACES_MIN};

/// A trace's root: when, what and how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    pub start_ns: i64,
    /// Traces of one entry operation are compared with one another only.
    pub entry: String,
    pub duration_ns: i64,
}

/// The indices of the calmest stretch, when the rest is clearly slower.
///
/// Time is cut into eight equal pieces. Each run of two to six neighbours is a candidate; the one whose traces are
/// faster than the rest by the most standard errors (Welch's t of the log of duration over the entry operation's
/// median) is taken, if that is convincing.
pub fn calm_stretch(moments: &[Moment]) -> Option<Vec<usize>> {
    let slowness = slowness(moments);
    let first = moments.iter().map(|m| m.start_ns).min()?;
    let last = moments.iter().map(|m| m.start_ns).max()?;
    let length = i128::from(last) - i128::from(first) + 1;
    let piece = |m: &Moment| ((i128::from(m.start_ns) - i128::from(first)) * PIECES as i128 / length) as usize;
    let mut sums = [Sums::default(); PIECES];
    for (moment, &log) in moments.iter().zip(&slowness) {
        sums[piece(moment)].add(log);
    }
    let mut best: Option<(f64, usize, usize)> = None;
    for from in 0..PIECES {
        for to in from + 2..=(from + 6).min(PIECES) {
            let (mut calm, mut rest) = (Sums::default(), Sums::default());
            for (index, piece) in sums.iter().enumerate() {
                if (from..to).contains(&index) { calm.merge(piece) } else { rest.merge(piece) }
            }
            if calm.n < TRACES_MIN as f64 || rest.n < TRACES_MIN as f64 {
                continue;
            }
            let slower = rest.mean() - calm.mean();
            let z = slower / (calm.error2() + rest.error2()).sqrt().max(f64::MIN_POSITIVE);
            if slower > GROWTH_MIN.ln() && z > CALM_DEVIATIONS && best.is_none_or(|(most, ..)| z > most) {
                best = Some((z, from, to));
            }
        }
    }
    let (_, from, to) = best?;
    Some((0..moments.len()).filter(|&index| (from..to).contains(&piece(&moments[index]))).collect())
}

/// The indices of the slowest hundredth of each entry operation, at least one; the rest is their baseline.
pub fn slowest(moments: &[Moment]) -> Vec<usize> {
    let mut by_entry: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, moment) in moments.iter().enumerate() {
        by_entry.entry(&moment.entry).or_default().push(index);
    }
    let mut slowest = Vec::new();
    for indices in by_entry.values_mut() {
        // An entry operation seen once has no rest to compare with.
        let count = if indices.len() > 1 { indices.len().div_ceil(100) } else { 0 };
        indices.sort_by_key(|&index| (std::cmp::Reverse(moments[index].duration_ns), index));
        slowest.extend(indices.iter().take(count));
    }
    slowest.sort_unstable();
    slowest
}

/// Log of each duration over its entry operation's median.
fn slowness(moments: &[Moment]) -> Vec<f64> {
    let log = |m: &Moment| (m.duration_ns.max(1) as f64).ln();
    let mut by_entry: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for moment in moments {
        by_entry.entry(&moment.entry).or_default().push(log(moment));
    }
    let medians: BTreeMap<&str, f64> =
        by_entry.into_iter().map(|(entry, logs)| (entry, median(logs).unwrap_or(0.0))).collect();
    moments.iter().map(|m| log(m) - medians[m.entry.as_str()]).collect()
}

#[derive(Clone, Copy, Default)]
struct Sums {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.merge(&Sums { n: 1.0, sum: value, squares: value * value });
    }

    fn merge(&mut self, other: &Sums) {
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn mean(&self) -> f64 {
        self.sum / self.n
    }

    /// Variance of the mean.
    fn error2(&self) -> f64 {
        (self.squares / self.n - self.mean().powi(2)).max(0.0) / self.n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request a second; `slow` gives the factor at each second.
    fn recording(slow: impl Fn(i64) -> i64) -> Vec<Moment> {
        (0..400)
            .map(|second| Moment {
                start_ns: second * 1_000_000_000,
                entry: format!("shop GET /{}", second % 3),
                // Spread over a third of an octave, the three operations ten times apart.
                duration_ns: 10_i64.pow(6 + second as u32 % 3) * (100 + second * 37 % 30) / 100 * slow(second),
            })
            .collect()
    }

    #[test]
    fn an_incident_at_the_end_leaves_the_time_before_it() {
        let calm = calm_stretch(&recording(|second| if second > 310 { 5 } else { 1 })).unwrap();
        assert_eq!((calm.first(), calm.last()), (Some(&0), Some(&299)));
    }

    #[test]
    fn steady_time_has_no_calm_stretch() {
        assert_eq!(calm_stretch(&recording(|_| 1)), None);
        assert_eq!(calm_stretch(&[]), None);
    }

    #[test]
    fn the_slowest_are_chosen_within_each_entry_operation() {
        let moments = recording(|second| if second == 30 || second == 31 { 50 } else { 1 });
        let slowest = slowest(&moments);
        assert!(slowest.contains(&30) && slowest.contains(&31), "{slowest:?}");
        assert_eq!(slowest.len(), 6, "2 of each 134");
        assert_eq!(super::slowest(&moments[..1]), Vec::<usize>::new());
    }
}
