//! The two text formats: OpenMetrics 1.0, and that of Prometheus, version 0.0.4.

use std::fmt::Write;

use super::declared::{Kind, Metric};
use super::histogram::{Exemplar, Histogram};
use super::labels::{add, add_number};
use super::page::{Page, Sample, Value, text_kind};
use crate::model::time::NANOS_PER_SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Names families without `_total`, knows units, `info` and exemplars, and ends with `# EOF`.
    OpenMetrics,
    Prometheus,
}

impl Text {
    pub fn write(self, page: &Page) -> String {
        let mut out = String::with_capacity(1 << 16);
        for (metric, samples) in page.families() {
            self.head(&mut out, metric);
            samples.iter().for_each(|sample| self.sample(&mut out, metric, sample));
        }
        if self == Text::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    // Writing into a text cannot fail, here and below.
    fn head(self, out: &mut String, metric: &Metric) {
        let (name, kind) = match (self, metric.kind) {
            (Text::OpenMetrics, kind) => (metric.name.to_owned(), text_kind(kind)),
            (Text::Prometheus, Kind::Info) => (metric.sample_name(), "gauge"),
            (Text::Prometheus, kind) => (metric.sample_name(), text_kind(kind)),
        };
        let _ = writeln!(out, "# HELP {name} {}", metric.help);
        let _ = writeln!(out, "# TYPE {name} {kind}");
        if let (Text::OpenMetrics, Some(unit)) = (self, metric.unit()) {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
    }

    fn sample(self, out: &mut String, metric: &Metric, sample: &Sample) {
        let name = metric.name;
        let ending = match metric.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram | Kind::Summary | Kind::States => "",
        };
        match &sample.value {
            Value::Whole(whole) => {
                series(out, [name, ending], sample, None);
                let _ = writeln!(out, " {whole}");
            }
            Value::Number(number) => {
                series(out, [name, ending], sample, None);
                out.push(' ');
                add_number(out, *number);
                out.push('\n');
            }
            Value::Histogram(histogram) => self.histogram(out, name, sample, histogram),
            Value::Summary { count, sum } => total(out, name, sample, *count, *sum),
        }
    }

    fn histogram(self, out: &mut String, name: &str, sample: &Sample, histogram: &Histogram) {
        for (bound, count, exemplar) in histogram.cumulative() {
            let mut le = String::new();
            add_number(&mut le, bound);
            if self == Text::OpenMetrics && bound.is_finite() && !le.contains('.') {
                le.push_str(".0"); // the canonical form there
            }
            series(out, [name, "_bucket"], sample, Some(&le));
            let _ = write!(out, " {count}");
            if let (Text::OpenMetrics, Some(exemplar)) = (self, exemplar) {
                add_exemplar(out, exemplar);
            }
            out.push('\n');
        }
        total(out, name, sample, histogram.count(), histogram.sum);
    }
}

/// The name of a series, with its labels.
fn series(out: &mut String, name: [&str; 2], sample: &Sample, le: Option<&str>) {
    name.iter().for_each(|part| out.push_str(part));
    let labels = sample.labels.text();
    let mut open = '{';
    let more = sample.more.iter().flatten().copied().chain(le.map(|le| ("le", le)));
    if !labels.is_empty() {
        out.push(open);
        out.push_str(labels);
        open = ',';
    }
    for (name, value) in more {
        out.push(open);
        add(out, name, value);
        open = ',';
    }
    if open == ',' {
        out.push('}');
    }
}

fn total(out: &mut String, name: &str, sample: &Sample, count: u64, sum: f64) {
    series(out, [name, "_sum"], sample, None);
    out.push(' ');
    add_number(out, sum);
    out.push('\n');
    series(out, [name, "_count"], sample, None);
    let _ = writeln!(out, " {count}");
}

fn add_exemplar(out: &mut String, exemplar: &Exemplar) {
    let (seconds, nanos) = (exemplar.at.0.div_euclid(NANOS_PER_SECOND), exemplar.at.0.rem_euclid(NANOS_PER_SECOND));
    let Exemplar { trace, seconds: value, .. } = exemplar;
    let _ = write!(out, " # {{trace_id=\"{trace}\"}} {value} {seconds}.{:03}", nanos / 1_000_000);
}
