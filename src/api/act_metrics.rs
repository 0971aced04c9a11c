//! Calls of the API server as metrics, read when they are asked for.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::act::kubernetes::retry::ATTEMPTS;

#[derive(Debug)]
pub struct ActMetrics;

impl Collector for ActMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help =
            "Calls of the Kubernetes API server and watches taken up again, by why each was made and how it ended";
        let mut family = encoder.encode_descriptor("act_api_attempts", help, None, MetricType::Counter)?;
        for (reason, outcome, count) in ATTEMPTS.all() {
            let labels = [("reason", reason.as_str()), ("outcome", outcome.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
