//! Spans become rows here, whichever way they were written: checked, normalised, appended to the columns.

use std::fmt::Write;

use super::attributes::Attributes;
use super::resource::Resource;
use super::tracestate::adjusted_count;
use super::{DecodeError, Decoded, Mended, Options, Reason, Rejected, meter};
use crate::model::spans::PROMOTED;
use crate::model::{Kind, SpanBuilder, SpanCells, SpanId, Status, Time, TraceId, Utf8};

/// A span as its sender wrote it, borrowed from the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_span_id: &'a [u8],
    pub trace_state: Utf8<'a>,
    pub name: Utf8<'a>,
    pub kind: Kind,
    pub status: Status,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    pub attributes: Attributes<'a>,
    /// Trace id and span id of the first link.
    pub link: Option<(&'a [u8], &'a [u8])>,
}

/// The rows of one request.
pub struct Rows<'a> {
    options: &'a Options,
    builder: SpanBuilder,
    rejected: Rejected,
    resource: Resource<'a>,
    /// Whether the builder knows the resource; it is told when a span of it is there.
    entered: bool,
    /// Spans whose times were not in nanoseconds.
    rescaled: u64,
    /// Spans of resources that nobody named.
    unnamed: u64,
    /// Where texts that are put together are written; kept so that a span allocates nothing.
    scope: Vec<u8>,
    operation: Vec<u8>,
    peer: Vec<u8>,
    link: String,
    /// The rule by which a tail sampler chose the spans of the present instrumentation scope.
    sampled_by: Utf8<'a>,
    promoted: [String; PROMOTED.len()],
    /// Spans pushed, and how many of them are paid for.
    pushed: usize,
    paid: usize,
    spans_max: usize,
    is_full: bool,
}

/// What a row takes in its columns while they grow: 89 bytes, and as many again while a column is copied to a larger place.
const ROW_BYTES: usize = 178;
/// Rows that are paid for at once.
const PAID_ROWS: usize = 1024;

impl<'a> Rows<'a> {
    /// For about `spans` spans.
    pub fn new(options: &'a Options, spans: usize) -> Rows<'a> {
        Rows {
            options,
            // Room for more spans than it may have is not asked for.
            builder: SpanBuilder::with_capacity(spans.min(options.limits.map_or(usize::MAX, |limits| limits.spans))),
            rejected: Rejected::default(),
            resource: Resource::default(),
            entered: false,
            rescaled: 0,
            unnamed: 0,
            scope: Vec::new(),
            operation: Vec::new(),
            peer: Vec::new(),
            link: String::new(),
            sampled_by: Utf8::EMPTY,
            promoted: Default::default(),
            pushed: 0,
            paid: 0,
            spans_max: options.limits.map_or(usize::MAX, |limits| limits.spans),
            is_full: false,
        }
    }

    /// The spans from now on are of this resource.
    pub fn enter(&mut self, resource: Resource<'a>) {
        self.resource = resource;
        self.entered = false;
        self.sampled_by = Utf8::EMPTY;
    }

    /// The spans from now on are of an instrumentation scope with these attributes.
    pub fn enter_scope(&mut self, scope: Attributes<'a>) {
        self.sampled_by = scope.sampled_by();
    }

    /// Appends the span, or counts why not.
    #[inline]
    pub fn push(&mut self, span: &Span<'_>) {
        if self.pushed == self.paid && !self.make_room() {
            return;
        }
        self.pushed += 1;
        let checked = match Checked::new(span, self.options) {
            Ok(checked) => checked,
            Err(reason) => {
                let (service, operation) = (self.resource.service().as_str(), span.name.as_str());
                return self.rejected.add(reason, service, operation, span.trace_id);
            }
        };
        self.rescaled += u64::from(checked.is_rescaled);
        if !self.entered {
            self.builder.source(&self.resource.source(&mut self.scope));
            self.entered = true;
        }
        self.unnamed += u64::from(self.resource.is_unnamed());
        // Links of other spans mean many things; that of a consumer says whose message it takes.
        let link = match span.link {
            Some(link) if span.kind == Kind::Consumer => linked(link, &mut self.link),
            _ => Utf8::EMPTY,
        };
        let peer = if span.kind.is_caller() { span.attributes.peer(&mut self.peer) } else { Utf8::EMPTY };
        self.builder.push(&SpanCells {
            trace_id: checked.trace_id,
            span_id: checked.span_id,
            parent_span_id: checked.parent_span_id,
            start: checked.start,
            duration_ns: checked.duration_ns,
            kind: span.kind,
            status: span.status,
            operation: span.attributes.operation(span.kind, span.name, &mut self.operation),
            peer,
            sampled_weight: adjusted_count(span.trace_state).or(self.options.assume_weight),
            promoted: span.attributes.promoted(&mut self.promoted),
            work: span.attributes.work(span.kind, self.resource.is_job()),
            link,
            sampled_by: span.attributes.sampled_by().or(self.sampled_by),
        });
    }

    /// Counts a span that cannot be read to its end.
    #[cold]
    pub fn reject_damaged(&mut self, span: &Span<'_>) {
        let (service, operation) = (self.resource.service().as_str(), span.name.as_str());
        self.rejected.add(Reason::Damaged, service, operation, span.trace_id);
    }

    /// Pays for the next rows; false once there were too many.
    #[cold]
    fn make_room(&mut self) -> bool {
        let next = PAID_ROWS.min(self.spans_max - self.pushed);
        self.is_full |= next == 0;
        if self.is_full || !meter::pay(next * ROW_BYTES) {
            return false;
        }
        self.paid += next;
        true
    }

    pub fn finish(self) -> Result<Decoded, DecodeError> {
        if self.is_full {
            return Err(DecodeError::TooManySpans { limit: self.spans_max });
        }
        let (overflowed, cut) = (self.builder.overflowed(), self.builder.cut());
        let mended = Mended { overflowed, cut, rescaled: self.rescaled, unnamed: self.unnamed, ..Mended::default() };
        Ok(Decoded { batch: self.builder.finish(), rejected: self.rejected, mended })
    }
}

/// A link as the column `link` has it; empty where its ids are none.
fn linked<'s>((trace, span): (&[u8], &[u8]), scratch: &'s mut String) -> Utf8<'s> {
    let (Some(trace), Some(span)) = (id(trace).map(TraceId), id(span).map(SpanId)) else { return Utf8::EMPTY };
    scratch.clear();
    // Writing to a String cannot fail.
    let _ = write!(scratch, "{trace}-{span}");
    scratch.as_str().into()
}

