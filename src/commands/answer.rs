//! What a command has to say with its exit code.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// It did its work, and the answer is no.
    No,
}
