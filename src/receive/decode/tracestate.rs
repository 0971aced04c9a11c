//! How many spans one span stands for, from the sampling threshold in its `tracestate`.
//!
//! `ot=th:T`: T is up to 14 hex digits, padded with zeros on the right to 56 bits; a span is kept when its random
//! value is at least T, so it stands for 2^56 / (2^56 - T) spans.
//! Source: OpenTelemetry specification, "TraceState: Probability Sampling".

use crate::model::Utf8;

/// Bits of the threshold and of the randomness it is compared with.
const THRESHOLD_BITS: u32 = 56;
const THRESHOLD_DIGITS: usize = 14;

/// The adjusted count of a span with this `tracestate`; None when no valid threshold is in it.
pub fn adjusted_count(tracestate: Utf8<'_>) -> Option<f64> {
    if tracestate.is_empty() {
        return None;
    }
    let members = tracestate.as_str().split(',').map(str::trim);
    let opentelemetry = members.filter_map(|member| member.strip_prefix("ot=")).next()?;
    let threshold = opentelemetry.split(';').find_map(|field| field.strip_prefix("th:"))?;
    let all_hex = threshold.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if threshold.is_empty() || threshold.len() > THRESHOLD_DIGITS || !all_hex {
        return None;
    }
    let digits = u64::from_str_radix(threshold, 16).ok()?;
    let rejected = digits << (4 * (THRESHOLD_DIGITS - threshold.len()));
    let all = 1u64 << THRESHOLD_BITS;
    // 14 digits are at most 2^56 - 1, so at least one value is kept.
    Some(all as f64 / (all - rejected) as f64)
}

#[cfg(test)]
mod tests {
    use super::adjusted_count;

    #[test]
    fn thresholds_give_adjusted_counts() {
        let check =
            |tracestate: &str, expected| assert_eq!(adjusted_count(tracestate.into()), expected, "{tracestate:?}");
        check("ot=th:0", Some(1.0)); // everything is kept
        check("ot=th:8", Some(2.0)); // one in two
        check("ot=th:c", Some(4.0));
        check("ot=rv:d29d6a7215ced0;th:fd70a", Some(1_048_576.0 / 10_486.0)); // 1 % with five digits
        check("vendor=x, ot=th:c;rv:d29d6a7215ced0", Some(4.0));
        check("ot=th:ffffffffffffff", Some(72_057_594_037_927_936.0));
    }

    #[test]
    fn anything_else_is_unknown() {
        for tracestate in ["", "ot=", "ot=rv:1", "ot=th:", "ot=th:xyz", "ot=th:C", "ot=th:123456789abcdef", "not=th:8"]
        {
            assert_eq!(adjusted_count(tracestate.into()), None, "{tracestate:?}");
        }
    }
}
