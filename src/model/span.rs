//! A span as the loop sees it: what is analysed of it and nothing else, its texts as symbols.
//!
//! Made when a batch comes, column by column, while the columns are at hand: a text of a dictionary is looked up once
//! for all of its rows, and a trace that closes seconds later need not gather its spans from the table again.

use arrow::array::{Array, StringArray};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::spans::{Columns, Kind, Status, status_number, text};
use super::texts::TextColumn;
use super::{Names, SpanBatch, SpanId, SpanRow, Symbol, Symbols, Time, TraceId, Work};

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
    /// As operations are grouped.
    pub operation: Symbol,
    pub pod: Symbol,
    pub version: Symbol,
    /// For a caller's span, who it says it calls.
    pub peer: Symbol,
    /// Of a span that takes a message, the span of another trace that sent it, as [`SpanRow::link`] writes it.
    pub link: Symbol,
    pub kind: Kind,
    pub status: Status,
    /// 0 when absent.
    pub http_status: u16,
    pub work: Work,
    /// An operator said what kind of work it is.
    pub is_declared: bool,
    /// Its service is a proxy that belongs to the workload beside it, as the operator says.
    pub is_sidecar: bool,
    /// A tail sampler says that it chose its trace.
    pub is_chosen: bool,
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
            work: self.work,
            link: text(self.link),
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
            link: same(self.link),
            ..*self
        }
    }
}

impl SpanBatch {
    /// The spans of all rows, in order, each with its trace; their operations as `operations` groups them.
    pub fn spans(&self, symbols: &mut Symbols, operations: &mut Names) -> impl Iterator<Item = (TraceId, Span)> {
        let columns = self.columns();
        let mut known = |column: usize| Known::of(&columns, column, |text| symbols.of(text));
        let [names, namespaces] = [text::SERVICE, text::NAMESPACE].map(&mut known);
        let [pods, versions, clusters, peers] = [text::POD, text::VERSION, text::CLUSTER, text::PEER].map(&mut known);
        let links = known(text::LINK);
        let statuses = Known::of(&columns, text::HTTP_STATUS, status_number);
        let chosen = Known::of(&columns, text::SAMPLED_BY, |rule| !rule.is_empty());
        let sidecars = Known::of(&columns, text::SERVICE, |name| operations.is_sidecar(name));
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
        let (keys, texts) = columns.texts(text::OPERATION);
        let mut grouped = Grouped::new(texts.len());
        let named: Vec<(Symbol, Option<Work>, bool)> = (services.iter().zip(keys))
            .map(|(&service, &key)| {
                grouped.of(service, key, || {
                    let named = operations.of(symbols.text(service), texts.value(usize::from(key)));
                    (symbols.of(named.name), named.work, named.is_declared)
                })
            })
            .collect();
        services.into_iter().zip(named).enumerate().map(move |(row, (service, (operation, work, is_declared)))| {
            let kind = columns.kind(row);
            let span = Span {
                id: columns.span_id(row),
                parent: columns.parent(row),
                start: columns.start(row),
                duration_ns: columns.duration_ns(row).min(LONGEST_NS),
                weight: columns.weight(row),
                service,
                service_name: names.at(row),
                operation,
                pod: pods.at(row),
                version: versions.at(row),
                peer: peers.at(row),
                link: links.at(row),
                kind,
                status: columns.status(row),
                http_status: statuses.at(row),
                work: work.unwrap_or_else(|| columns.work(row)),
                is_declared,
                is_sidecar: sidecars.at(row),
                is_chosen: chosen.at(row),
            };
            (columns.trace_id(row), span)
        })
    }

