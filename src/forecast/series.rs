//! A series: how many requests came in each bucket of time, with holes where nobody knows.

use super::Error;

/// How long a bucket is, in seconds. It divides an hour, so that an hour of the week is a whole number of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(u32);

impl Step {
    pub const MINUTE: Step = Step(60);
    pub const QUARTER_HOUR: Step = Step(900);
    pub const HOUR: Step = Step(SECONDS_AN_HOUR as u32);

    /// None where it does not divide an hour, or is shorter than a minute.
    pub fn of_seconds(seconds: i64) -> Option<Step> {
        let fits = (60..=SECONDS_AN_HOUR).contains(&seconds) && SECONDS_AN_HOUR % seconds == 0;
        fits.then_some(Step(seconds as u32))
    }

    pub fn seconds(self) -> i64 {
        i64::from(self.0)
    }

    pub fn an_hour(self) -> usize {
        (SECONDS_AN_HOUR / self.seconds()) as usize
    }

    pub fn a_day(self) -> usize {
        24 * self.an_hour()
    }

    pub fn a_week(self) -> usize {
        7 * self.a_day()
    }

    /// Buckets that a span of time takes, at least one.
    pub fn buckets(self, seconds: i64) -> usize {
        (seconds / self.seconds()).max(1) as usize
    }
}

pub(super) const SECONDS_AN_HOUR: i64 = 3_600;

/// Buckets of the longest series: four years of minutes.
const BUCKETS_MAX: usize = 4 * 366 * 24 * 60;

/// Requests a bucket. Bucket `i` begins at `start + i * step`.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    name: String,
    start_s: i64,
    step: Step,
    /// NaN where it is not known.
    values: Vec<f32>,
    /// Most rows were absent, and by guess nothing came then.
    is_guessed_zero: bool,
}

/// What it means that a bucket is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Nothing came.
    Zero,
    /// Nobody counted.
    Unknown,
    /// Nothing came where most are absent, else nobody counted: who writes a row a bucket does not leave most out.
    Guess,
}

impl Series {
    pub fn new(name: &str, start_s: i64, step: Step, values: Vec<f32>) -> Series {
        Series { name: name.to_owned(), start_s, step, values, is_guessed_zero: false }
    }

