//! Times as logs write them. A time without an offset is of the zone of the log; in the hour that a clock lives through twice it is the
//! second one where the log is past the first.

use chrono::{Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

/// Reads times, in the order of a log.
pub struct Stamps {
    zone: Tz,
    last: i64,
    /// Lines of one second repeat their time: text and what it was.
    kept: (Vec<u8>, i64),
}

/// How far a log may go back within its order before a repeated hour is taken for the second one: servers write a line when a request
/// ends.
const BACK_S: i64 = 1_800;

/// A log of another year has a time that is none; seconds of it would be no time of headroom either.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Stamps {
    pub fn new(zone: Tz) -> Stamps {
        Stamps { zone, last: i64::MIN, kept: (Vec::new(), 0) }
    }

    /// `10/Oct/2026:13:55:36 +0200`, `2026-10-10T13:55:36.123+02:00` or with `Z` or a space, or Unix seconds with or without a fraction,
    /// or milliseconds. None where it is none of them.
    pub fn read(&mut self, text: &[u8]) -> Option<i64> {
        if self.kept.0 == text && !text.is_empty() {
            return Some(self.kept.1);
        }
        let second = self.parse(text)?;
        self.last = self.last.max(second);
        self.kept.0.clear();
        self.kept.0.extend_from_slice(text);
        self.kept.1 = second;
        Some(second)
    }

    fn parse(&self, text: &[u8]) -> Option<i64> {
        match text.get(2..5)? {
            [b'/', ..] => self.common(text),
            _ if text.get(4) == Some(&b'-') => self.iso(text),
            _ => unix(text),
        }
    }

    /// As Apache and nginx write it.
    fn common(&self, text: &[u8]) -> Option<i64> {
        let month = MONTHS.iter().position(|month| Some(*month) == text.get(3..6))? as u32 + 1;
        let is_separated = text.get(6) == Some(&b'/') && text.get(11) == Some(&b':');
        let (day, year) = (number(text.get(0..2)?)?, number(text.get(7..11)?)?);
        let date = NaiveDate::from_ymd_opt(year as i32, month, day).filter(|_| is_separated)?;
        self.with_offset(date, clock(text.get(12..20)?)?, text.get(20..).unwrap_or_default())
    }

    fn iso(&self, text: &[u8]) -> Option<i64> {
        let (year, month, day) = (number(text.get(0..4)?)?, number(text.get(5..7)?)?, number(text.get(8..10)?)?);
        let is_separated = text.get(7) == Some(&b'-') && matches!(text.get(10), Some(b'T' | b't' | b' '));
        let date = NaiveDate::from_ymd_opt(year as i32, month, day).filter(|_| is_separated)?;
        let mut rest = text.get(19..).unwrap_or_default();
        if let [b'.' | b',', fraction @ ..] = rest {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            rest = &fraction[digits..];
        }
        self.with_offset(date, clock(text.get(11..19)?)?, rest)
    }

    fn with_offset(&self, date: NaiveDate, (hour, minute, second): (u32, u32, u32), offset: &[u8]) -> Option<i64> {
        if !YEARS.contains(&date.year()) {
            return None;
        }
        // A leap second is counted in the second before it.
        let local = date.and_hms_opt(hour, minute, second.min(59))?;
        match offset.trim_ascii() {
            b"" => self.in_zone(local),
            b"Z" | b"z" => Some(local.and_utc().timestamp()),
            [sign @ (b'+' | b'-'), rest @ ..] => {
                let minutes = match rest {
                    [_, _, b':', _, _] => number(&rest[3..5])?,
                    [_, _, _, _] => number(&rest[2..4])?,
                    [_, _] => 0,
                    _ => return None,
                };
                let hours = number(&rest[..2])?;
                // No place on earth is further ahead than Kiribati.
                if hours > 14 || minutes > 59 {
                    return None;
                }
                let ahead = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
                let ahead = if *sign == b'-' { -ahead } else { ahead };
                Some(local.and_utc().timestamp() - ahead)
            }
            _ => None,
        }
    }

    fn in_zone(&self, local: NaiveDateTime) -> Option<i64> {
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(at) => Some(at.timestamp()),
            LocalResult::Ambiguous(first, second) => {
                let (first, second) = (first.timestamp(), second.timestamp());
                Some(if self.last.saturating_sub(BACK_S) > first { second } else { first })
            }
            // Skipped by the clock: whoever wrote it had not moved it yet.
            LocalResult::None => {
                let before = self.zone.from_local_datetime(&(local - chrono::TimeDelta::hours(3))).earliest()?;
                Some(before.timestamp() + 3 * 3_600)
            }
        }
    }
}

