//! An intervention as it stands on the object that it changed: who wanted it, why, and until when it has to prove itself.
//!
//! Which action it was, and that action's own facts, are carried unread: `action` writes and reads them. So a record of
//! a kind that this version does not know passes through unharmed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Time;

/// A decision, named after its second of event time and its number within it: `d-1764018000-3`. Ids only rise, whatever
/// the clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId {
    pub second: i64,
    pub n: u32,
}

/// The intervention that a decision led to: `i-1764018000-3` of `d-1764018000-3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterventionId(DecisionId);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no id; ids are d-<second>-<number> for decisions and i-<second>-<number> for interventions")]
pub struct NoId(String);

impl DecisionId {
    pub const fn new(second: i64, n: u32) -> DecisionId {
        DecisionId { second, n }
    }

    pub const fn intervention(self) -> InterventionId {
        InterventionId(self)
    }

    /// The next one at this second, above this whatever the clock does.
    pub const fn next(self, second: i64) -> DecisionId {
        match self.n.checked_add(1) {
            _ if self.second < second => DecisionId::new(second, 1),
            Some(n) => DecisionId::new(self.second, n),
            None => DecisionId::new(self.second.saturating_add(1), 1),
        }
    }
}

impl InterventionId {
    pub const fn decision(self) -> DecisionId {
        self.0
    }
}

/// The second and the number behind a prefix.
fn parts(text: &str, prefix: &str) -> Result<DecisionId, NoId> {
    let read = || {
        let (second, n) = text.strip_prefix(prefix)?.rsplit_once('-')?;
        Some(DecisionId { second: second.parse().ok()?, n: n.parse().ok()? })
    };
    read().ok_or_else(|| NoId(text.to_owned()))
}

