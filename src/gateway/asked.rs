//! A question, whichever protocol it came by, and what became of all of them.

use std::collections::BTreeMap;

use crate::shape::Answer;

/// What a gateway tells of a request. What it does not tell is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// `service operation`, where the gateway names it.
    pub entry: &'a str,
    /// Else its method and path, which are compared with what traces know.
    pub method: &'a str,
    pub path: &'a str,
    pub client: &'a str,
    pub priority: &'a str,
    /// How many times it was tried before.
    pub retries: &'a str,
}

/// What could not be understood; such a request is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// A domain that is not headroom's.
    Domain,
    /// No descriptor, or none that says what is asked for.
    Descriptor,
    /// An entry operation that traces do not know.
    Entry,
}

impl Unknown {
    pub const ALL: [Unknown; 3] = [Unknown::Domain, Unknown::Descriptor, Unknown::Entry];

    pub const fn as_str(self) -> &'static str {
        match self {
            Unknown::Domain => "unknown_domain",
            Unknown::Descriptor => "unknown_descriptor",
            Unknown::Entry => "unknown_entry",
        }
    }
}

/// Answers since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub admitted: u64,
    pub shed: u64,
    unknown: BTreeMap<Unknown, u64>,
}

impl Counts {
    pub(super) fn answered(&mut self, answer: &Answer) {
        match answer {
            Answer::Admitted => self.admitted += 1,
            Answer::Shed { .. } => self.shed += 1,
        }
    }

    pub(super) fn unknown(&mut self, what: Unknown) {
        *self.unknown.entry(what).or_default() += 1;
    }

    pub fn of_unknown(&self, what: Unknown) -> u64 {
        self.unknown.get(&what).copied().unwrap_or_default()
    }
}
