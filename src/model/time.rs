//! Event time. The core never reads a clock: every instant arrives as a parameter of this type.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An instant in nanoseconds since the Unix epoch (UTC), as in OTLP's `*_time_unix_nano`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    pub const MIN: Time = Time(i64::MIN);

    pub const fn from_secs(seconds: i64) -> Time {
        Time(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Reads `2026-11-24T14:03`, with or without seconds, their fraction, and what is behind: `Z`, or an offset such as `+01:00`. Without
    /// one it is of UTC. A space may stand for the `T`; a day alone is its midnight. None where it is no time of the calendar.
    pub fn parse(text: &str) -> Option<Time> {
        let text = text.trim();
        let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
        let (time, ahead_s) = match (time.strip_suffix('Z'), time.find(['+', '-'])) {
            (Some(time), _) => (time, 0),
            (None, Some(at)) => (&time[..at], offset_s(&time[at..])?),
            (None, None) => (time, 0),
        };
        let number = |text: &str, digits: usize| {
            let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<i64>().ok()).flatten()
        };
        let mut parts = day.split('-');
        let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
        let mut clock = time.split(':');
        let (hour, minute) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?);
        let (second, fraction) = clock.next().map_or(("00", "0"), |text| text.split_once('.').unwrap_or((text, "0")));
        let second = number(second, 2)?;
        let digits = fraction.len().min(9);
        let nanos = number(&fraction[..digits], digits)? * 10_i64.pow(9 - digits as u32);
        if parts.next().is_some() || clock.next().is_some() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Time(Time::from_secs(seconds - ahead_s).0.saturating_add(nanos)))
    }

    /// The start of the second this instant lies in.
    pub const fn floor_second(self) -> Time {
        Time(self.0.div_euclid(NANOS_PER_SECOND).saturating_mul(NANOS_PER_SECOND))
    }

    /// Whole seconds since the epoch, rounded towards the past.
    pub const fn second(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// Nanoseconds from `earlier` to `self`; negative when `earlier` is later.
    pub const fn nanos_since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Seconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Time) -> f64 {
        self.nanos_since(earlier) as f64 / NANOS_PER_SECOND as f64
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC with milliseconds, as people and JSON read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.div_euclid(1_000_000);
        let (days, ms_of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (h, m, s, ms) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60, ms_of_day / 1000 % 60, ms_of_day % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Days since 1970-01-01 to a proleptic Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// Seconds by which the clocks of `+01:00`, `-0330` or `+01` are ahead of UTC.
fn offset_s(text: &str) -> Option<i64> {
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "00"),
    };
    let number = |text: &str, most: i64| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten().filter(|number| *number <= most)
    };
    let ahead = number(hours, 23)? * 3_600 + number(minutes, 59)? * 60;
    Some(if sign == "-" { -ahead } else { ahead })
}

/// The way back, of the same source.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_rfc_3339() {
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time(1_767_225_599_999_000_000).to_string(), "2025-12-31T23:59:59.999Z");
        assert_eq!(Time(951_782_400_000_000_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Time(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_displayed_is_read_back() {
        for at in [Time(0), Time(1_767_225_599_999_000_000), Time(951_782_400_000_000_000)] {
            assert_eq!(Time::parse(&at.to_string()), Some(at), "{at}");
        }
        assert_eq!(Time::parse("2026-11-24 14:03"), Time::parse("2026-11-24T14:03:00Z"));
        let wrong =
            ["14:03", "2026-02-30T00:00", "2026-11-24T24:00", "2026-11-24T14:03+1:00", "2026-11-24T14:03+25", "é-1-1T"];
        for wrong in wrong {
            assert_eq!(Time::parse(wrong), None, "{wrong}");
        }
        for wrong in ["", "2026", "2026-11", "2026-11-24T14:03+é1:00", "2026-11-24T14:03Z+01:00", "2026-11-24Z"] {
            assert_eq!(Time::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_is_its_midnight_and_an_offset_is_taken_off() {
        assert_eq!(Time::parse("2026-11-24"), Time::parse("2026-11-24T00:00Z"));
        for same in ["2026-11-24T15:03+01:00", "2026-11-24 10:33:00.0-0330", "2026-11-25T00:03+10"] {
            assert_eq!(Time::parse(same), Time::parse("2026-11-24T14:03"), "{same}");
        }
    }

    #[test]
    fn seconds_round_towards_the_past() {
        assert_eq!(Time(-1).second(), -1);
        assert_eq!(Time(1_999_999_999).floor_second(), Time::from_secs(1));
    }
}
