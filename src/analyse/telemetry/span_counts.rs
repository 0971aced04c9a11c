//! What became of the spans that came to a window in a tick.

/// Counts of spans; a span may be in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    pub received: u64,
    /// Of whole traces that were left out because more came than may be analysed.
    pub shed: u64,
    /// Came after their trace was closed.
    pub late: u64,
    /// Roots among these, of traces that were closed without one.
    pub late_roots: u64,
    /// Came twice.
    pub repeated: u64,
    /// Past what one trace may have.
    pub surplus: u64,
}

impl SpanCounts {
    pub fn add(&mut self, other: SpanCounts) {
        self.received += other.received;
        self.shed += other.shed;
        self.late += other.late;
        self.late_roots += other.late_roots;
        self.repeated += other.repeated;
        self.surplus += other.surplus;
    }
}
