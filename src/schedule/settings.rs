//! What an operator says of planned events: where they come from, what they mean, and what they may cost.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::model::setting::{Kind as SettingKind, Setting};
use crate::settings;

/// The section `schedule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Of events that name none.
    #[serde(with = "zone_name")]
    pub zone: Tz,
    /// Capacity is ready so long before it is needed: what a start takes beyond what 95 of 100 took.
    pub margin: Duration,
    /// What a pod takes to start of which none was seen to.
    pub start_unknown: Duration,
    /// An event whose load has not begun so long after its start does not come.
    pub grace: Duration,
    /// What all events of a day may cost, in UTC.
    pub replica_hours_a_day: f64,
    /// More is an error of the calendar.
    pub participants_max: u32,
    /// Between two looks at a feed.
    pub poll: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            zone: Tz::UTC,
            // A pod in twenty is slower than the 95th percentile: half of a slow image pull (p95 35 s) more.
            margin: Duration::from_secs(30),
            // A node that must come first (75 s), a slow pull (35 s), and what readiness takes.
            start_unknown: Duration::from_secs(120),
            // Lectures begin a quarter past; who has not come by then is not late.
            grace: Duration::from_secs(15 * 60),
            // Some twenty pods for a day of ten lectures of an hour.
            replica_hours_a_day: 200.0,
            // The largest universities have so many students in all.
            participants_max: 100_000,
            // A course that is moved ten minutes ahead is seen in time.
            poll: Duration::from_secs(120),
        }
    }
}

impl Settings {
    pub const SETTINGS: &'static [Setting<Settings>] = settings![Settings;
        margin: SettingKind::seconds(0, 4 * 3_600), "capacity is ready so long before the first participants come";
        start_unknown: SettingKind::seconds(1, 4 * 3_600), "what pods of a service take to start of which none was seen to start";
        grace: SettingKind::seconds(60, 24 * 3_600), "an event whose load has not begun so long after its start does not come";
        replica_hours_a_day: SettingKind::number(0.0, 1e6), "what all events of a day (UTC) may cost; later events are cut down";
        participants_max: SettingKind::count(1, 10_000_000), "an event of more participants is an error of its calendar";
        poll: SettingKind::seconds(10, 24 * 3_600), "how often feeds are asked for changes";
    ];
}

/// A calendar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calendar {
    /// For people; unique.
    pub name: String,
    pub at: At,
    /// Of events that name none.
    #[serde(with = "zone_name")]
    pub zone: Tz,
    /// The property that says how many come.
    pub participants: Option<String>,
}

/// Where a calendar is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    File(PathBuf),
    Url(String),
}

/// A zone as its name in the IANA database.
pub mod zone_name {
    use chrono_tz::Tz;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_can_be_set() {
        crate::model::setting::check(Settings::SETTINGS, &["zone"]);
    }
}