/// Digits alone.
fn number(text: &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
    }
    (!text.is_empty()).then_some(number)
}

fn clock(text: &[u8]) -> Option<(u32, u32, u32)> {
    let is_separated = text.get(2) == Some(&b':') && text.get(5) == Some(&b':');
    let read = (number(text.get(0..2)?)?, number(text.get(3..5)?)?, number(text.get(6..8)?)?);
    (is_separated && read.2 <= 60).then_some(read)
}

/// Seconds, with or without a fraction; what has more than eleven digits is milliseconds or smaller.
fn unix(text: &[u8]) -> Option<i64> {
    let whole = text.split(|byte| *byte == b'.').next()?;
    let mut number: i64 = std::str::from_utf8(whole).ok()?.parse().ok()?;
    while number.unsigned_abs() >= 100_000_000_000 {
        number /= 1_000;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(zone: Tz, texts: &[&str]) -> Vec<Option<i64>> {
        let mut stamps = Stamps::new(zone);
        texts.iter().map(|text| stamps.read(text.as_bytes())).collect()
    }

    #[test]
    fn one_instant_in_every_form() {
        let forms = [
            "10/Oct/2026:13:55:36 +0200",
            "2026-10-10T11:55:36Z",
            "2026-10-10T13:55:36.123+02:00",
            "2026-10-10 07:55:36,5 -04",
            "1791633336",
            "1791633336.250",
            "1791633336250",
        ];
        assert_eq!(read(Tz::UTC, &forms), [Some(1_791_633_336); 7]);
        assert_eq!(read(Tz::Europe__Berlin, &["10/Oct/2026:13:55:36"]), [Some(1_791_633_336)]);
    }

    #[test]
    fn what_is_no_time_is_none() {
        let wrong = [
            "",
            "-",
            "31/Feb/2026:00:00:00 +0000",
            "2026-10-10T25:00:00Z",
            "10/Okt/2026:13:55:36",
            "yesterday",
            "2026-10-10",
            "9999-10-10T11:55:36Z",
            "2026-10-10T11:55:36+9999",
        ];
        assert_eq!(read(Tz::UTC, &wrong), [None; 9]);
    }

    /// 2026-10-25, when Berlin lives through 02:00 to 03:00 twice.
    #[test]
    fn the_hour_that_comes_twice_is_told_apart_by_the_order_of_lines() {
        let lines = ["02:10:00", "02:50:00", "02:49:00", "02:05:00", "02:25:00", "02:45:00", "03:00:00"]
            .map(|time| format!("2026-10-25 {time}"));
        let read = read(Tz::Europe__Berlin, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let midnight = 1_792_886_400; // UTC
        let minutes = read.iter().map(|at| (at.unwrap() - midnight) / 60).collect::<Vec<_>>();
        assert_eq!(minutes, [10, 50, 49, 65, 85, 105, 120]);
    }

    #[test]
    fn an_hour_that_no_clock_showed_is_read_as_by_one_that_was_not_moved() {
        let read = read(Tz::Europe__Berlin, &["2026-03-29 01:59:00", "2026-03-29 02:30:00", "2026-03-29 03:30:00"]);
        assert_eq!(read[1].unwrap() - read[0].unwrap(), 31 * 60);
        assert_eq!(read[2], read[1]);
    }
}
