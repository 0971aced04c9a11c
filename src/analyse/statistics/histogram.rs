//! Log-bucketed durations: mergeable by adding counts, exact to 1/16 of the value.
//!
//! Sixteen buckets an octave, as HdrHistogram lays them out (a power of two split linearly). A bucket is one
//! small integer, so a histogram is rows of (bucket, count) that SQL can sum.

/// Sub-buckets an octave; a quantile read from the upper edge is at most 1/16 too high.
const SUB_BITS: u32 = 4;
const SUB: i64 = 1 << SUB_BITS;

/// The bucket of a duration in nanoseconds; negative durations count as zero.
pub fn bucket_of(nanos: i64) -> i32 {
    let value = nanos.max(0);
    if value < SUB {
        return value as i32;
    }
    let exponent = 63 - value.leading_zeros();
    let sub = (value >> (exponent - SUB_BITS)) & (SUB - 1);
    ((exponent - SUB_BITS + 1) as i32) * SUB as i32 + sub as i32
}

/// The largest duration of a bucket, in nanoseconds.
pub fn upper_ns(bucket: i32) -> i64 {
    let bucket = i64::from(bucket.max(0));
    if bucket < SUB {
        return bucket;
    }
    let exponent = (bucket / SUB - 1) as u32;
    ((SUB + bucket % SUB + 1) << exponent) - 1
}

/// The `q` quantile of (bucket, count) rows in ascending order of bucket, in nanoseconds; 0 when empty.
pub fn quantile_ns(rows: impl IntoIterator<Item = (i32, i64)> + Clone, q: f64) -> i64 {
    let total: i64 = rows.clone().into_iter().map(|(_, count)| count).sum();
    let wanted = (total as f64 * q).ceil() as i64;
    let mut seen = 0;
    let mut last = 0;
    for (bucket, count) in rows {
        seen += count;
        last = upper_ns(bucket);
        if seen >= wanted {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_of_a_thousand_known_values() {
        let mut rows = std::collections::BTreeMap::new();
        for ms in 1..=1000 {
            *rows.entry(bucket_of(ms * 1_000_000)).or_insert(0) += 1;
        }
        let p99 = quantile_ns(rows.iter().map(|(b, c)| (*b, *c)), 0.99);
        assert!((990_000_000..=990_000_000 * 17 / 16).contains(&p99), "{p99}");
        assert_eq!(quantile_ns([], 0.99), 0);
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value in 0..i64::MAX / 4) {
            let bucket = bucket_of(value);
            prop_assert!(value <= upper_ns(bucket));
            prop_assert!(bucket == 0 || value > upper_ns(bucket - 1));
            prop_assert!(upper_ns(bucket) as f64 <= value as f64 * (1.0 + 1.0 / 16.0) + 1.0);
        }
    }
}