macro_rules! text_identity {
    ($name:ident, $prefix:literal, |$id:ident| $inner:expr, $from:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $id = self;
                let DecisionId { second, n } = $inner;
                write!(f, concat!($prefix, "{}-{}"), second, n)
            }
        }
        impl FromStr for $name {
            type Err = NoId;
            fn from_str(text: &str) -> Result<$name, NoId> {
                parts(text, $prefix).map($from)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
text_identity!(DecisionId, "d-", |id| *id, |id| id);
text_identity!(InterventionId, "i-", |id| id.0, InterventionId);

/// Who wants an action. Written as one text: a rule by its bare name, as no rule file may have one of the other forms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A rule, by its file's name without `.rhai`.
    Rule(String),
    /// `verify` returns what had no effect, or what was lent for a time that is over.
    GiveBack,
    /// An entry of a calendar, by its name.
    Schedule(String),
    /// A forecast, by its name.
    Forecast(String),
    /// A person, by name.
    Operator(String),
}

const GIVE_BACK: &str = "give_back";
const SCHEDULE: &str = "schedule:";
const FORECAST: &str = "forecast:";
const OPERATOR: &str = "operator:";

impl Origin {
    /// Reads what [`Display`](fmt::Display) writes; anything else is a rule's name.
    pub fn parse(text: &str) -> Origin {
        let after = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
        if text == GIVE_BACK {
            return Origin::GiveBack;
        }
        (after(SCHEDULE).map(Origin::Schedule))
            .or_else(|| after(FORECAST).map(Origin::Forecast))
            .or_else(|| after(OPERATOR).map(Origin::Operator))
            .unwrap_or_else(|| Origin::Rule(text.to_owned()))
    }

    /// A rule's name; of other origins the kind alone, as people and calendars are many.
    pub fn kind_or_rule(&self) -> &str {
        match self {
            Origin::Rule(name) => name,
            Origin::GiveBack => "give_back",
            Origin::Schedule(_) => "schedule",
            Origin::Forecast(_) => "forecast",
            Origin::Operator(_) => "operator",
        }
    }

    /// For a sentence: `rule scale_in_idle`, `schedule "monday exams"`.
    pub fn in_words(&self) -> String {
        match self {
            Origin::Rule(name) => format!("rule {name}"),
            Origin::GiveBack => "headroom's own give-back".into(),
            Origin::Schedule(name) => format!("schedule \"{name}\""),
            Origin::Forecast(name) => format!("forecast \"{name}\""),
            Origin::Operator(name) => format!("operator \"{name}\""),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Rule(name) => f.write_str(name),
            Origin::GiveBack => f.write_str(GIVE_BACK),
            Origin::Schedule(name) => write!(f, "{SCHEDULE}{name}"),
            Origin::Forecast(name) => write!(f, "{FORECAST}{name}"),
            Origin::Operator(name) => write!(f, "{OPERATOR}{name}"),
        }
    }
}

impl From<&str> for Origin {
    fn from(text: &str) -> Origin {
        Origin::parse(text)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Origin, D::Error> {
        Ok(Origin::parse(&String::deserialize(deserializer)?))
    }
}

/// What an intervention leaves on its target: enough to finish it after a crash. The names in JSON are those of 0.1.0,
/// which reads them after a rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterventionRecord {
    pub id: InterventionId,
    #[serde(rename = "rule")]
    pub origin: Origin,
    pub reason: String,
    pub applied_at: Time,
    /// When it must have proved itself, or when what was lent is given back.
    pub deadline: Time,
    /// The same before and after where no replicas were changed.
    pub replicas_before: u32,
    pub replicas_after: u32,
    /// Mean waiting for each admitted request at the target when the action was decided, in nanoseconds.
    pub waiting_ns_before: i64,
    /// None: a plain scaling, which needs no more than the replicas above.
    #[serde(default, rename = "deed", skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// Which action it was and its own facts, as `action` writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Details {
    pub kind: String,
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// The records of one object: a list, or the single record that 0.1.0 wrote. One that cannot be read is nobody's here.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<InterventionRecord>, D::Error> {
    let records = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Array(records) => records,
        record => vec![record],
    };
    Ok(records.into_iter().filter_map(|record| serde_json::from_value(record).ok()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_and_its_intervention_share_second_and_number() {
        let decision: DecisionId = "d-1764018000-3".parse().unwrap();
        assert_eq!(decision, DecisionId::new(1_764_018_000, 3));
        assert_eq!(decision.intervention().to_string(), "i-1764018000-3");
        assert_eq!(decision.intervention().decision(), decision);
        assert_eq!(DecisionId::new(-5, 1).to_string().parse(), Ok(DecisionId::new(-5, 1)));
        assert!("i-1-1".parse::<DecisionId>().is_err() && "d-1".parse::<DecisionId>().is_err());
        assert!(DecisionId::new(9, 9) < DecisionId::new(10, 1), "ordered by time, not by text");
    }

    #[test]
    fn ids_only_rise() {
        let last = DecisionId::new(10, 3);
        assert_eq!([9, 10, 11].map(|second| last.next(second).to_string()), ["d-10-4", "d-10-4", "d-11-1"]);
        assert_eq!(DecisionId::new(10, u32::MAX).next(10), DecisionId::new(11, 1));
    }

    #[test]
    fn an_origin_is_one_text_and_a_rule_its_bare_name() {
        for (text, origin) in [
            ("scale_in_idle", Origin::Rule("scale_in_idle".into())),
            ("give_back", Origin::GiveBack),
            ("schedule:monday exams", Origin::Schedule("monday exams".into())),
            ("forecast:lunch", Origin::Forecast("lunch".into())),
            ("operator:ada", Origin::Operator("ada".into())),
        ] {
            assert_eq!((Origin::parse(text), origin.to_string().as_str()), (origin, text));
        }
    }

    /// As 0.1.0 wrote them on objects and into journals.
    #[test]
    fn records_of_the_first_version_are_read_and_written_alike() {
        let scaled = json!({
            "id": "i-10-1", "rule": "scale_out_bottleneck", "reason": "auth saturates", "applied_at": 10, "deadline": 20,
            "replicas_before": 2, "replicas_after": 9, "waiting_ns_before": 3,
        });
        let mut restarted = scaled.clone();
        restarted["deed"] = json!({"kind": "restarted_pod", "pod": "auth-1", "created_at": 4});
        for value in [scaled, restarted] {
            let record: InterventionRecord = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(&record).unwrap(), value);
        }
    }

    #[test]
    fn a_workload_of_the_first_version_has_its_one_record_and_one_that_cannot_be_read_is_left_out() {
        let record = json!({
            "id": "i-10-1", "rule": "r", "reason": "", "applied_at": 1, "deadline": 2, "replicas_before": 2,
            "replicas_after": 9, "waiting_ns_before": 3,
        });
        let mut theirs = record.clone();
        theirs["id"] = json!("theirs");
        let read = |key: &str, value: serde_json::Value| {
            let mut workload = serde_json::to_value(crate::model::Workload::default()).unwrap();
            workload[key] = value;
            let workload: crate::model::Workload = serde_json::from_value(workload).unwrap();
            workload.interventions.iter().map(|record| record.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(read("intervention", record.clone()), ["i-10-1"]);
        assert_eq!(read("interventions", json!([theirs, record])), ["i-10-1"]);
        assert_eq!(read("intervention", json!(null)), [""; 0]);
    }
}
