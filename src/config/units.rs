//! Human-readable quantities of the configuration: durations, byte sizes, shares.

use std::fmt;
use std::time::Duration;

/// Units of a duration, longest first, in nanoseconds.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Read, and never written: who asks for 7d is not told of 1w.
const WEEK: (&str, u64) = ("w", 7 * 86_400_000_000_000);

/// Units of a byte size, largest first; a bare number is bytes.
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// `1h30m`, `300ms`, `1.5s`, `1w`. None when it is not a duration, or one of more than 500 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut nanos = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, scale) = DURATION_UNITS.iter().chain(&[WEEK]).find(|(name, _)| *name == unit)?;
        nanos += number * *scale as f64;
        rest = after;
    }
    // i64 nanoseconds, the time of the project, hold 292 years.
    (nanos <= i64::MAX as f64).then(|| Duration::from_nanos(nanos.round() as u64))
}

/// `512MiB`, `64KB`, `1048576`. None when it is not a size.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = unit.trim();
    let scale = match unit {
        "" => 1,
        unit => BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    let bytes = number * scale as f64;
    (bytes < u64::MAX as f64).then_some(bytes.round() as u64)
}

/// `1%` or `0.01`. None when it is not a number; the range is for the caller to judge.
pub fn parse_share(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number.trim_end(), 100.0));
    number.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n / scale)
}

/// Writes a share as it would be configured: in percent.
pub fn human_share(share: f64) -> String {
    // Of a share of some decimals the product has no more of them: what lies beyond is the float's.
    format!("{}%", (share * 1e8).round() / 1e6)
}

/// A leading decimal number and what follows it.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// Writes a duration as it would be configured: `1h30m`, `300ms`.
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, scale) in DURATION_UNITS {
            if rest >= scale {
                write!(f, "{}{name}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

/// Writes a size as it would be configured: the largest binary unit that divides it, else bytes.
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = BYTE_UNITS.iter().take(4).find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale));
        match binary {
            Some((name, scale)) => write!(f, "{}{name}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(parse_duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("2w"), parse_duration("14d"));
        for wrong in ["", "5", "ms", "5 parsecs", "-1s", "1e3s", "1s garbage", "9999999d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(parse_bytes("512MiB"), Some(512 << 20));
        assert_eq!(parse_bytes("64 kb"), Some(64_000));
        assert_eq!(parse_bytes("4096"), Some(4_096));
        for wrong in ["", "MiB", "1 MeB", "-1", "99999999999TiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn shares_as_people_write_them() {
        assert_eq!(parse_share("1%"), Some(0.01));
        assert_eq!(parse_share("0.01"), Some(0.01));
        assert_eq!(parse_share("NaN"), None);
        assert_eq!(parse_share("one"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0_u64..100_000_000_000, bytes in 0_u64..(1 << 50)) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&HumanDuration(duration).to_string()), Some(duration));
            prop_assert_eq!(parse_bytes(&HumanBytes(bytes).to_string()), Some(bytes));
        }
    }
}