/// Identity and times of a span that may enter the table.
struct Checked {
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    start: Time,
    duration_ns: i64,
    is_rescaled: bool,
}

impl Checked {
    fn new(span: &Span<'_>, options: &Options) -> Result<Checked, Reason> {
        let trace_id = id(span.trace_id).ok_or(Reason::TraceId)?;
        let span_id = id(span.span_id).ok_or(Reason::SpanId)?;
        let parent_span_id = match span.parent_span_id {
            [] | [0, 0, 0, 0, 0, 0, 0, 0] => None, // some senders write a root's missing parent as zeros
            parent => Some(SpanId(id(parent).ok_or(Reason::ParentSpanId)?)),
        };
        if span.start_time_unix_nano == 0 {
            return Err(Reason::NoStart);
        }
        let scale = if options.rescale { scale(span.start_time_unix_nano) } else { 1 };
        let nanos =
            |time: u64| i64::try_from(time).ok().and_then(|time| time.checked_mul(scale)).ok_or(Reason::TimeRange);
        let (start, end) = (nanos(span.start_time_unix_nano)?, nanos(span.end_time_unix_nano)?);
        if end < start {
            return Err(Reason::EndBeforeStart);
        }
        if options.start_max.is_some_and(|max| Time(start) > max) {
            return Err(Reason::FarFuture);
        }
        Ok(Checked {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            parent_span_id,
            start: Time(start),
            duration_ns: end - start, // both are not negative and end is not before start
            is_rescaled: scale != 1,
        })
    }
}

/// From 2000 to 2100, in milliseconds since the epoch.
const THIS_CENTURY_MS: std::ops::Range<u64> = 946_684_800_000..4_102_444_800_000;

/// What a time is multiplied by to be in nanoseconds. Read as nanoseconds, this century's milliseconds and microseconds
/// are in the first weeks of 1970, before there were spans.
fn scale(time: u64) -> i64 {
    if THIS_CENTURY_MS.contains(&time) {
        1_000_000
    } else if THIS_CENTURY_MS.contains(&(time / 1000)) {
        1000
    } else {
        1
    }
}

/// An identity of exactly `N` bytes that are not all zero.
fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = bytes.try_into().ok()?;
    (id != [0; N]).then_some(id)
}
