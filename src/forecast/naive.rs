//! The forecast to beat: the empirical quantiles of the last four same hours of the week.

use super::frame::Frame;
use super::quantiles::{LEVELS, Quantiles, empirical};

pub(super) fn seasonal_naive(frame: &Frame<'_>, origin: usize, target: usize) -> Quantiles {
    of_same_hours(frame, origin, target, true)
}

/// The same of hours without events, with what planned ones are to bring; None where no event is planned, nor was in those hours.
pub(super) fn planned(frame: &Frame<'_>, origin: usize, target: usize) -> Option<Quantiles> {
    if !frame.is_planned(target) && !frame.was_planned(origin, target) {
        return None;
    }
    let [expected, most] = frame.expected[target].map(f64::from);
    let [half, nine, nineteen] = of_same_hours(frame, origin, target, false).0;
    Some(Quantiles([half + expected, nine + most, nineteen + most]))
}

fn of_same_hours(frame: &Frame<'_>, origin: usize, target: usize, with_events: bool) -> Quantiles {
    let mut same = frame.same_hours(origin, target, with_events);
    if same.is_empty() {
        // Younger than a week: what came in the last day is all there is.
        let day = frame.series.step().a_day();
        same.extend((origin.saturating_sub(day)..origin).filter_map(|index| frame.series.at(index)));
    }
    same.sort_by(f64::total_cmp);
    Quantiles(LEVELS.map(|level| empirical(&same, level)))
}
