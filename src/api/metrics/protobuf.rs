//! Prometheus' protobuf format (`io.prometheus.client.MetricFamily`, delimited): the one that carries native histograms.
//! Its messages are few and do not change, so they stand here rather than being generated.

use prost::Message;

use super::declared::{Kind, Metric};
use super::histogram::{Exemplar, Histogram, SCHEMA};
use super::page::{Page, Sample, Value};
use crate::model::time::NANOS_PER_SECOND;

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Series>,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "4")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Buckets>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A gauge, and a counter: both begin with the value.
#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Buckets {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Shown>,
}

/// Native buckets without a gap, so many past the end of the span before.
#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Shown {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Native buckets are told from this on; a duration of zero counts as the least.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39; // Prometheus' default, 2^-128

pub fn write(page: &Page) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 16);
    for (metric, samples) in page.families() {
        let family = MetricFamily {
            name: metric.sample_name(),
            help: metric.help.to_owned(),
            kind: kind(metric.kind),
            metric: samples.iter().map(|sample| series(metric, sample)).collect(),
            unit: metric.unit().unwrap_or_default().to_owned(),
        };
        // The buffer grows, so it has room.
        family.encode_length_delimited(&mut out).expect("a vector has room");
    }
    out
}

/// The numbers of `io.prometheus.client.MetricType`.
fn kind(kind: Kind) -> i32 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge | Kind::States | Kind::Info => 1,
        Kind::Summary => 2,
        Kind::Histogram => 4,
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    LabelPair { name: name.to_owned(), value: value.to_owned() }
}

fn series(metric: &Metric, sample: &Sample) -> Series {
    let more = sample.more.iter().flatten().copied();
    let label = sample.labels.pairs().chain(more).map(|(name, value)| pair(name, value)).collect();
    let series = Series { label, ..Series::default() };
    let number = |value: f64| match metric.kind {
        Kind::Counter => Series { counter: Some(Number { value }), ..series.clone() },
        _ => Series { gauge: Some(Number { value }), ..series.clone() },
    };
    match &sample.value {
        Value::Whole(whole) => number(*whole as f64),
        Value::Number(value) => number(*value),
        Value::Summary { count, sum } => {
            Series { summary: Some(Summary { sample_count: *count, sample_sum: *sum }), ..series }
        }
        Value::Histogram(histogram) => Series { histogram: Some(buckets(histogram)), ..series },
    }
}

fn buckets(histogram: &Histogram) -> Buckets {
    let bucket = |(upper_bound, cumulative_count, exemplar): (f64, u64, Option<&Exemplar>)| Bucket {
        cumulative_count,
        upper_bound,
        exemplar: exemplar.map(shown),
    };
    let (positive_span, positive_delta) = spans(histogram);
    let is_native = !positive_span.is_empty();
    Buckets {
        sample_count: histogram.count(),
        sample_sum: histogram.sum,
        bucket: histogram.cumulative().map(bucket).collect(),
        schema: if is_native { SCHEMA } else { 0 },
        zero_threshold: if is_native { ZERO_THRESHOLD } else { 0.0 },
        positive_span,
        positive_delta,
    }
}

/// Native buckets as spans, and each count as its difference from the one before.
fn spans(histogram: &Histogram) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<BucketSpan>::new(), Vec::new());
    let (mut next, mut before) = (0, 0);
    for (&index, &count) in &histogram.native {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: index - next, length: 1 }),
        }
        deltas.push(count - before);
        (next, before) = (index + 1, count);
    }
    (spans, deltas)
}

fn shown(exemplar: &Exemplar) -> Shown {
    let at = exemplar.at.0;
    Shown {
        label: vec![pair("trace_id", &exemplar.trace.to_string())],
        value: exemplar.seconds,
        timestamp: Some(Timestamp {
            seconds: at.div_euclid(NANOS_PER_SECOND),
            nanos: at.rem_euclid(NANOS_PER_SECOND) as i32, // below a second
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::declared::Name;
    use super::super::histogram::Durations;
    use super::super::labels::Labels;
    use super::*;
    use crate::analyse::statistics::histogram::bucket_of;

    #[test]
    fn native_buckets_are_spans_and_differences() {
        let mut durations = Durations::default();
        for (ms, requests) in [(100, 4), (108, 1), (800, 7)] {
            durations.add(bucket_of(ms * 1_000_000), requests);
        }
        let shown = durations.shown();
        let (spans, deltas) = spans(&shown);
        let indices: Vec<i32> = shown.native.keys().copied().collect();
        let (mut at, mut told) = (0, Vec::new());
        for span in &spans {
            at += span.offset;
            told.extend((0..span.length as i32).map(|n| at + n));
            at += span.length as i32;
        }
        assert_eq!(told, indices);
        let counts: Vec<i64> = deltas
            .iter()
            .scan(0, |sum, delta| {
                *sum += delta;
                Some(*sum)
            })
            .collect();
        assert_eq!(counts.iter().sum::<i64>(), 12);
    }

    #[test]
    fn a_family_is_read_as_it_is_written() {
        let mut page = Page::default();
        page.whole(Name::ServiceRequests, &Arc::new(Labels::service("shop/auth")), 7);
        let mut durations = Durations::default();
        durations.add(bucket_of(240_000_000), 3);
        let histogram = Value::Histogram(Arc::new(durations.shown()));
        page.add(Name::ServiceDuration, &Arc::new(Labels::service("auth")), histogram);
        let written = write(&page);
        let mut rest = written.as_slice();
        let counter = MetricFamily::decode_length_delimited(&mut rest).unwrap();
        assert_eq!((counter.name.as_str(), counter.kind), ("headroom_service_requests_total", 0));
        assert_eq!(counter.metric[0].counter, Some(Number { value: 7.0 }));
        assert_eq!(counter.metric[0].label, [pair("service_namespace", "shop"), pair("service_name", "auth")]);
        let histogram = MetricFamily::decode_length_delimited(&mut rest).unwrap();
        let buckets = histogram.metric[0].histogram.clone().unwrap();
        assert_eq!((buckets.sample_count, buckets.schema, buckets.positive_delta), (3, SCHEMA, vec![3]));
        assert!(rest.is_empty());
    }
}
