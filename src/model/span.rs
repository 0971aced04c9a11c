//! A span as the loop sees it: what is analysed of it and nothing else, its texts as symbols.
//!
//! Made when a batch comes, column by column, while the columns are at hand: a text of a dictionary is looked up once
//! for all of its rows, and a trace that closes seconds later need not gather its spans from the table again.

use arrow::array::StringArray;

use super::spans::{Columns, Kind, Status, status_number, text};
use super::{SpanBatch, SpanId, SpanRow, Symbol, Symbols, Time, TraceId};

/// No request takes longer than a day; what says so is wrong, and must not make sums of times overflow. The table keeps
/// what was sent.
const LONGEST_NS: i64 = 86_400 * 1_000_000_000;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub start: Time,
    pub duration_ns: i64,
    /// How many spans this one stands for; None when not known.
    pub weight: Option<f64>,
    /// Cluster, namespace and name, as [`ServiceId`](super::ServiceId) writes them.
    pub service: Symbol,
    /// The name alone.
    pub service_name: Symbol,
    pub operation: Symbol,
    pub pod: Symbol,
    pub version: Symbol,
    /// For a caller's span, who it says it calls.
    pub peer: Symbol,
    pub kind: Kind,
    pub status: Status,
    /// 0 when absent.
    pub http_status: u16,
}

impl Span {
    pub fn end(&self) -> Time {
        Time(self.start.0.saturating_add(self.duration_ns))
    }

    /// As a row, for those who analyse rows of files: its service by the whole identity, its status that of the answer.
    pub fn row<'a>(&self, trace_id: TraceId, symbols: &'a Symbols) -> SpanRow<'a> {
        let text = |symbol: Symbol| &**symbols.text(symbol);
        SpanRow {
            trace_id,
            span_id: self.id,
            parent_span_id: self.parent,
            start: self.start,
            duration_ns: self.duration_ns,
            kind: self.kind,
            status: if self.http_status >= 500 { Status::Error } else { self.status },
            service: text(self.service),
            operation: text(self.operation),
            pod: text(self.pod),
            version: text(self.version),
            peer: text(self.peer),
            sampled_weight: self.weight,
            ..SpanRow::default()
        }
    }

    /// The same span in the symbols of another table.
    pub fn translated(&self, from: &Symbols, to: &mut Symbols) -> Span {
        let mut same = |symbol: Symbol| to.of(from.text(symbol));
        Span {
            service: same(self.service),
            service_name: same(self.service_name),
            operation: same(self.operation),
            pod: same(self.pod),
            version: same(self.version),
            peer: same(self.peer),
            ..*self
        }
    }
}

impl SpanBatch {
    /// The spans of all rows, in order, each with its trace.
    pub fn spans(&self, symbols: &mut Symbols) -> impl Iterator<Item = (TraceId, Span)> {
        let columns = self.columns();
        let mut known = |column: usize| Known::of(&columns, column, |text| symbols.of(text));
        let [names, operations, namespaces] = [text::SERVICE, text::OPERATION, text::NAMESPACE].map(&mut known);
        let [pods, versions, clusters, peers] = [text::POD, text::VERSION, text::CLUSTER, text::PEER].map(&mut known);
        let statuses = Known::of(&columns, text::HTTP_STATUS, status_number);
        // Neighbours mostly have one resource.
        let mut last = None;
        let services: Vec<Symbol> = (0..self.len())
            .map(|row| {
                let parts = (clusters.at(row), namespaces.at(row), names.at(row));
                match last {
                    Some((known, service)) if known == parts => service,
                    _ => last.insert((parts, symbols.service(parts.0, parts.1, parts.2))).1,
                }
            })
            .collect();
        services.into_iter().enumerate().map(move |(row, service)| {
            let span = Span {
                id: columns.span_id(row),
                parent: columns.parent(row),
                start: columns.start(row),
                duration_ns: columns.duration_ns(row).min(LONGEST_NS),
                weight: columns.weight(row),
                service,
                service_name: names.at(row),
                operation: operations.at(row),
                pod: pods.at(row),
                version: versions.at(row),
                peer: peers.at(row),
                kind: columns.kind(row),
                status: columns.status(row),
                http_status: statuses.at(row),
            };
            (columns.trace_id(row), span)
        })
    }
}

/// What each text of a dictionary column stands for.
struct Known<'a, T> {
    keys: &'a [u16],
    values: Vec<T>,
}

impl<'a, T: Copy> Known<'a, T> {
    fn of(columns: &Columns<'a>, column: usize, of: impl FnMut(&str) -> T) -> Known<'a, T> {
        let (keys, values): (&'a [u16], &'a StringArray) = columns.texts(column);
        Known { keys, values: values.iter().map(Option::unwrap_or_default).map(of).collect() }
    }

    fn at(&self, row: usize) -> T {
        // A dictionary's keys lie within its values.
        self.values[usize::from(self.keys[row])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanBuilder, SpanRow};

    #[test]
    fn a_span_of_two_hundred_years_counts_as_one_of_a_day() {
        let mut builder = SpanBuilder::new();
        builder.append(&SpanRow { duration_ns: i64::MAX, ..SpanRow::default() });
        let batch = builder.finish();
        assert_eq!(batch.spans(&mut Symbols::default()).map(|(_, span)| span.duration_ns).sum::<i64>(), LONGEST_NS);
        assert_eq!(batch.columns().duration_ns(0), i64::MAX);
    }

    #[test]
    fn a_span_says_what_its_row_says() {
        let root = SpanRow {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            start: Time(5),
            duration_ns: 7,
            kind: Kind::Server,
            service: "auth",
            operation: "GET /",
            pod: "auth-0",
            version: "1",
            promoted: ["/", "503", ""],
            ..SpanRow::default()
        };
        let call = SpanRow {
            span_id: SpanId([3; 8]),
            parent_span_id: Some(SpanId([2; 8])),
            kind: Kind::Client,
            status: Status::Error,
            namespace: "shop",
            peer: "db",
            sampled_weight: Some(4.0),
            promoted: ["", "", ""],
            ..root
        };
        let mut builder = SpanBuilder::new();
        [root, call].iter().for_each(|row| builder.append(row));
        let (batch, mut symbols) = (builder.finish(), Symbols::default());
        let spans: Vec<(TraceId, Span)> = batch.spans(&mut symbols).collect();
        for ((trace, span), row) in spans.iter().zip([root, call]) {
            let texts = [span.service, span.service_name, span.operation, span.pod, span.version, span.peer];
            let service = row.service_id();
            let expected = [service.as_str(), row.service, row.operation, row.pod, row.version, row.peer];
            assert_eq!(texts.map(|text| &**symbols.text(text)), expected);
            assert_eq!((*trace, span.id, span.parent), (row.trace_id, row.span_id, row.parent_span_id));
            assert_eq!((span.start, span.end(), span.weight), (row.start, row.end(), row.sampled_weight));
            assert_eq!((span.kind, span.status, span.http_status), (row.kind, row.status, row.http_status()));
        }
    }
}
