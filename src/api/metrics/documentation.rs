//! The list of metrics for people, written from the declaration.

use std::fmt::Write;

use super::declared::{DECLARED, Kind, Metric};

/// What each name begins with, after `headroom_`, and what it is about.
const SECTIONS: [(&str, &[&str]); 10] = [
    ("Endpoints", &["entry_"]),
    ("Services", &["service_"]),
    ("Pods, operations and calls of services", &["pod_", "operation_", "call_"]),
    ("What is found", &["bottleneck", "silent_", "verdict", "sight", "analyse_", "findings_"]),
    ("Rules and decisions", &["decide_", "guard_", "act_", "verify_"]),
    ("Gateways", &["gateway_"]),
    ("The history", &["history_"]),
    ("Notices", &["notify_"]),
    ("Receipt of spans", &["receive_", "window_"]),
    ("headroom itself", &[""]),
];

/// All metrics as tables of Markdown, a section each.
pub fn table() -> String {
    let section = |metric: &Metric| {
        let name = metric.name.strip_prefix("headroom_").unwrap_or(metric.name);
        SECTIONS.iter().position(|(_, prefixes)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    };
    let mut out = String::new();
    for (place, (title, _)) in SECTIONS.iter().enumerate() {
        let metrics: Vec<&Metric> = DECLARED.iter().filter(|metric| section(metric) == Some(place)).collect();
        if metrics.is_empty() {
            continue;
        }
        // Writing into a text cannot fail, here and below.
        let _ = write!(out, "### {title}\n\n| metric | kind | labels | series | meaning |\n|---|---|---|---|---|\n");
        metrics.into_iter().for_each(|metric| row(&mut out, metric));
        out.push('\n');
    }
    out
}

fn row(out: &mut String, metric: &Metric) {
    let labels: Vec<String> = metric.all_labels().map(|label| format!("`{label}`")).collect();
    let of_buckets = if metric.kind == Kind::Histogram { ", and `le`" } else { "" };
    let _ = writeln!(
        out,
        "| `{}` | {} | {}{of_buckets} | {} | {} |",
        metric.sample_name(),
        metric.kind.as_str(),
        labels.join(", "),
        metric.per.bound(),
        metric.help.replace('|', "\\|"),
    );
}
