//! The words of the project, shared by every station: time, identities, the `spans` table, the state
//! of a cluster. Nothing here knows of a station.

pub mod cluster;
pub mod identity;
pub mod spans;
pub mod time;

pub use cluster::{ClusterState, Hold, InterventionRecord, Pod, Workload};
pub use identity::{ServiceId, SpanId, TraceId};
pub use spans::{Kind, SpanBatch, SpanBuilder, SpanRow, Status};
pub use time::Time;
