//! Season and level apart: MSTL takes a day's and a week's pattern out of the logarithm of what came, exponential smoothing (ETS)
//! follows what is left. Fitted now and then by `augurs`; between two fits the level follows each bucket, by ETS' own equation.

use augurs::ets::AutoETS;
use augurs::mstl::stlrs;
use augurs::{Fit, Predict};

use super::frame::Frame;

/// What is decomposed: ten weeks show a week's pattern, and what is older was another term.
const WEEKS_MAX: usize = 10;

/// Less than this shows no pattern of a week.
const WEEKS_MIN: usize = 2;

/// Past so many buckets a decomposition takes seconds; the trees see series by the minute.
const BUCKETS_MAX: usize = 8_000;

/// A fit of what was known at one time.
pub(super) struct Decomposed {
    /// Its first forecast is of this bucket.
    end: usize,
    floor: f64,
    /// The last cycle of each season.
    seasons: Vec<Vec<f32>>,
    /// How much of a surprise the level keeps.
    alpha: f64,
    level: f64,
}

impl Decomposed {
    /// Of what came before bucket `end`; None where there is too little, or nothing to decompose.
    pub(super) fn fit(frame: &Frame<'_>, end: usize) -> Option<Decomposed> {
        let step = frame.series.step();
        let length = end.min(WEEKS_MAX * step.a_week());
        if length < WEEKS_MIN * step.a_week() + 1 || length > BUCKETS_MAX {
            return None;
        }
        let floor = Frame::floor(frame.level(end));
        let log = |index: usize| {
            let value = frame.series.at(index).unwrap_or_else(|| frame.usual(index.min(end), index));
            (value + floor).ln() as f32
        };
        let values: Vec<f32> = (end - length..end).map(log).collect();
        let periods = [step.a_day(), step.a_week()];
        let parts = stlrs::MstlParams::new().fit(&values, &periods).ok()?;
        let rest: Vec<f64> =
            parts.trend().iter().zip(parts.remainder()).map(|(trend, rest)| f64::from(trend + rest)).collect();
        let (alpha, level) = smoothing(&rest)?;
        let last_cycle = |(season, period): (&Vec<f32>, usize)| season[season.len() - period..].to_vec();
        let seasons = parts.seasonal().iter().zip(periods).map(last_cycle).collect();
        Some(Decomposed { end, floor, seasons, alpha, level })
    }

    /// Follows a bucket that became known, the next after the last. What is unknown teaches nothing.
    pub(super) fn follow(&mut self, index: usize, came: Option<f64>) {
        if let Some(came) = came {
            let rest = (came + self.floor).ln() - self.season(index);
            self.level += self.alpha * (rest - self.level);
        }
    }

    fn season(&self, index: usize) -> f64 {
        let ahead = index.saturating_sub(self.end);
        self.seasons.iter().map(|cycle| f64::from(cycle[ahead % cycle.len()])).sum()
    }

    /// The middle of what is expected of a bucket, in requests.
    pub(super) fn forecast(&self, target: usize) -> f64 {
        ((self.level + self.season(target)).min(40.0).exp() - self.floor).max(0.0)
    }
}

/// The smoothing that fits best, and the level at the end. `augurs` tells the forecasts it would have made; the level after each is
/// the next forecast, and how far it moved for each surprise is the smoothing.
fn smoothing(rest: &[f64]) -> Option<(f64, f64)> {
    let fitted = AutoETS::new(1, "AZN").ok()?.fit(rest).ok()?;
    let told = fitted.predict_in_sample(None).ok()?.point;
    let level = *fitted.predict(1, None).ok()?.point.first()?;
    let (mut moved, mut surprise) = (0.0, 0.0);
    for (at, pair) in told.windows(2).enumerate() {
        let missed = rest[at] - pair[0];
        moved += (pair[1] - pair[0]) * missed;
        surprise += missed * missed;
    }
    let alpha = if surprise > 0.0 { (moved / surprise).clamp(0.0, 1.0) } else { 0.0 };
    level.is_finite().then_some((alpha, level))
}
