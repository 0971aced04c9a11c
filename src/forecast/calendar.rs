//! What is known of time beforehand: the zone in which people live, their holidays, and events with so many people.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

use super::series::{SECONDS_AN_HOUR, Series};

/// Something that is planned: an exam, a lecture, a match.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedEvent {
    pub kind: String,
    pub start_s: i64,
    pub end_s: i64,
    pub participants: f64,
}

/// Of one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    pub zone: Tz,
    pub holidays: BTreeSet<NaiveDate>,
    pub events: Vec<PlannedEvent>,
}

impl Default for Calendar {
    fn default() -> Calendar {
        Calendar { zone: Tz::UTC, holidays: BTreeSet::new(), events: Vec::new() }
    }
}

/// One bucket in local time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    /// 0 to 167, from Monday 00:00.
    pub hour_of_week: u16,
    /// Hours since midnight, with their fraction.
    pub hour_of_day: f32,
    /// 0 is Monday.
    pub weekday: u8,
    pub is_holiday: bool,
    /// The next day is one, or the last was: evenings and mornings differ.
    pub is_near_holiday: bool,
    /// Buckets by which local time is ahead of UTC: a week earlier by the clock on the wall is not always a week ago.
    pub offset: i32,
}

/// Local time of each bucket of a series and of `ahead` more.
pub(super) fn moments(series: &Series, ahead: usize, calendar: &Calendar) -> Vec<Moment> {
    let step = series.step().seconds();
    let moment = |index: usize| {
        let second = series.second_of(index);
        let utc = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
        let local = calendar.zone.from_utc_datetime(&utc);
        let (date, weekday) = (local.date_naive(), local.weekday().num_days_from_monday() as u8);
        let is_holiday = |date: Option<NaiveDate>| date.is_some_and(|date| calendar.holidays.contains(&date));
        Moment {
            hour_of_week: u16::from(weekday) * 24 + local.hour() as u16,
            hour_of_day: local.hour() as f32 + local.minute() as f32 / 60.0,
            weekday,
            is_holiday: is_holiday(Some(date)),
            is_near_holiday: is_holiday(date.succ_opt()) || is_holiday(date.pred_opt()),
            offset: (i64::from(local.offset().fix().local_minus_utc()) / step) as i32,
        }
    };
    (0..series.len() + ahead).map(moment).collect()
}

/// The bucket `weeks` earlier by the clock on the wall, if there is one.
pub(super) fn weeks_before(moments: &[Moment], index: usize, weeks: usize, series: &Series) -> Option<usize> {
    let before = index.checked_sub(weeks * series.step().a_week())?;
    let moved = i64::from(moments[index].offset - moments[before].offset);
    // Clocks go by an hour or less; what lies in a skipped hour takes the one after it.
    let found = before as i64 + moved.clamp(-(3 * SECONDS_AN_HOUR), 3 * SECONDS_AN_HOUR);
    usize::try_from(found).ok().filter(|found| *found < index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::series::Step;

    /// 2026-03-29 01:00 UTC is when Berlin goes from 01:59 to 03:00.
    #[test]
    fn a_week_earlier_is_by_the_clock_on_the_wall() {
        let monday = 1_774_224_000; // 2026-03-23 00:00 UTC
        let series = Series::new("a", monday, Step::HOUR, vec![0.0; 24 * 14]);
        let calendar = Calendar { zone: Tz::Europe__Berlin, ..Calendar::default() };
        let moments = moments(&series, 0, &calendar);
        let noon_after = 24 * 7 + 10; // 12:00 in Berlin
        let before = weeks_before(&moments, noon_after, 1, &series).unwrap();
        assert_eq!(before, 11, "12:00 of the week before was 11:00 UTC");
        assert_eq!(moments[before].hour_of_week, moments[noon_after].hour_of_week);
    }

    #[test]
    fn the_day_before_a_holiday_is_near_it() {
        let calendar = Calendar {
            holidays: BTreeSet::from([NaiveDate::from_ymd_opt(2026, 12, 25).unwrap()]),
            ..Calendar::default()
        };
        let series = Series::new("a", 1_798_070_400, Step::HOUR, vec![0.0; 72]); // 2026-12-24 00:00
        let found = moments(&series, 0, &calendar);
        assert!(found[0].is_near_holiday && !found[0].is_holiday && found[24].is_holiday && found[48].is_near_holiday);
    }
}
