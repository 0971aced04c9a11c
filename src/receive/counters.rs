//! What the receivers count of themselves; `api` renders it for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

use super::decode::{Mended, Reason, Rejected};
use super::refusal::Refusal;

/// Counts since the start; every reader may come at any time.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    spans: AtomicU64,
    overflowed: AtomicU64,
    cut: AtomicU64,
    broken: AtomicU64,
    left_out: AtomicU64,
    unnamed: AtomicU64,
    rejected: [AtomicU64; Reason::ALL.len()],
    refused: [AtomicU64; Refusal::LABELS.len()],
}

impl Counters {
    /// Requests the core has taken.
    pub fn accepted_requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of the accepted requests, decompressed.
    pub fn accepted_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Spans the core has taken: exactly those that were acknowledged.
    pub fn accepted_spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// Texts that became `_other` because a column of one batch had too many different ones.
    pub fn overflowed_texts(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Texts that were longer than a column's may be, and were cut.
    pub fn cut_texts(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// Texts that were not UTF-8, and were replaced.
    pub fn broken_texts(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Attributes, events, links and fields that could not be read, and were left out of spans that could.
    pub fn left_out_fields(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Spans of services that nobody named.
    pub fn unnamed_spans(&self) -> u64 {
        self.unnamed.load(Ordering::Relaxed)
    }

    /// Spans rejected out of accepted requests, by the label `reason`.
    pub fn rejected_spans(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Reason::ALL.iter().zip(&self.rejected).map(|(reason, count)| (reason.label(), count.load(Ordering::Relaxed)))
    }

    /// Requests refused whole, by the label `reason`.
    pub fn refused_requests(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Refusal::LABELS.iter().zip(&self.refused).map(|(label, count)| (*label, count.load(Ordering::Relaxed)))
    }

    pub(super) fn accept(&self, bytes: usize, spans: usize, rejected: &Rejected, mended: Mended) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.spans.fetch_add(spans as u64, Ordering::Relaxed);
        self.overflowed.fetch_add(mended.overflowed, Ordering::Relaxed);
        self.cut.fetch_add(mended.cut, Ordering::Relaxed);
        self.broken.fetch_add(mended.broken, Ordering::Relaxed);
        self.left_out.fetch_add(mended.left_out, Ordering::Relaxed);
        self.unnamed.fetch_add(mended.unnamed, Ordering::Relaxed);
        for (reason, count) in rejected.by_reason() {
            self.rejected[reason as usize].fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn refuse(&self, refusal: &Refusal) {
        if let Some(index) = Refusal::LABELS.iter().position(|label| *label == refusal.label()) {
            self.refused[index].fetch_add(1, Ordering::Relaxed);
        }
    }
}
