//! How long answers took.

/// Their median, 99th percentile and maximum in milliseconds, as JSON; null without an answer.
pub fn latency_ms(mut latencies_us: Vec<u32>) -> serde_json::Value {
    latencies_us.sort_unstable();
    let quantile = |q: f64| {
        let at = (latencies_us.len() as f64 * q) as usize;
        latencies_us.get(at.min(latencies_us.len().saturating_sub(1))).map(|us| f64::from(*us) / 1e3)
    };
    serde_json::json!({"p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0)})
}
