//! What became of people's statements, and the processes that answer them, as metrics.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::sql::Counters;

pub struct SqlMetrics {
    pub counters: Arc<Counters>,
    pub shelf_bytes: Arc<AtomicU64>,
}

impl std::fmt::Debug for SqlMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqlMetrics")
    }
}

impl Collector for SqlMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { started, answered, refused, timed_out, gave_way, busy, died } = &*self.counters;
        let help = "SQL statements of people, by how they ended";
        let mut family = encoder.encode_descriptor("api_sql_statements", help, None, MetricType::Counter)?;
        for (outcome, counter) in [
            ("answered", answered),
            ("refused", refused),
            ("timed_out", timed_out),
            ("gave_way", gave_way),
            ("busy", busy),
            ("died", died),
        ] {
            ConstCounter::new(read(counter)).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let help = "Processes started to answer SQL";
        let processes = encoder.encode_descriptor("api_sql_processes_started", help, None, MetricType::Counter)?;
        ConstCounter::new(read(started)).encode(processes)?;
        let help = "Memory that holds tables for these processes to read";
        let shelf = encoder.encode_descriptor("api_sql_shelf_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(read(&self.shelf_bytes) as i64).encode(shelf) // far below 2^63
    }
}
