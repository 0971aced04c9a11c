//! The receivers' own counters as metrics, read when they are asked for.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::receive::Counters;

#[derive(Debug)]
pub struct ReceiveMetrics(pub Arc<Counters>);

impl Collector for ReceiveMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let counters = &self.0;
        for (name, help, value) in [
            ("receive_requests", "Requests acknowledged", counters.accepted_requests()),
            ("receive_acknowledged_spans", "Spans acknowledged to their senders", counters.accepted_spans()),
            ("receive_decompressed_bytes", "Bytes of acknowledged requests, decompressed", counters.accepted_bytes()),
            (
                "receive_overflowed_texts",
                "Texts that became _other: a column of one batch had too many",
                counters.overflowed_texts(),
            ),
            ("receive_cut_texts", "Texts that were longer than 1024 bytes and were cut", counters.cut_texts()),
            ("receive_broken_texts", "Texts that were not UTF-8 and became U+FFFD", counters.broken_texts()),
            (
                "receive_left_out_fields",
                "Attributes, events, links and fields that could not be read and were left out of spans that could",
                counters.left_out_fields(),
            ),
            (
                "receive_unnamed_spans",
                "Spans of services without service.name (unknown_service): set OTEL_SERVICE_NAME there",
                counters.unnamed_spans(),
            ),
        ] {
            ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let (rejected, refused) = ("receive_rejected_spans", "receive_refused_requests");
        encode_reasons(
            &mut encoder,
            rejected,
            "Spans rejected out of acknowledged requests",
            counters.rejected_spans(),
        )?;
        encode_reasons(&mut encoder, refused, "Requests refused whole", counters.refused_requests())
    }
}

/// A counter for each reason; the reasons are a closed set.
fn encode_reasons(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (&'static str, u64)>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (reason, value) in values {
        let labels = [("reason", reason)];
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
