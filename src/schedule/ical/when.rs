//! When something is: a calendar's date or time in a zone, as an instant.
//!
//! A zone is known by its name: of the IANA database, of Windows, or with a vendor's prefix. The offsets that a feed states
//! of its own (VTIMEZONE) are not believed, as feeds carry stale ones for years.

use std::collections::BTreeMap;

use calcard::common::PartialDateTime;
use calcard::common::timezone::Tz as Known;
use calcard::icalendar::{ICalendar, ICalendarEntry, ICalendarPeriod, ICalendarValue};
use chrono::{LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

use crate::model::Time;
use crate::schedule::bounds::shown;

/// An instant as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) at: Time,
    /// The clock on the wall there, by which it recurs.
    pub(super) local: NaiveDateTime,
    pub(super) zone: Tz,
    /// A date without a time.
    pub(super) is_date: bool,
}

/// The zones of one calendar.
pub(super) struct Zones {
    default: Tz,
    /// By the name that the calendar gives them; None for one that nobody knows.
    named: BTreeMap<String, Option<Tz>>,
}

impl Zones {
    pub(super) fn of(calendar: &ICalendar, default: Tz) -> Zones {
        let named = calendar.timezones().filter_map(|of| of.timezone());
        let named = named.map(|(name, zone)| (name.to_owned(), iana(zone)));
        Zones { default, named: named.collect() }
    }

    fn zone(&self, name: Option<&str>) -> Result<Tz, String> {
        let Some(name) = name else { return Ok(self.default) };
        let known = self.named.get(name).copied().flatten().or_else(|| name.parse().ok().and_then(iana));
        known.ok_or_else(|| format!("its time zone `{}` is not known; write a name such as Europe/Berlin", shown(name)))
    }

    /// The first value of a property; None where it is no time.
    pub(super) fn instant(&self, entry: &ICalendarEntry) -> Result<Option<Moment>, String> {
        Ok(self.instants(entry)?.into_iter().next())
    }

    /// All of them.
    pub(super) fn instants(&self, entry: &ICalendarEntry) -> Result<Vec<Moment>, String> {
        let zone = self.zone(entry.tz_id())?;
        let read = |value: &ICalendarValue| match value {
            ICalendarValue::PartialDateTime(written) => instant(written, zone),
            ICalendarValue::Period(ICalendarPeriod::Range { start, .. } | ICalendarPeriod::Duration { start, .. }) => {
                instant(start, zone)
            }
            _ => None,
        };
        Ok(entry.values.iter().filter_map(read).collect())
    }
}

fn iana(zone: Known) -> Option<Tz> {
    match zone {
        Known::Tz(zone) => Some(zone),
        Known::Fixed(_) | Known::Floating => None,
    }
}

/// None where it is none of the calendar.
pub(super) fn instant(written: &PartialDateTime, zone: Tz) -> Option<Moment> {
    let date = NaiveDate::from_ymd_opt(written.year?.into(), written.month?.into(), written.day?.into())?;
    let is_date = written.hour.is_none();
    let part = |part: Option<u8>| u32::from(part.unwrap_or(0));
    // A leap second is the one after it.
    let second = part(written.second).min(59);
    let local = date.and_hms_opt(part(written.hour), part(written.minute), second)?;
    match (written.tz_hour, written.tz_minute) {
        (Some(hours), minutes) => {
            let ahead_s = (i64::from(hours) * 60 + i64::from(minutes.unwrap_or(0))) * 60;
            let ahead_s = if written.tz_minus { -ahead_s } else { ahead_s };
            let utc = local - chrono::TimeDelta::seconds(ahead_s);
            Some(Moment { at: time(utc.and_utc().timestamp())?, local: utc, zone: Tz::UTC, is_date })
        }
        (None, _) => Some(Moment { at: at(local, zone)?, local, zone, is_date }),
    }
}

/// The instant of a local time. One that a clock's step passes over is that of the clock before it; of one that comes twice
/// it is the first.
fn at(local: NaiveDateTime, zone: Tz) -> Option<Time> {
    let found = match zone.from_local_datetime(&local) {
        LocalResult::Single(found) | LocalResult::Ambiguous(found, _) => found,
        LocalResult::None => {
            let before = zone.from_local_datetime(&(local - chrono::TimeDelta::hours(3))).earliest()?;
            before + chrono::TimeDelta::hours(3)
        }
    };
    time(found.timestamp())
}

/// None beyond what nanoseconds can say (1677 to 2262).
pub(super) fn time(second: i64) -> Option<Time> {
    let nanos = second.checked_mul(1_000_000_000)?;
    Some(Time(nanos))
}
