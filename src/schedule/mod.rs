//! What is planned: events that load a system at a known time, and the capacity that is to be there before they begin.
//!
//! All sources come to the same thing, [`Planned`]: what, when, for how many. [`kinds`] maps it to what it loads, [`plan`]
//! turns it into floors of the guard's kind. Pure, but for nothing: whoever asks brings the time.

pub mod bounds;
pub mod changes;
pub mod event;
#[cfg(feature = "calendar")]
pub mod ical;
mod iso;
pub mod kinds;
pub mod plan;
pub mod planner;
pub mod settings;

pub use iso::option as iso_option;

pub use event::{Planned, Problem, Problems, agreed};
pub use kinds::{Kind, Load};
pub use plan::{Inputs, Plan, Raise, Raised, Step, plan};
pub use planner::{Kept, Planner};
pub use settings::{At, Calendar, Settings};
