//! What a tree looks at of a span: one of the window, or a row of a table.

use std::cmp::Ordering;

use crate::model::{Kind, Span, SpanId, SpanRow, Status, Time};

/// See the module.
pub trait TreeSpan: Copy {
    fn id(&self) -> SpanId;
    fn parent(&self) -> Option<SpanId>;
    fn start(&self) -> Time;
    fn duration_ns(&self) -> i64;
    fn kind(&self) -> Kind;
    /// In error by its own word, or by HTTP's.
    fn has_failed(&self) -> bool;
    fn same_service(&self, other: &Self) -> bool;
    fn same_pod(&self, other: &Self) -> bool;
    /// An order between spans that are alike in identity and time.
    fn order(&self, other: &Self) -> Ordering;

    /// Whether one of two services is a proxy beside the other: they share a pod, or an operator says so.
    fn is_beside(&self, other: &Self) -> bool;
    /// Becomes a span of the other's service.
    fn join(&mut self, workload: &Self);
    /// Takes over what a span that is part of the same call knows better.
    fn take_inner(&mut self, inner: &Self);
    fn set_parent(&mut self, parent: SpanId);
    fn clear_parent(&mut self);
    fn set_kind(&mut self, kind: Kind);
}

impl TreeSpan for SpanRow<'_> {
    fn id(&self) -> SpanId {
        self.span_id
    }

    fn parent(&self) -> Option<SpanId> {
        self.parent_span_id
    }

    fn start(&self) -> Time {
        self.start
    }

    fn duration_ns(&self) -> i64 {
        self.duration_ns
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn has_failed(&self) -> bool {
        self.status == Status::Error || self.http_status() >= 500
    }

    fn same_service(&self, other: &Self) -> bool {
        self.service == other.service && self.namespace == other.namespace && self.cluster == other.cluster
    }

    fn same_pod(&self, other: &Self) -> bool {
        self.pod == other.pod
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.service, self.operation, self.kind).cmp(&(other.service, other.operation, other.kind))
    }

    fn is_beside(&self, other: &Self) -> bool {
        !self.pod.is_empty() && self.pod == other.pod && self.namespace == other.namespace
    }

    fn join(&mut self, workload: &Self) {
        let SpanRow { service, namespace, cluster, version, .. } = *workload;
        *self = SpanRow { service, namespace, cluster, version, ..*self };
    }

    fn take_inner(&mut self, inner: &Self) {
        if self.kind.is_caller() {
            self.peer = if self.peer.is_empty() { inner.peer } else { self.peer };
        } else {
            (self.operation, self.work) = (inner.operation, inner.work);
        }
        if self.promoted[1].is_empty() {
            self.promoted[1] = inner.promoted[1];
        }
    }

    fn set_parent(&mut self, parent: SpanId) {
        self.parent_span_id = Some(parent);
    }

    fn clear_parent(&mut self) {
        self.parent_span_id = None;
    }

    fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }
}

impl TreeSpan for Span {
    fn id(&self) -> SpanId {
        self.id
    }

    fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    fn start(&self) -> Time {
        self.start
    }

    fn duration_ns(&self) -> i64 {
        self.duration_ns
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn has_failed(&self) -> bool {
        self.status == Status::Error || self.http_status >= 500
    }

    fn same_service(&self, other: &Self) -> bool {
        self.service == other.service
    }

    fn same_pod(&self, other: &Self) -> bool {
        self.pod == other.pod
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.service, self.operation, self.kind).cmp(&(other.service, other.operation, other.kind))
    }

    fn is_beside(&self, other: &Self) -> bool {
        if self.pod.is_empty() || other.pod.is_empty() {
            return self.is_sidecar || other.is_sidecar;
        }
        self.pod == other.pod
    }

    fn join(&mut self, workload: &Self) {
        let Span { service, service_name, version, .. } = *workload;
        *self = Span { service, service_name, version, ..*self };
    }

    fn take_inner(&mut self, inner: &Self) {
        if self.kind.is_caller() {
            self.peer = if self.peer.is_empty() { inner.peer } else { self.peer };
        } else {
            (self.operation, self.work) = (inner.operation, inner.work);
        }
        if self.http_status == 0 {
            self.http_status = inner.http_status;
        }
    }

    fn set_parent(&mut self, parent: SpanId) {
        self.parent = Some(parent);
    }

    fn clear_parent(&mut self) {
        self.parent = None;
    }

    fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }
}
