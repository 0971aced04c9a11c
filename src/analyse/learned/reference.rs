//! What absorbers must know of the judge to do their part: one value, the same for all of them.

use std::collections::BTreeSet;

use super::callees::Callees;
use super::objectives::Objectives;
use super::operations::Operations;
use super::remote_entries::RemoteEntries;
use crate::analyse::telemetry::HostClocks;
use crate::model::Text;

pub use super::callees::CALL_KINDS_MAX;

/// Published by the judge after it has learned, with a new version. What an absorber sees for the first time, such as who
/// answers a call, counts from the next version on, for it as for all others.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub version: u64,
    /// Requests are set against them.
    pub objectives: Objectives,
    /// Healthy requests of each operation, which requests are set beside.
    pub operations: Operations,
    /// Who answers which kind of call, for calls that nobody answered.
    pub callees: Callees,
    /// Where traces begin whose root never comes.
    pub remote_entries: RemoteEntries,
    /// Entry operations of which gateways turn requests away now.
    pub turned_away: BTreeSet<Text>,
    /// Hosts whose clocks are off, whose spans are corrected as they come.
    pub clocks: HostClocks,
}
