//! What a tree model is told of one forecast: where it is in the week, what came lately beside the usual, and which events are near.
//! All of it is relative to the series' own level, so that one model learns of all series of a kind.

use super::frame::{Frame, WEEKS};

pub(super) const FEATURES: usize = 34;

/// Requests to the scale on which models work, and back: how far the root of what came is from the root of the usual, in roots of
/// the level. Roots are as noisy at noon as at night where people come one by one; logarithms would make a surge out of each quiet
/// hour that was not quiet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Roots of the usual and of the level, both with the floor.
    usual: f64,
    level: f64,
    floor: f64,
}

impl Scale {
    pub(super) fn of(frame: &Frame<'_>, origin: usize, target: usize) -> Scale {
        let level = frame.level(origin);
        let floor = Frame::floor(level);
        Scale { usual: (frame.usual(origin, target).max(0.0) + floor).sqrt(), level: (level + floor).sqrt(), floor }
    }

    pub(super) fn of_requests(self, requests: f64) -> f64 {
        ((requests.max(0.0) + self.floor).sqrt() - self.usual) / self.level
    }

    pub(super) fn to_requests(self, value: f64) -> f64 {
        let root = (value.clamp(-1e3, 1e3) * self.level + self.usual).max(0.0);
        (root * root - self.floor).max(0.0)
    }

    /// How much a mistake on this scale costs in requests, beside that of an hour at the series' level.
    pub(super) fn weight(self, came: f64) -> f64 {
        ((came + self.floor).sqrt() + self.usual) / (2.0 * self.level)
    }
}

/// Of the forecast of bucket `target` that knows what came before `origin`.
pub(super) fn features(frame: &Frame<'_>, origin: usize, target: usize) -> [f32; FEATURES] {
    let step = frame.series.step();
    let (hour, day, week) = (step.an_hour(), step.a_day(), step.a_week());
    let level = frame.level(origin);
    let floor = Frame::floor(level);
    let scale = Scale::of(frame, origin, target);
    let moment = frame.moments[target];
    let beside_level = |requests: f64| ((requests + floor) / (level + floor)).ln();
    let known = |value: Option<f64>, of: &dyn Fn(f64) -> f64| value.map_or(f64::NAN, of);
    // What came in a span, beside what is usual in it.
    let surge = |length: usize| {
        let span = frame.span(origin, length);
        ((span.mean + floor) / (span.seasonal + floor)).ln()
    };
    let recent = |length: usize| beside_level(frame.span(origin, length).mean);
    let before = |back: usize, length: usize| {
        origin.checked_sub(back).map_or(f64::NAN, |end| beside_level(frame.span(end, length).mean))
    };
    let weeks: [Option<f64>; WEEKS] = std::array::from_fn(|n| frame.same_hour(origin, target, n + 1));
    let [first, second, third, fourth] = weeks.map(|value| known(value, &|value| scale.of_requests(value)));
    let most = weeks.iter().flatten().copied().reduce(f64::max);
    let least = weeks.iter().flatten().copied().reduce(f64::min);
    // The same time of the last day that is known.
    let days_back = (target - origin) / day + 1;
    let same_time = target.checked_sub(days_back * day);
    let yesterday = same_time.and_then(|index| frame.series.at(index));
    let usual_yesterday = same_time.map_or(f64::NAN, |index| frame.usual(index, index));
    let neighbours = {
        let weeks_back = (target - origin) / week + 1;
        let end = (target + hour + 1).saturating_sub(weeks_back * week).min(origin);
        frame.span(end, 2 * hour + 1).mean
    };
    let last = origin.checked_sub(1).and_then(|index| frame.series.at(index));
    let [minutes, people] = frame.near[target].map(f64::from);
    let expected = f64::from(frame.expected[target][0]);
    let month = frame.span(origin, WEEKS * week);
    let busiest = |length: usize| {
        let from = origin.saturating_sub(length);
        (from..origin).filter_map(|index| frame.series.at(index)).reduce(f64::max)
    };
    let values: [f64; FEATURES] = [
        ((target - origin + 1) as f64 * step.seconds() as f64 / 60.0).ln(),
        f64::from(moment.hour_of_day),
        f64::from(moment.weekday),
        f64::from(moment.hour_of_week),
        f64::from(u8::from(moment.is_holiday)),
        f64::from(u8::from(moment.is_near_holiday)),
        f64::from(u8::from(frame.moments[origin.saturating_sub(1)].is_holiday)),
        beside_level(frame.usual(origin, target)),
        first,
        second,
        third,
        fourth,
        known(most, &|value| scale.of_requests(value)),
        known(least, &|value| scale.of_requests(value)),
        known(yesterday, &|value| scale.of_requests(value)),
        known(yesterday, &|value| ((value + floor) / (usual_yesterday + floor)).ln()),
        scale.of_requests(neighbours),
        surge(1),
        surge((hour / 4).max(2)),
        surge(hour.max(3)),
        surge(6 * hour),
        surge(day),
        surge(3 * day),
        surge(week),
        known(last, &beside_level),
        recent(3),
        recent(day),
        before(3, 3),
        known(busiest((2 * hour).max(6)), &beside_level),
        ((month.known + 1.0) / (WEEKS * week) as f64).ln(),
        (level + 0.01).ln(),
        minutes,
        people.ln_1p(),
        ((expected + floor) / floor).ln(),
    ];
    values.map(|value| if value.is_finite() { value as f32 } else { f32::NAN })
}
