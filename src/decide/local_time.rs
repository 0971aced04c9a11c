//! The time of day as people have it, for rules: 'not between 02:00 and 04:00 in Europe/Berlin'. Made from the time of the
//! tick and the time zones that are compiled in, so that every machine and every replay comes to the same.

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;
use rhai::{CustomType, EvalAltResult, TypeBuilder};

use crate::model::{Time, nearest};

const MINUTES_OF_HOUR: u32 = 60;

/// An instant in a time zone, to the minute.
#[derive(Clone, Debug)]
pub(super) struct LocalTime(DateTime<Tz>);

impl LocalTime {
    pub(super) fn of(at: Time, zone: &str) -> Result<LocalTime, Box<EvalAltResult>> {
        let zone: Tz = zone.parse().map_err(|_| unknown(zone))?;
        let utc = DateTime::from_timestamp(at.0.div_euclid(1_000_000_000), 0).unwrap_or_default();
        Ok(LocalTime(utc.with_timezone(&zone)))
    }

    fn minute_of_day(&self) -> u32 {
        self.0.hour() * MINUTES_OF_HOUR + self.0.minute()
    }

    /// From `from` up to and without `to`, such as `"22:00"` to `"04:00"` over midnight.
    pub(super) fn is_between(&self, from: &str, to: &str) -> Result<bool, Box<EvalAltResult>> {
        let (from, to, at) = (minute(from)?, minute(to)?, self.minute_of_day());
        Ok(if from <= to { from <= at && at < to } else { from <= at || at < to })
    }
}

fn minute(text: &str) -> Result<u32, Box<EvalAltResult>> {
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?);
        (hour < 24 && minute < MINUTES_OF_HOUR || (hour, minute) == (24, 0)).then_some(hour * MINUTES_OF_HOUR + minute)
    };
    read().ok_or_else(|| format!("`{text}` is no time of day; write one such as \"02:00\", up to \"24:00\"").into())
}

fn unknown(zone: &str) -> Box<EvalAltResult> {
    let names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    let hint = match nearest(zone, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a name of the IANA database, such as \"Europe/Berlin\", or \"UTC\"".to_owned(),
    };
    format!("`{zone}` is no time zone; {hint}").into()
}

impl CustomType for LocalTime {
    fn build(mut builder: TypeBuilder<Self>) {
        builder
            .with_name("local time")
            .on_print(|at| at.0.format("%Y-%m-%d %H:%M").to_string())
            .with_get("date", |at: &mut LocalTime| at.0.format("%Y-%m-%d").to_string())
            .with_get("time", |at: &mut LocalTime| at.0.format("%H:%M").to_string())
            .with_get("hour", |at: &mut LocalTime| i64::from(at.0.hour()))
            .with_get("minute", |at: &mut LocalTime| i64::from(at.0.minute()))
            .with_get("weekday", |at: &mut LocalTime| at.0.format("%A").to_string().to_lowercase())
            .with_get("is_weekend", |at: &mut LocalTime| at.0.weekday().number_from_monday() > 5);
    }
}

/// What can be read of it, as rules name it.
pub(super) const PROPERTIES: &[&str] = &["date", "time", "hour", "minute", "weekday", "is_weekend"];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, zone: &str) -> LocalTime {
        LocalTime::of(Time::from_secs(second), zone).unwrap()
    }

    /// 2026-03-29, when Berlin goes from 01:59 to 03:00.
    const BEFORE: i64 = 1_774_745_940;

    #[test]
    fn night_in_berlin_is_that_of_people_there_also_when_the_clocks_change() {
        let shown = |second: i64| at(second, "Europe/Berlin").0.format("%H:%M").to_string();
        assert_eq!([shown(BEFORE), shown(BEFORE + 60)], ["01:59", "03:00"]);
        let night = |second: i64| at(second, "Europe/Berlin").is_between("02:00", "04:00").unwrap();
        assert_eq!([night(BEFORE), night(BEFORE + 60), night(BEFORE + 3660)], [false, true, false]);
        assert!(!at(BEFORE + 60, "UTC").is_between("02:00", "04:00").unwrap());
    }

    #[test]
    fn a_span_may_cross_midnight_and_a_whole_day_is_one() {
        let noon = at(12 * 3600, "UTC");
        let late = at(23 * 3600, "UTC");
        assert!(late.is_between("22:00", "04:00").unwrap() && !noon.is_between("22:00", "04:00").unwrap());
        assert!(noon.is_between("00:00", "24:00").unwrap() && !noon.is_between("12:01", "12:00").unwrap());
    }

    #[test]
    fn a_zone_or_time_that_is_none_is_told_with_what_was_meant() {
        let zone = LocalTime::of(Time::from_secs(0), "Europe/Berln").unwrap_err().to_string();
        assert!(zone.contains("`Europe/Berln` is no time zone; did you mean `Europe/Berlin`?"), "{zone}");
        let time = at(0, "UTC").is_between("2", "04:00").unwrap_err().to_string();
        assert!(time.contains("`2` is no time of day; write one such as \"02:00\""), "{time}");
    }
}