    /// Adds up counts, each with the second it begins at and `every` long, into buckets of `step`. A bucket that is known in part is
    /// taken for unknown, else a hole would look like a lull.
    pub fn of_counts(
        name: &str,
        counts: &[(i64, f64)],
        every: i64,
        step: Step,
        absent: Absent,
    ) -> Result<Series, Error> {
        let (Some(first), Some(last)) =
            (counts.iter().map(|count| count.0).min(), counts.iter().map(|count| count.0).max())
        else {
            return Err(Error::Empty { name: name.to_owned() });
        };
        if every > step.seconds() {
            return Err(Error::Coarse { name: name.to_owned(), every, step: step.seconds() });
        }
        let start_s = first.div_euclid(step.seconds()) * step.seconds();
        let length = ((last - start_s) / step.seconds() + 1) as u64;
        if length > BUCKETS_MAX as u64 {
            return Err(Error::Long { name: name.to_owned(), buckets: length, buckets_max: BUCKETS_MAX as u64 });
        }
        let mut sums = vec![(0.0, 0u32); length as usize];
        for (at, count) in counts {
            let (sum, parts) = &mut sums[((at - start_s) / step.seconds()) as usize];
            *sum += count.max(0.0);
            *parts += 1;
        }
        let parts_wanted = (step.seconds() / every.max(1)).max(1) as u32;
        let expected = ((last - first) / every.max(1) + 1) as usize;
        let is_zero = match absent {
            Absent::Zero => true,
            Absent::Unknown => false,
            Absent::Guess => counts.len() * 2 < expected,
        };
        let end = last - start_s + every;
        let value = |(index, (sum, parts)): (usize, &(f64, u32))| {
            // The first and the last bucket may begin before, and end after, what was counted.
            let from = (index as i64 * step.seconds()).max(first - start_s);
            let until = ((index as i64 + 1) * step.seconds()).min(end);
            let wanted = ((until - from) / every.max(1)).clamp(1, i64::from(parts_wanted)) as u32;
            if is_zero || *parts >= wanted { *sum as f32 } else { f32::NAN }
        };
        let values = sums.iter().enumerate().map(value).collect();
        let is_guessed_zero = is_zero && absent == Absent::Guess && counts.len() < expected;
        Ok(Series { name: name.to_owned(), start_s, step, values, is_guessed_zero })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn start_s(&self) -> i64 {
        self.start_s
    }

    pub fn step(&self) -> Step {
        self.step
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What came in a bucket, if that is known.
    pub fn at(&self, index: usize) -> Option<f64> {
        self.values.get(index).filter(|value| value.is_finite()).map(|value| f64::from(*value))
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The second a bucket begins at; also of buckets after the end.
    pub fn second_of(&self, index: usize) -> i64 {
        self.start_s + index as i64 * self.step.seconds()
    }

    /// The bucket an instant lies in; negative before the first.
    pub fn index_of(&self, second: i64) -> i64 {
        second.saturating_sub(self.start_s).div_euclid(self.step.seconds())
    }

    /// As it was known before bucket `length`.
    pub fn until(&self, length: usize) -> Series {
        Series { values: self.values[..length.min(self.len())].to_vec(), name: self.name.clone(), ..*self }
    }

    /// From bucket `from` on: what is older than a season of its step teaches nothing.
    pub fn since(&self, from: usize) -> Series {
        let from = from.min(self.len());
        let (start_s, values) = (self.second_of(from), self.values[from..].to_vec());
        Series { name: self.name.clone(), start_s, values, ..*self }
    }

    /// Buckets of which it is known what came.
    pub fn known(&self) -> usize {
        self.values.iter().filter(|value| value.is_finite()).count()
    }

    /// Most rows were absent, and were taken for buckets in which nothing came.
    pub fn is_guessed_zero(&self) -> bool {
        self.is_guessed_zero
    }

    /// The share of known buckets in which nothing came.
    pub fn empty_share(&self) -> f64 {
        self.values.iter().filter(|value| **value == 0.0).count() as f64 / self.known().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(counts: &[(i64, f64)], absent: Absent) -> Vec<f32> {
        Series::of_counts("a", counts, 60, Step::QUARTER_HOUR, absent).unwrap().values().to_vec()
    }

    #[test]
    fn a_bucket_known_in_part_is_unknown_but_at_the_ends() {
        let mut counts: Vec<(i64, f64)> = (10..45).map(|minute| (minute * 60, 2.0)).collect();
        assert_eq!(minutes(&counts, Absent::Guess), [10.0, 30.0, 30.0]);
        counts.remove(10);
        let holed = minutes(&counts, Absent::Guess);
        assert!(holed[1].is_nan() && holed[0] == 10.0 && holed[2] == 30.0, "{holed:?}");
        assert_eq!(minutes(&counts, Absent::Zero), [10.0, 28.0, 30.0]);
    }

    #[test]
    fn where_most_is_absent_nothing_came() {
        assert_eq!(minutes(&[(0, 1.0), (3_600, 2.0)], Absent::Guess), [1.0, 0.0, 0.0, 0.0, 2.0]);
        let guessed = |absent| {
            let series = Series::of_counts("a", &[(0, 1.0), (3_600, 2.0)], 60, Step::QUARTER_HOUR, absent).unwrap();
            (series.is_guessed_zero(), series.known())
        };
        assert_eq!([Absent::Guess, Absent::Zero, Absent::Unknown].map(guessed), [(true, 5), (false, 5), (false, 1)]);
    }

    #[test]
    fn a_series_of_two_thousand_years_is_refused() {
        let counts = [(0, 1.0), (63_113_904_000, 1.0)];
        let error = Series::of_counts("a", &counts, 60, Step::MINUTE, Absent::Zero).unwrap_err().to_string();
        assert!(error.contains("a longer --step"), "{error}");
    }
}
