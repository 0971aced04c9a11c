//! The words of the project, shared by every station: time, identities, the `spans` table, the state
//! of a cluster. Nothing here knows of a station.

mod builder;
mod clock_step;
pub mod cluster;
pub mod freshness;
pub mod identity;
pub mod intervention;
pub mod names;
mod near_miss;
mod older_spans;
pub mod pattern;
pub mod pause;
mod printable;
pub mod route;
pub mod setting;
mod span;
pub mod spans;
mod symbols;
mod texts;
pub mod time;
mod time_unit;
mod trace_top;
mod work;

pub use builder::{Source, SpanBuilder, SpanCells};
pub use clock_step::ClockStep;
pub use cluster::{Autoscaler, Ceiling, ClusterState, Connections, Hold, Pod, Promise, Terms, Workload};
pub use freshness::{FRESH, is_fresh};
pub use identity::{ServiceId, SpanId, Text, TraceId};
pub use intervention::{DecisionId, Details, InterventionId, InterventionRecord, NoId, Origin};
pub use names::{Declared, Names};
pub use near_miss::nearest;
pub use pause::{Pause, Pauses};
pub use printable::printable;
pub use route::{Backend, Route};
pub use setting::{Kind as SettingKind, Setting};
pub use span::Span;
pub use spans::{Kind, SpanBatch, SpanRow, Status};
pub use symbols::{Symbol, Symbols};
pub use texts::{Cell, Utf8};
pub use time::Time;
pub use time_unit::TimeUnit;
pub use trace_top::first_top;
pub use work::Work;