    /// The same table with operations as `operations` groups them.
    pub fn grouped(&self, operations: &mut Names) -> SpanBatch {
        let columns = self.columns();
        let (keys, texts) = columns.texts(text::OPERATION);
        let mut symbols = Symbols::default();
        let mut grouped = Grouped::new(texts.len());
        let mut column = TextColumn::with_capacity(self.len());
        let mut service_of = |row: usize| {
            let row = columns.row(row);
            let [cluster, namespace, name] = [row.cluster, row.namespace, row.service].map(|part| symbols.of(part));
            let service = symbols.service(cluster, namespace, name);
            (service, symbols.text(service).clone())
        };
        for (row, &key) in keys.iter().enumerate() {
            let (service, text) = service_of(row);
            let value = grouped
                .of(service, key, || column.key(operations.of(&text, texts.value(usize::from(key))).name.into()));
            column.push(value);
        }
        let mut all = self.record_batch().columns().to_vec();
        all[OPERATION_COLUMN] = column.finish();
        self.with_columns(all)
    }
}

/// Place of the column `operation` in the schema.
const OPERATION_COLUMN: usize = 7 + text::OPERATION;

/// What each operation of each service is grouped as, by the operation's key; nearly every one is of one service.
struct Grouped<T> {
    first: Vec<Option<(Symbol, T)>>,
    others: HashMap<(Symbol, u16), T, RandomState>,
}

impl<T: Copy> Grouped<T> {
    fn new(operations: usize) -> Grouped<T> {
        Grouped { first: vec![None; operations], others: HashMap::default() }
    }

    fn of(&mut self, service: Symbol, key: u16, group: impl FnOnce() -> T) -> T {
        // A dictionary's keys lie within its values.
        match &mut self.first[usize::from(key)] {
            Some((of, known)) if *of == service => *known,
            Some(_) => *self.others.entry((service, key)).or_insert_with(group),
            first => first.insert((service, group())).1,
        }
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
        assert_eq!(
            batch.spans(&mut Symbols::default(), &mut Names::default()).map(|(_, span)| span.duration_ns).sum::<i64>(),
            LONGEST_NS
        );
        assert_eq!(batch.columns().duration_ns(0), i64::MAX);
    }

    #[test]
    fn operations_are_grouped_by_service_in_spans_and_tables_alike() {
        let mut builder = SpanBuilder::new();
        for n in 0..100_u32 {
            let operation = format!("GET /item/{n}");
            let service = if n.is_multiple_of(2) { "shop" } else { "stock" };
            builder.append(&SpanRow { service, operation: &operation, ..SpanRow::default() });
        }
        builder.append(&SpanRow { service: "shop", operation: "GET /healthz", ..SpanRow::default() });
        let (batch, mut symbols) = (builder.finish(), Symbols::default());
        let spans: Vec<Span> = batch.spans(&mut symbols, &mut Names::default()).map(|(_, span)| span).collect();
        let grouped = batch.grouped(&mut Names::default());
        for (row, span) in spans.iter().enumerate() {
            let expected = if row < 100 { "GET /item/{id}" } else { "GET /healthz" };
            assert_eq!((&**symbols.text(span.operation), grouped.row(row).operation), (expected, expected));
        }
        assert_eq!([spans[0].work, spans[100].work], [Work::Request, Work::Probe]);
        assert_eq!((grouped.row(1).service, batch.row(1).operation), ("stock", "GET /item/1"));
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
        let spans: Vec<(TraceId, Span)> = batch.spans(&mut symbols, &mut Names::default()).collect();
        for ((trace, span), row) in spans.iter().zip([root, call]) {
            let texts = [span.service, span.service_name, span.operation, span.pod, span.version, span.peer];
            let service = row.service_id();
            let expected = [service.as_str(), row.service, row.operation, row.pod, row.version, row.peer];
            assert_eq!(texts.map(|text| &**symbols.text(text)), expected);
            assert_eq!((*trace, span.id, span.parent), (row.trace_id, row.span_id, row.parent_span_id));
            assert_eq!((span.start, span.end(), span.weight), (row.start, row.end(), row.sampled_weight));
            assert_eq!((span.kind, span.status, span.http_status), (row.kind, row.status, row.http_status()));
            assert_eq!(span.work, row.work);
        }
    }
}
